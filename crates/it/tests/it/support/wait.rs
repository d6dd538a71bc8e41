//! Waiting for something to become so, never for a while.

use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Looks again and again until there is an answer; fails after `within`.
pub async fn until<T>(what: &str, within: Duration, look: impl AsyncFn() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {within:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The same for a question with yes or no.
pub async fn until_so(what: &str, within: Duration, look: impl AsyncFn() -> bool) {
    until(what, within, async || look().await.then_some(())).await;
}
