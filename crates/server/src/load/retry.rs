//! When a request that was refused for overload is sent again.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::connection::Reply;

/// Wait before another try when the server named none (milliseconds).
const WAIT_DEFAULT_MS: u64 = 250;

/// A wait is stretched by up to this share, so that those who were refused together do not come back together.
const JITTER: f64 = 0.25;

/// What a patient person does: sends again after a 503, or after a connection that broke before the answer was there,
/// as the server asks him to and not before.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// How long after the request was first due a further try may still be sent.
    pub patience: Duration,
}

#[derive(Deserialize)]
struct Problem {
    retry_after_ms: Option<u64>,
}

impl Retry {
    /// When to send again after `reply` (a failure where there is none); `None`: that was the last word.
    pub(super) fn again_at(&self, reply: Option<&Reply<'_>>, since: Instant, now: Instant) -> Option<Instant> {
        let wait = match reply {
            Some(reply) if reply.status != 503 => return None,
            Some(reply) => asked_for(reply),
            None => Duration::from_millis(WAIT_DEFAULT_MS),
        };
        let at = now.checked_add(wait.mul_f64(1.0 + JITTER * rand::random::<f64>()))?;
        (at.saturating_duration_since(since) <= self.patience).then_some(at)
    }
}

/// `retry_after_ms` of the body, else `Retry-After`, which is its rounded form.
fn asked_for(reply: &Reply<'_>) -> Duration {
    let told_ms = serde_json::from_slice::<Problem>(reply.body).ok().and_then(|problem| problem.retry_after_ms);
    let header_ms = reply.retry_after_s.map(|seconds| u64::from(seconds) * 1000);
    // A day at most: the sum with the present time must stay a time.
    Duration::from_millis(told_ms.or(header_ms).unwrap_or(WAIT_DEFAULT_MS).min(86_400_000))
}
