//! The time decisions are made by: the process's clock in `solo`, the database's in `cluster`.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(super) const POSTGRES_NOW_MS: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// A reading further ahead than this of the last one plus monotonic time is not believed: one bad reading
/// would close an offer for good.
const JUMP_MS_MAX: i64 = 5_000;
/// A jumped clock that then runs evenly for so long was set right, and is believed again.
const SETTLE: Duration = Duration::from_secs(15);

/// The clock jumped forward by so many milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockJump(pub i64);

/// A yard's clock. Cheap to clone; tests move it with [`Clock::shift_ms`].
#[derive(Clone, Default)]
pub struct Clock(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Added to the process's clock: the database's lead over it in `cluster`, a test's hand in `solo`.
    offset_ms: AtomicI64,
    trusted: Mutex<Option<Reading>>,
    doubted: Mutex<Option<(Reading, Instant)>>,
}

#[derive(Clone, Copy)]
struct Reading {
    wall_ms: i64,
    at: Instant,
}

impl Reading {
    fn lead_ms(self, wall_ms: i64, at: Instant) -> i64 {
        wall_ms - self.wall_ms - at.saturating_duration_since(self.at).as_millis() as i64
    }
}

impl Clock {
    /// Unix milliseconds as stamps, countdowns and token times use them.
    pub fn now_ms(&self) -> i64 {
        process_now_ms() + self.0.offset_ms.load(Ordering::Relaxed)
    }

    /// Moves this clock against the process's.
    pub fn shift_ms(&self, by_ms: i64) {
        self.0.offset_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    pub(crate) fn set_offset_ms(&self, offset_ms: i64) {
        self.0.offset_ms.store(offset_ms, Ordering::Relaxed);
    }

    /// Accepts a reading that a decision is about to rest on, or says by how much it jumped.
    pub fn check(&self, wall_ms: i64) -> Result<i64, ClockJump> {
        let now = Instant::now();
        let reading = Reading { wall_ms, at: now };
        let mut trusted = self.0.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        let lead_ms = trusted.map_or(0, |last| last.lead_ms(wall_ms, now));
        let mut doubted = self.0.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        if lead_ms <= JUMP_MS_MAX {
            *trusted = Some(reading);
            *doubted = None;
            return Ok(wall_ms);
        }
        match *doubted {
            Some((first, since)) if first.lead_ms(wall_ms, now).abs() <= JUMP_MS_MAX => {
                if now.saturating_duration_since(since) >= SETTLE {
                    *trusted = Some(reading);
                    *doubted = None;
                    return Ok(wall_ms);
                }
            }
            _ => *doubted = Some((reading, now)),
        }
        Err(ClockJump(lead_ms))
    }
}

/// The process's own clock, in Unix milliseconds.
pub(crate) fn process_now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
