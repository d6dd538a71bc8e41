//! Jobs: stored schedules, one run per due time whatever the number of processes, caught up after a stop.
//!
//! A job takes no input and repairs from full state, so that running it once more is harmless.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use croner::Cron;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::db::{Db, DbError, Query, args};
use crate::lease::Lease;

/// When a job is due.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// So many milliseconds after its last run began.
    Every(i64),
    /// A cron pattern in the yard's time zone (minutes first).
    Cron { pattern: &'static str, offset_s: i32 },
}

type Work = dyn Fn() -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync;
type Check = dyn Fn() -> BoxFuture<'static, Result<bool, DbError>> + Send + Sync;

#[derive(Clone)]
pub struct Job {
    pub name: &'static str,
    pub schedule: Schedule,
    pub db: Db,
    pub work: Arc<Work>,
    check: Option<Arc<Check>>,
}

/// A run that takes longer loses its lease to another process.
const LEASE_MS: i64 = 60_000;
const LOOK_MS_MAX: i64 = 1_000;

impl Job {
    pub fn new<F>(name: &'static str, schedule: Schedule, db: Db, work: F) -> Self
    where
        F: Fn() -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync + 'static,
    {
        Self { name, schedule, db, work: Arc::new(work), check: None }
    }

    /// Looks first, without writing: a job that looks often takes its lease only when there is something to do.
    pub fn only_if<F>(mut self, check: F) -> Self
    where
        F: Fn() -> BoxFuture<'static, Result<bool, DbError>> + Send + Sync + 'static,
    {
        self.check = Some(Arc::new(check));
        self
    }

    /// Runs it whenever it is due, until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let lease = Lease::new(self.db.clone(), format!("job {}", self.name), LEASE_MS);
        while !stop.is_cancelled() {
            let pause_ms = match self.step(&lease).await {
                Ok(next_ms) => (next_ms - self.db.clock().now_ms()).clamp(5, LOOK_MS_MAX),
                Err(error) => {
                    tracing::warn!(job = self.name, %error, "a job could not look at its schedule");
                    LOOK_MS_MAX
                }
            };
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(pause_ms.unsigned_abs())) => {}
                () = stop.cancelled() => {}
            }
        }
        lease.release().await;
    }

    /// Runs it if it is due; answers when it is due next.
    async fn step(&self, lease: &Lease) -> Result<i64, DbError> {
        let now_ms = self.db.clock().now_ms();
        if let Some(due_ms) = self.due_after(now_ms).await? {
            return Ok(due_ms);
        }
        if let Some(check) = &self.check
            && !check().await?
        {
            return Ok(self.next_ms(now_ms));
        }
        let Some(attempt) = lease.hold().await? else { return Ok(now_ms + LOOK_MS_MAX) };
        // Why again: who held the lease until now may have run it since the first look.
        if let Some(due_ms) = self.due_after(now_ms).await? {
            lease.release().await;
            return Ok(due_ms);
        }
        let outcome = std::panic::AssertUnwindSafe((self.work)()).catch_unwind().await;
        let error = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(_panic) => Some("panicked".to_owned()),
        };
        if let Some(error) = &error {
            tracing::error!(job = self.name, error, "a job failed; it runs again when it is next due");
            metrics::counter!("madang_job_failures_total", "job" => self.name).increment(1);
        }
        let next_ms = self.next_ms(now_ms);
        let (name, ended_ms, lease) = (self.name, self.db.clock().now_ms(), lease.clone());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    if !lease.is_held(tx, attempt).await? {
                        return Ok(0);
                    }
                    // Why here: a process that ends between two runs, however it ends, keeps nobody waiting.
                    lease.give_up(tx).await?;
                    let sql = "INSERT INTO job (name, due_ms, last_started_ms, last_ended_ms, last_error, runs) VALUES ($1, $2, $3, $4, $5, 1)
                               ON CONFLICT (name) DO UPDATE SET due_ms = $2, last_started_ms = $3, last_ended_ms = $4, last_error = $5, runs = job.runs + 1";
                    tx.run(sql, args![name, next_ms, now_ms, ended_ms, error]).await
                })
            })
            .await?;
        Ok(next_ms)
    }

    /// When it is due next, if that lies ahead.
    async fn due_after(&self, now_ms: i64) -> Result<Option<i64>, DbError> {
        let due = self.db.one::<(i64,)>("SELECT due_ms FROM job WHERE name = $1", args![self.name]).await?;
        Ok(due.map(|row| row.0).filter(|due_ms| *due_ms > now_ms))
    }

    fn next_ms(&self, now_ms: i64) -> i64 {
        match &self.schedule {
            Schedule::Every(every_ms) => now_ms + every_ms,
            Schedule::Cron { pattern, offset_s } => next_cron(pattern, *offset_s, now_ms).unwrap_or(now_ms + 3_600_000),
        }
    }
}

fn next_cron(pattern: &str, offset_s: i32, now_ms: i64) -> Option<i64> {
    let zone = chrono::FixedOffset::east_opt(offset_s)?;
    let now = chrono::DateTime::from_timestamp_millis(now_ms)?.with_timezone(&zone);
    Some(Cron::from_str(pattern).ok()?.find_next_occurrence(&now, false).ok()?.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::db::{Clock, DbOptions, open};
    use crate::service::migrate_context;

    #[tokio::test]
    async fn a_job_that_looks_first_writes_nothing_while_there_is_nothing_to_do() {
        let dir = tempfile::tempdir().expect("a directory");
        let options = DbOptions::Sqlite { dir: dir.path().to_owned() };
        let db = open("jobs", &options, &Clock::default()).await.expect("a database");
        migrate_context(&db, &[]).await.expect("its tables");
        let (due, runs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (looked, worked) = (due.clone(), runs.clone());
        let job = Job::new("looking", Schedule::Every(0), db.clone(), move || {
            worked.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Ok(()) })
        })
        .only_if(move || {
            let due = looked.load(Ordering::Relaxed);
            Box::pin(async move { Ok(due) })
        });
        let lease = Lease::new(db.clone(), "job looking", LEASE_MS);
        let leases = async || db.one::<(i64,)>("SELECT count(*) FROM lease", args![]).await.expect("a count");
        job.step(&lease).await.expect("a look");
        assert_eq!((runs.load(Ordering::Relaxed), leases().await), (0, Some((0,))));
        due.store(true, Ordering::Relaxed);
        job.step(&lease).await.expect("a run");
        assert_eq!((runs.load(Ordering::Relaxed), leases().await), (1, Some((1,))));
    }
}
