//! What a gateway does beside its requests: it asks which sign-ins ended, and forgets who no longer calls.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kernel::contracts::identity::RevokedSince;
use platform::http::Problem;
use platform::peers::Peers;
use platform::revocation::KEPT_MS;
use tokio::time::MissedTickBehavior;

use crate::Gateway;

const ASK_EVERY: Duration = Duration::from_secs(1);
/// Revocations are written with rising ids and times but committed in any order: one may show up after a later one
/// was seen. No transaction of identity's lasts so long.
const REREAD_MS: i64 = 60_000;
const FORGET_EVERY: Duration = Duration::from_secs(5);

impl Gateway {
    /// Asks once which sign-ins ended. Signed-in requests are answered 503 until this has succeeded a first time.
    pub async fn catch_up(&self, peers: &Peers) -> Result<(), Problem> {
        let asked = Instant::now();
        let now_ms = self.clock.now_ms();
        let since_ms = match self.caught_up_ms.load(Ordering::Relaxed) {
            0 => now_ms - KEPT_MS,
            // Why the smaller: a clock that was set back must not open a gap.
            caught_up_ms => caught_up_ms.min(now_ms) - REREAD_MS,
        };
        let revoked = peers.call(&RevokedSince { since_ms }).await?;
        self.revocations.apply(&revoked);
        self.revocations.note_caught_up(asked, now_ms);
        self.caught_up_ms.store(now_ms, Ordering::Relaxed);
        Ok(())
    }

    /// Catches up once a second and keeps memory bounded; runs until it is dropped.
    pub async fn run(self: Arc<Self>, peers: Peers) {
        tokio::join!(self.keep_caught_up(&peers), self.keep_small());
    }

    async fn keep_caught_up(&self, peers: &Peers) {
        let mut ticks = tokio::time::interval(ASK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = false;
        loop {
            ticks.tick().await;
            let answered = self.catch_up(peers).await.is_ok();
            let stale = self.revocations.is_stale(Instant::now());
            if stale && !told {
                tracing::error!("signed-in requests are refused: ended sign-ins could not be read for 5 s");
            } else if answered && told {
                tracing::info!("ended sign-ins are known again");
            }
            told = stale;
        }
    }

    async fn keep_small(&self) {
        let mut ticks = tokio::time::interval(FORGET_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.limits.forget();
            self.verifier.tidy();
            metrics::gauge!("madang_gateway_callers_counted").set(self.limits.len() as f64);
            metrics::gauge!("madang_gateway_tokens_cached").set(self.verifier.cached() as f64);
            metrics::gauge!("madang_gateway_revocations").set(self.revocations.len() as f64);
        }
    }
}
