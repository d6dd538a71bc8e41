//! Leases and jobs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use platform::db::{Db, DbError, Query, args};
use platform::jobs::{Job, Schedule};
use platform::lease::Lease;
use platform::service::migrate_context;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::site::{Site, databases};
use crate::support::wait::{until, until_so};

const SOON: Duration = Duration::from_secs(20);
const HOUR_MS: i64 = 3_600_000;

async fn open(site: &Site) -> Db {
    let db = site.open("jobs").await;
    migrate_context(&db, &[]).await.unwrap();
    db
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_has_one_holder_and_a_late_one_is_fenced() {
    databases(leases).await;
}

async fn leases(site: &Site) {
    let (db, other) = (open(site).await, open(site).await);
    let (a, b) = (Lease::new(db.clone(), "work", 300), Lease::new(other.clone(), "work", 60_000));
    assert_eq!(a.hold().await.unwrap(), Some(1));
    assert_eq!(b.hold().await.unwrap(), None);
    assert_eq!(a.hold().await.unwrap(), Some(1), "prolonged, not taken anew");
    assert!(held(&db, &a, 1).await);

    // A does not come back in time.
    let attempt = until("B took it over", SOON, async || b.hold().await.unwrap()).await;
    assert_eq!(attempt, 2);
    assert!(!held(&db, &a, 1).await, "what A writes now must not count");
    assert!(held(&other, &b, 2).await && !held(&other, &b, 1).await);
    assert_eq!(a.hold().await.unwrap(), None);
    a.release().await;
    assert_eq!(a.hold().await.unwrap(), None, "who does not hold it cannot give it up");
    b.release().await;
    assert_eq!(a.hold().await.unwrap(), Some(3));

    // Of many that reach for a free one at once, one gets it.
    let reaching = (0..20).map(|n| {
        let lease = Lease::new(if n % 2 == 0 { db.clone() } else { other.clone() }, "contested", 60_000);
        tokio::spawn(async move { lease.hold().await.unwrap() })
    });
    let got: Vec<_> = futures::future::join_all(reaching).await.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(got, [1]);
}

async fn held(db: &Db, lease: &Lease, attempt: i64) -> bool {
    let lease = lease.clone();
    let held: Result<bool, DbError> =
        db.write(move |tx| Box::pin(async move { lease.is_held(tx, attempt).await })).await;
    held.unwrap()
}

/// How far ahead the due time was when each run began, in milliseconds; below zero when it had passed.
type Runs = Arc<Mutex<Vec<i64>>>;

struct Running {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    fn start(jobs: impl IntoIterator<Item = Job>) -> Running {
        let stop = CancellationToken::new();
        let tasks = jobs.into_iter().map(|job| tokio::spawn(job.run(stop.clone()))).collect();
        Running { stop, tasks }
    }

    async fn stop(self) {
        self.stop.cancel();
        futures::future::join_all(self.tasks).await.into_iter().for_each(Result::unwrap);
    }
}

fn noting(db: &Db, every_ms: i64, runs: &Runs) -> Job {
    let (runs, home) = (runs.clone(), db.clone());
    Job::new("noting", Schedule::Every(every_ms), db.clone(), move || {
        let (runs, db) = (runs.clone(), home.clone());
        Box::pin(async move {
            let now_ms = db.clock().now_ms();
            let due = db.one::<(i64,)>("SELECT due_ms FROM job WHERE name = 'noting'", args![]).await?;
            runs.lock().unwrap().push(due.map_or(0, |row| row.0 - now_ms));
            Ok(())
        })
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_run_a_job_once_for_each_due_time() {
    databases(once_per_due_time).await;
}

async fn once_per_due_time(site: &Site) {
    const EVERY_MS: i64 = 400;
    let (a, b) = (open(site).await, open(site).await);
    let runs = Runs::default();
    let running = Running::start([&a, &b, &a, &b].map(|db| noting(db, EVERY_MS, &runs)));
    until_so("it ran six times", SOON, async || runs.lock().unwrap().len() >= 6).await;
    running.stop().await;
    // Who runs it a second time for one due time finds the next one ahead. The processes' clocks differ a little.
    let ahead_ms = runs.lock().unwrap().clone();
    assert!(ahead_ms.iter().all(|ahead| *ahead < EVERY_MS / 4), "ran before it was due: {ahead_ms:?}");
    assert_eq!(counted(&a).await, Some(ahead_ms.len() as i64));
}

async fn counted(db: &Db) -> Option<i64> {
    db.one::<(i64,)>("SELECT runs FROM job WHERE name = 'noting'", args![]).await.unwrap().map(|row| row.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_long_stop_a_job_catches_up_with_one_run() {
    databases(catch_up).await;
}

async fn catch_up(site: &Site) {
    let (a, b) = (open(site).await, open(site).await);
    let long_ago = a.clock().now_ms() - 100 * HOUR_MS;
    let missed = "INSERT INTO job (name, due_ms, runs) VALUES ('noting', $1, 5)";
    let stored: Result<u64, DbError> =
        a.write(move |tx| Box::pin(async move { tx.run(missed, args![long_ago]).await })).await;
    assert_eq!(stored.unwrap(), 1);
    let runs = Runs::default();
    let running = Running::start([&a, &b, &a, &b].map(|db| noting(db, HOUR_MS, &runs)));
    until_so("it ran", SOON, async || counted(&a).await == Some(6)).await;
    // Who held the lease gives it up here; the others, each of whom was due too, must find that nothing is.
    running.stop().await;
    assert_eq!(runs.lock().unwrap().len(), 1);
    assert_eq!(counted(&b).await, Some(6));
    let (due_ms,) = a.one::<(i64,)>("SELECT due_ms FROM job WHERE name = 'noting'", args![]).await.unwrap().unwrap();
    assert!((due_ms - a.clock().now_ms() - HOUR_MS).abs() < 60_000, "due again in an hour");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lost_the_lease_while_working_changes_nothing() {
    databases(fenced).await;
}

async fn fenced(site: &Site) {
    let (slow, quick) = (open(site).await, open(site).await);
    let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, waits) = (began.clone(), go.clone());
    let stuck = Job::new("noting", Schedule::Every(HOUR_MS), slow.clone(), move || {
        let (began, go) = (begins.clone(), waits.clone());
        Box::pin(async move {
            began.notify_one();
            go.notified().await;
            Err(std::io::Error::other("too late").into())
        })
    });
    let late = Running::start([stuck]);
    began.notified().await;
    let ended: Result<u64, DbError> = slow.write(|tx| Box::pin(tx.run("UPDATE lease SET until_ms = 0", args![]))).await;
    assert_eq!(ended.unwrap(), 1);
    let runs = Runs::default();
    let other = Running::start([noting(&quick, HOUR_MS, &runs)]);
    until_so("the other ran it", SOON, async || counted(&quick).await == Some(1)).await;
    go.notify_one();
    late.stop().await;
    other.stop().await;
    let job = quick
        .one::<(i64, Option<String>)>("SELECT runs, last_error FROM job WHERE name = 'noting'", args![])
        .await
        .unwrap();
    assert_eq!((job, runs.lock().unwrap().len()), (Some((1, None)), 1), "what the late one says does not count");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_fails_or_panics_runs_again() {
    databases(failing).await;
}

async fn failing(site: &Site) {
    let db = open(site).await;
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let job = Job::new("failing", Schedule::Every(5), db.clone(), move || {
        let tries = counted.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            assert!(tries != 1, "the second run panics");
            if tries == 0 { Err(std::io::Error::other("the first run fails").into()) } else { Ok(()) }
        })
    });
    let error = async || {
        let row = db
            .one::<(Option<String>, i64)>("SELECT last_error, runs FROM job WHERE name = 'failing'", args![])
            .await
            .unwrap();
        row.unwrap_or_default()
    };
    let running = Running::start([job]);
    until_so("it ran well", SOON, async || error().await.1 >= 3).await;
    running.stop().await;
    assert_eq!(error().await.0, None, "the last run was well");
    assert!(tries.load(Ordering::SeqCst) >= 3);
}
