//! The reconciler in every process: takes what is due all the time, so that starting up is nothing special.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::saga::Registry;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Sagas;
use super::store::{self, Which};
use super::view::SagaBody;
use crate::db::DbError;

/// How often stuck sagas and unknown versions are counted.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// At the end, what is between two writes gets so long; then its lease runs out by itself.
const DRAIN_MAX: Duration = Duration::from_secs(4);
/// While all places are taken, those that come free are gathered for so long, to be filled by one statement.
const GATHER: Duration = Duration::from_millis(5);
/// Who waits for a saga's answer waits no longer.
const RUN_NOW_MAX: Duration = Duration::from_secs(10);
const ANSWER_POLL: Duration = Duration::from_millis(50);

impl Sagas {
    /// Runs due sagas until stopped; each stops between two steps, and the next process goes on with it.
    pub async fn run(self, stop: CancellationToken) {
        let mut working = JoinSet::new();
        let mut report_at = Instant::now();
        while !stop.is_cancelled() {
            while working.try_join_next().is_some() {}
            if report_at <= Instant::now() {
                self.report().await;
                report_at = Instant::now() + REPORT_EVERY;
            }
            let free = self.0.pace.at_once_max.saturating_sub(working.len());
            if free == 0 {
                tokio::select! {
                    _ = working.join_next() => tokio::time::sleep(GATHER).await,
                    () = stop.cancelled() => {}
                }
                continue;
            }
            // Why before the look: what is committed after it must not be missed.
            let published = self.0.db.published();
            let pause_ms = match self.take_due(free, &mut working, &stop).await {
                Ok(0) => self.pause_ms().await,
                Ok(_) => continue,
                Err(error) => {
                    tracing::warn!(db = self.0.db.name(), %error, "due sagas could not be taken");
                    self.0.pace.look_ms_max
                }
            };
            tokio::select! {
                () = published => {}
                () = tokio::time::sleep(Duration::from_millis(pause_ms.unsigned_abs())) => {}
                () = stop.cancelled() => {}
            }
        }
        let drained = async { while working.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_MAX, drained).await.is_err() {
            working.shutdown().await;
        }
        // The steps' handles usually hold these sagas: without this neither would ever be dropped.
        self.0.registry.store(Arc::new(Registry::default()));
    }

    /// Takes what is due and sets it to work; answers how many.
    async fn take_due(
        &self,
        free: usize,
        working: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<usize, DbError> {
        let registry = self.0.registry.load_full();
        let now_ms = self.0.db.clock().now_ms();
        // Looks first, without writing: an idle yard writes nothing.
        if store::next_due(&self.0.db, &registry).await?.is_none_or(|due_ms| due_ms > now_ms) {
            return Ok(0);
        }
        let which = Which::Due(i64::try_from(free).unwrap_or(i64::MAX));
        let taken = store::take(&self.0.db, &registry, self.0.owner, self.0.pace.lease_ms, which).await?;
        let count = taken.len();
        for one in taken {
            let (sagas, stop) = (self.clone(), stop.clone());
            working.spawn(async move { sagas.work(one, &stop).await });
        }
        Ok(count)
    }

    /// Until the next one is due, or somebody else should have taken what is.
    async fn pause_ms(&self) -> i64 {
        let registry = self.0.registry.load_full();
        let most = self.0.pace.look_ms_max;
        match store::next_due(&self.0.db, &registry).await {
            Ok(Some(due_ms)) => (due_ms - self.0.db.clock().now_ms()).clamp(5, most),
            Ok(None) | Err(_) => most,
        }
    }

    /// Runs one saga to its next pause and answers how it then stands. Who asks need not stay: it goes on.
    pub async fn run_now(&self, id: Uuid) -> Result<Option<SagaBody>, DbError> {
        let until = Instant::now() + RUN_NOW_MAX;
        loop {
            // Why before the look: its holder may leave it between the look and the wait.
            let left = self.0.left.notified();
            let registry = self.0.registry.load_full();
            let taken = store::take(&self.0.db, &registry, self.0.owner, self.0.pace.lease_ms, Which::One(id)).await?;
            if let Some(one) = taken.into_iter().next() {
                let sagas = self.clone();
                // A task of its own: no request's cancellation can cut a step.
                let work = tokio::spawn(async move { sagas.work(one, &CancellationToken::new()).await });
                work.await.ok();
                return self.find(id).await;
            }
            let found = self.find(id).await?;
            if found.as_ref().is_none_or(|saga| !saga.at_work) || until <= Instant::now() {
                return Ok(found);
            }
            tokio::select! {
                () = left => {}
                () = tokio::time::sleep(ANSWER_POLL) => {}
            }
        }
    }

    /// Counts what an operator should look at.
    async fn report(&self) {
        let registry = self.0.registry.load_full();
        let (stuck, unknown) = match store::standing(&self.0.db, &registry).await {
            Ok(standing) => standing,
            Err(error) => {
                tracing::warn!(db = self.0.db.name(), %error, "stuck sagas could not be counted");
                return;
            }
        };
        for one in registry.iter() {
            let name = one.shape().name;
            let count = stuck.iter().find(|(found, _)| found == name).map_or(0, |(_, count)| *count);
            metrics::gauge!("madang_saga_stuck", "saga" => name).set(count as f64);
        }
        metrics::gauge!("madang_saga_unknown_version", "db" => self.0.db.name()).set(unknown as f64);
        if unknown > 0 {
            tracing::error!(
                db = self.0.db.name(),
                sagas = unknown,
                "sagas of versions this process does not know wait"
            );
        }
    }
}
