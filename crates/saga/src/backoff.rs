//! How long to wait before asking again.

pub const BACKOFF_MS_MIN: i64 = 50;
/// Longer, and an answer that has come would lie unread.
pub const BACKOFF_MS_MAX: i64 = 30_000;

/// Doubles with each try; `random` in 0…1 spreads it over its upper half, so that sagas that failed together do not
/// return together.
pub fn backoff_ms(tries: u32, random: f64) -> i64 {
    let doublings = tries.saturating_sub(1).min(16);
    let whole = (BACKOFF_MS_MIN << doublings).min(BACKOFF_MS_MAX);
    let half = whole / 2;
    half + (half as f64 * random.clamp(0.0, 1.0)) as i64
}
