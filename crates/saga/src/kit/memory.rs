//! A store that lives for one run and plays a script.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::script::{Script, Side, Trick};
use crate::call::{Outcome, Undone};
use crate::definition::Shape;
use crate::drive::{Store, Work, Write};
use crate::log::{Entry, Event, State};
use crate::plan::plan;

/// The executor died here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash;

/// One saga's row and log.
pub struct Memory {
    shape: Shape,
    script: Script,
    row: Mutex<Row>,
}

#[derive(Default)]
struct Row {
    log: Vec<Entry>,
    attempt: i64,
    tries: u32,
    /// Crashes come once.
    crashed: bool,
    /// How often the trick was played.
    played: u32,
}

impl Memory {
    pub fn new(shape: Shape, script: Script) -> Self {
        Self { shape, script, row: Mutex::default() }
    }

    fn row(&self) -> MutexGuard<'_, Row> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lease: attempt, tries and log.
    pub fn take(&self) -> (i64, u32, Vec<Entry>) {
        let mut row = self.row();
        row.attempt += 1;
        (row.attempt, row.tries, row.log.clone())
    }

    pub fn log(&self) -> Vec<Entry> {
        self.row().log.clone()
    }

    /// Appends an operator's word to the step at hand.
    pub fn operate(&self, event: Event) {
        let mut row = self.row();
        let step = plan(&self.shape, &row.log).map_or("", |plan| plan.step(&self.shape));
        row.log.push(Entry { at_ms: 1, step: step.to_owned(), event });
        row.tries = 0;
    }

    /// The trick for this call, counted, and how often it was played before.
    fn trick(&self, side: Side, step: &str) -> Option<(Trick, u32)> {
        let (at_side, at, trick) = self.script.trick?;
        if at_side != side || self.shape.steps[at].name != step {
            return None;
        }
        let mut row = self.row();
        row.played += 1;
        Some((trick, row.played - 1))
    }

    /// Calls `work`, or does not, as the script says; `lost` is the answer instead of the real one.
    async fn play<T>(&self, side: Side, step: &str, work: &Work<'_, T>, lost: T, stuck: T) -> Result<T, Crash> {
        let once = async || {
            if self.script.twice {
                work().await;
            }
            work().await
        };
        let Some((trick, before)) = self.trick(side, step) else { return Ok(once().await) };
        match trick {
            Trick::CrashBefore if before == 0 => Err(Crash),
            Trick::CrashAfter if before == 0 => {
                work().await;
                Err(Crash)
            }
            Trick::AgainBefore(times) if before < times => Ok(lost),
            Trick::AgainAfter(times) if before < times => {
                work().await;
                Ok(lost)
            }
            Trick::Retried | Trick::OrderedBefore if before == 0 => Ok(stuck),
            // An undo has no word for stuck: it is not possible yet until its limit is reached.
            Trick::Retried if side == Side::Undo && before < self.shape.undo_tries_max => Ok(stuck),
            Trick::OrderedAfter if before == 0 => {
                work().await;
                Ok(stuck)
            }
            _ => Ok(once().await),
        }
    }
}

impl Store for Memory {
    type Error = Crash;

    async fn append(&self, write: &Write) -> Result<Option<i64>, Crash> {
        let mut row = self.row();
        if write.attempt != row.attempt || write.seq != row.log.len() {
            return Ok(None);
        }
        let fits = self.script.lopped.filter(|_| !row.crashed).map_or(usize::MAX, |length| length - row.log.len());
        let crashes = fits < write.entries.len();
        row.log.extend(write.entries.iter().take(fits).map(|entry| Entry { at_ms: 1, ..entry.clone() }));
        if crashes {
            row.crashed = true;
            return Err(Crash);
        }
        row.tries = write.wait.as_ref().map_or(0, |wait| wait.tries);
        let planned = plan(&self.shape, &row.log).map(|plan| plan.state);
        debug_assert_eq!(planned, Ok(write.state), "the row's state is what the log says");
        Ok(Some(1))
    }

    async fn act(&self, step: &'static str, action: &Work<'_, Outcome>) -> Result<Outcome, Crash> {
        let refused = self.script.refused.is_some_and(|at| self.shape.steps[at].name == step);
        if refused {
            return Ok(Outcome::refused("the kit refuses"));
        }
        self.play(Side::Action, step, action, Outcome::unknown("the kit"), Outcome::stuck("the kit")).await
    }

    async fn undo(&self, step: &'static str, undo: &Work<'_, Undone>) -> Result<Undone, Crash> {
        self.play(Side::Undo, step, undo, Undone::not_yet("the kit"), Undone::not_yet("the kit")).await
    }
}

impl Memory {
    /// What the log says now.
    pub fn state(&self) -> Option<State> {
        plan(&self.shape, &self.row().log).ok().map(|plan| plan.state)
    }
}
