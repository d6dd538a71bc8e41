//! One saga at work in this process: its steps, its writes, its lease.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use ::saga::{DriveError, Left, Outcome, Store, Undone, Work, Write, backoff_ms, drive};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use super::Sagas;
use super::store::{self, Due, Taken};
use crate::db::DbError;

/// The store's side of one taken saga.
struct Held<'a> {
    sagas: &'a Sagas,
    name: &'static str,
    signals: i64,
    stop: &'a CancellationToken,
}

impl Sagas {
    /// Runs a taken saga until it ends, waits or is lost.
    pub(super) async fn work(&self, taken: Taken, stop: &CancellationToken) {
        let Taken { name, version, signals, mut instance } = taken;
        let registry = self.0.registry.load_full();
        let Some(definition) = registry.get(&name, version) else { return };
        let (id, attempt) = (instance.id, instance.attempt);
        let name = definition.shape().name;
        if attempt == 1 {
            metrics::counter!("madang_saga_started_total", "saga" => name).increment(1);
        }
        let held = Held { sagas: self, name, signals, stop };
        let left = tokio::select! {
            left = drive(definition, &mut instance, &held) => left,
            () = self.keep(id, attempt) => Ok(Left::Lost),
        };
        let tries = instance.tries.saturating_add(1);
        let given_up = match left {
            Ok(Left::At(state)) => {
                metrics::counter!("madang_saga_ended_total", "saga" => name, "state" => state.as_str()).increment(1);
                if state == ::saga::State::Stuck {
                    tracing::error!(saga.id = %id, saga.name = name, "a saga is stuck; an operator can retry or undo it");
                }
                Ok(())
            }
            Ok(Left::Waiting) => Ok(()),
            Ok(Left::Lost) => {
                tracing::warn!(saga.id = %id, attempt, "a saga was taken over; nothing more of it is done here");
                Ok(())
            }
            Ok(Left::Interrupted) => self.give_up(id, attempt, 0, None).await,
            Err(DriveError::Log(error)) => {
                tracing::error!(saga.id = %id, saga.name = name, %error, "a saga's log does not fit its steps");
                self.give_up(id, attempt, backoff_ms(tries.max(8), rand::random()), Some(error.to_string())).await
            }
            // Its lease runs out by itself, and the log says where it stands.
            Err(DriveError::Store(error)) => Err(error),
        };
        if let Err(error) = given_up {
            tracing::warn!(saga.id = %id, saga.name = name, %error, "a saga was left in the middle; its lease runs out");
        }
        self.0.left.notify_waiters();
    }

    /// Prolongs a lease until it is lost.
    async fn keep(&self, id: uuid::Uuid, attempt: i64) {
        let lease_ms = self.0.pace.lease_ms;
        loop {
            tokio::time::sleep(Duration::from_millis(lease_ms.unsigned_abs() / 3)).await;
            let prolonged = self.0.db.write(move |tx| Box::pin(store::prolong(tx, id, attempt, lease_ms))).await;
            match prolonged {
                Ok(false) => return,
                Ok(true) => {}
                Err(error) => tracing::warn!(saga.id = %id, %error, "a saga's lease was not prolonged"),
            }
        }
    }

    async fn give_up(&self, id: uuid::Uuid, attempt: i64, in_ms: i64, error: Option<String>) -> Result<(), DbError> {
        let due_ms = self.0.db.clock().now_ms() + in_ms;
        self.0.db.write(move |tx| Box::pin(store::release(tx, id, attempt, due_ms, error))).await
    }
}

impl Store for Held<'_> {
    type Error = DbError;

    async fn append(&self, write: &Write) -> Result<Option<i64>, DbError> {
        let shared = &self.sagas.0;
        let now_ms = shared.db.clock().now_ms();
        let wait_ms = write.wait.as_ref().map(|wait| backoff_ms(wait.tries, rand::random()));
        let owner = write.goes_on().then_some(shared.owner);
        let due_ms = now_ms + wait_ms.unwrap_or(shared.pace.lease_ms);
        let due = Due { owner, due_ms, signals: self.signals, now_ms };
        let write = write.clone();
        let written = shared.db.write(move |tx| Box::pin(async move { store::append(tx, &write, &due).await })).await?;
        Ok(written.then_some(now_ms))
    }

    async fn act(&self, step: &'static str, action: &Work<'_, Outcome>) -> Result<Outcome, DbError> {
        let outcome = match self.run(step, action).await {
            Ran::Ended(outcome) => outcome,
            Ran::TimedOut => Outcome::unknown("it took too long"),
            // Why not unknown: a panic is a mistake of ours, and asking again for ever would hide it.
            Ran::Panicked => Outcome::stuck("it panicked"),
        };
        if matches!(outcome, Outcome::Unknown(_)) {
            metrics::counter!("madang_saga_unknown_total", "saga" => self.name, "step" => step).increment(1);
        }
        Ok(outcome)
    }

    async fn undo(&self, step: &'static str, undo: &Work<'_, Undone>) -> Result<Undone, DbError> {
        Ok(match self.run(step, undo).await {
            Ran::Ended(undone) => undone,
            Ran::TimedOut => Undone::not_yet("it took too long"),
            Ran::Panicked => Undone::not_yet("it panicked"),
        })
    }

    fn go_on(&self) -> bool {
        !self.stop.is_cancelled()
    }
}

/// Shows how often sagas of this name ended in each way from the first scrape on: a rate needs the zero before the one.
pub(super) fn begin_counting(name: &'static str) {
    metrics::describe_counter!("madang_saga_started_total", "Sagas taken for the first time");
    metrics::describe_counter!("madang_saga_ended_total", "Sagas that were completed, compensated, or got stuck");
    metrics::counter!("madang_saga_started_total", "saga" => name).increment(0);
    for state in [::saga::State::Completed, ::saga::State::Compensated, ::saga::State::Stuck] {
        metrics::counter!("madang_saga_ended_total", "saga" => name, "state" => state.as_str()).increment(0);
    }
}

enum Ran<T> {
    Ended(T),
    TimedOut,
    Panicked,
}

impl Held<'_> {
    /// Calls a step: its failure, its panic and its slowness are its own saga's.
    async fn run<T: Send + 'static>(&self, step: &'static str, work: &Work<'_, T>) -> Ran<T> {
        let began = Instant::now();
        let most = Duration::from_millis(self.sagas.0.pace.step_ms_max);
        // Why the call is inside: an action may panic before it gives its future.
        let running = AssertUnwindSafe(async { work().await }).catch_unwind();
        let ran = match tokio::time::timeout(most, running).await {
            Ok(Ok(ended)) => Ran::Ended(ended),
            Ok(Err(_panic)) => {
                tracing::error!(saga.name = self.name, step, "a step panicked");
                Ran::Panicked
            }
            Err(_elapsed) => Ran::TimedOut,
        };
        metrics::histogram!("madang_saga_step_seconds", "saga" => self.name, "step" => step)
            .record(began.elapsed().as_secs_f64());
        ran
    }
}
