//! SQLite itself under power cuts: what its documentation promises for each journal mode is kept, and what it does not promise is seen to be lost.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use powercut::{PowerCut, Survivors};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// Each writer's newest transactions are there as rows of `body`, rewritten in turn.
const SLOTS: i64 = 16;
const ROWS: i64 = 3;
const CUTS: u64 = 320;
/// So many lost images show that the loss is found, not met by chance.
const LOSSES: u32 = 20;

const SCHEMA: &str = "CREATE TABLE done(writer INTEGER, n INTEGER, PRIMARY KEY(writer, n)) WITHOUT ROWID;
     CREATE TABLE body(writer INTEGER, slot INTEGER, part INTEGER, n INTEGER, bytes BLOB, PRIMARY KEY(writer, slot, part));
     CREATE INDEX body_by_n ON body(n)";

#[derive(Clone, Copy)]
struct Setting {
    journal: SqliteJournalMode,
    synchronous: SqliteSynchronous,
    writers: usize,
    /// Closes the database after each transaction, which removes the write-ahead log.
    reopen: bool,
}

const WAL_FULL: Setting =
    Setting { journal: SqliteJournalMode::Wal, synchronous: SqliteSynchronous::Full, writers: 3, reopen: false };

impl Setting {
    async fn connect(self, path: &Path) -> SqliteConnection {
        SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(self.journal)
            .synchronous(self.synchronous)
            .busy_timeout(Duration::from_secs(60))
            // Often, so that cuts fall into checkpoints too.
            .pragma("wal_autocheckpoint", "24")
            .connect()
            .await
            .unwrap()
    }
}

/// A database being written to, on a directory whose power may be cut.
struct Load {
    power: PowerCut,
    acknowledged: Arc<Vec<AtomicU64>>,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<()>>,
    dir: TempDir,
}

impl Load {
    async fn start(setting: Setting) -> Load {
        let dir = TempDir::new().unwrap();
        let power = powercut::install(dir.path()).unwrap();
        let path = dir.path().join("load.db");
        let safe = Setting { synchronous: SqliteSynchronous::Extra, ..setting };
        let mut schema = safe.connect(&path).await;
        sqlx::raw_sql(SCHEMA).execute(&mut schema).await.unwrap();
        schema.close().await.unwrap();

        let acknowledged: Arc<Vec<AtomicU64>> = Arc::new((0..setting.writers).map(|_| AtomicU64::new(0)).collect());
        let stop = Arc::new(AtomicBool::new(false));
        let writers = (0..setting.writers)
            .map(|writer| {
                let (path, acknowledged, stop) = (path.clone(), acknowledged.clone(), stop.clone());
                tokio::spawn(async move { write(setting, &path, writer, &acknowledged[writer], &stop).await })
            })
            .collect();
        Load { power, acknowledged, stop, writers, dir }
    }

    /// Cuts the power, and opens what it left: how many changes were at stake, and what is wrong with the image.
    async fn cut(&self, seed: u64, survivors: Survivors) -> (usize, Result<(), Wrong>) {
        let image = TempDir::new().unwrap();
        let acknowledged: Vec<u64> = self.acknowledged.iter().map(|count| count.load(SeqCst)).collect();
        let unsynced = self.power.cut(seed, image.path(), survivors).unwrap();
        (unsynced, check(&image.path().join("load.db"), &acknowledged).await)
    }

    async fn finish(mut self) -> u64 {
        self.stop.store(true, SeqCst);
        for writer in self.writers.drain(..) {
            writer.await.unwrap();
        }
        drop(self.dir);
        self.acknowledged.iter().map(|count| count.load(SeqCst)).sum()
    }
}

#[derive(Debug, PartialEq)]
enum Wrong {
    /// The database does not open, or its integrity check fails.
    Corrupt(String),
    /// A transaction is there in part.
    Halved { writer: usize, n: i64 },
    /// An acknowledged transaction is missing.
    Lost { writer: usize, acknowledged: u64, found: i64 },
}

async fn write(setting: Setting, path: &Path, writer: usize, acknowledged: &AtomicU64, stop: &AtomicBool) {
    let mut connection = setting.connect(path).await;
    let mut n = 0;
    while !stop.load(SeqCst) {
        n += 1;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
        sqlx::query("INSERT INTO done VALUES(?, ?)")
            .bind(writer as i64)
            .bind(n)
            .execute(&mut *transaction)
            .await
            .unwrap();
        for part in 0..ROWS {
            sqlx::query("REPLACE INTO body VALUES(?, ?, ?, ?, ?)")
                .bind(writer as i64)
                .bind(n % SLOTS)
                .bind(part)
                .bind(n)
                .bind(body(writer, n, part))
                .execute(&mut *transaction)
                .await
                .unwrap();
        }
        transaction.commit().await.unwrap();
        acknowledged.store(n as u64, SeqCst);
        if setting.journal == SqliteJournalMode::Wal && n % 40 == 0 {
            // Shortens the log to nothing where no other connection is in the way; a busy one is no error.
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.unwrap();
        }
        if setting.reopen {
            connection.close().await.unwrap();
            connection = setting.connect(path).await;
        }
    }
    connection.close().await.unwrap();
}

/// Of lengths from some bytes to some pages, and different for each transaction.
fn body(writer: usize, n: i64, part: i64) -> Vec<u8> {
    let len = 40 + (n * 797 + part * 4001) % 6000;
    (0..len).map(|at| (at * 31 + n * 7 + part + writer as i64) as u8).collect()
}

async fn check(path: &Path, acknowledged: &[u64]) -> Result<(), Wrong> {
    let corrupt = |error: sqlx::Error| Wrong::Corrupt(error.to_string());
    // The image is not written to again, so it needs no syncs.
    let options = SqliteConnectOptions::new().filename(path).synchronous(SqliteSynchronous::Off);
    let mut connection = options.connect().await.map_err(corrupt)?;
    let verdict: String =
        sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.map_err(corrupt)?;
    if verdict != "ok" {
        return Err(Wrong::Corrupt(verdict));
    }
    for (writer, acknowledged) in acknowledged.iter().enumerate() {
        let row = sqlx::query("SELECT coalesce(max(n), 0), count(*) FROM done WHERE writer = ?")
            .bind(writer as i64)
            .fetch_one(&mut connection)
            .await
            .map_err(corrupt)?;
        let (found, count): (i64, i64) = (row.get(0), row.get(1));
        if found != count {
            return Err(Wrong::Halved { writer, n: found });
        }
        let bodies = sqlx::query("SELECT n, part, bytes FROM body WHERE writer = ? ORDER BY n, part")
            .bind(writer as i64)
            .fetch_all(&mut connection)
            .await
            .map_err(corrupt)?;
        let seen: Vec<(i64, i64, Vec<u8>)> = bodies.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
        let first = (found - SLOTS + 1).max(1);
        let expected = (first..=found).flat_map(|n| (0..ROWS).map(move |part| (n, part, body(writer, n, part))));
        if !expected.eq(seen) {
            return Err(Wrong::Halved { writer, n: found });
        }
        if found < *acknowledged as i64 {
            return Err(Wrong::Lost { writer, acknowledged: *acknowledged, found });
        }
    }
    Ok(())
}

/// Every image is whole and holds all that was acknowledged before the cut.
async fn keeps_everything(setting: Setting) {
    let load = Load::start(setting).await;
    let began = Instant::now();
    let mut at_stake = 0;
    for seed in 0..CUTS {
        let survivors = Survivors::EACH[seed as usize % 4];
        let (unsynced, found) = load.cut(seed, survivors).await;
        assert_eq!(found, Ok(()), "cut {seed}, survivors {survivors:?}, {unsynced} changes unsynced");
        at_stake += u64::from(unsynced > 0);
    }
    let cuts_per_s = CUTS as f64 / began.elapsed().as_secs_f64();
    let commits = load.finish().await;
    println!("{CUTS} cuts, {cuts_per_s:.0}/s, {at_stake} with something at stake, {commits} commits acknowledged");
    assert!(at_stake > CUTS / 10, "only {at_stake} of {CUTS} cuts had anything to lose");
    assert!(commits > CUTS / 10, "only {commits} commits during the cuts");
}

/// Cuts until enough is lost, and returns whether every image was whole nevertheless.
async fn loses_something(setting: Setting) -> bool {
    let load = Load::start(setting).await;
    let (mut cuts, mut lost, mut whole) = (0, 0, true);
    while cuts < CUTS && lost < LOSSES {
        let survivors = [Survivors::None, Survivors::Writes, Survivors::Sectors][cuts as usize % 3];
        let (_, found) = load.cut(cuts, survivors).await;
        cuts += 1;
        lost += u32::from(found.is_err());
        whole &= matches!(found, Ok(()) | Err(Wrong::Lost { .. }));
    }
    let commits = load.finish().await;
    println!("{cuts} cuts, {lost} with a loss, {commits} commits acknowledged");
    assert_eq!(lost, LOSSES, "too few losses were found in {cuts} cuts");
    whole
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_ahead_log_with_full_syncs_keeps_every_acknowledged_commit() {
    keeps_everything(WAL_FULL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_ahead_log_deleted_and_made_again_keeps_every_acknowledged_commit() {
    keeps_everything(Setting { writers: 1, reopen: true, ..WAL_FULL }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollback_journal_with_extra_syncs_keeps_every_acknowledged_commit() {
    keeps_everything(Setting { journal: SqliteJournalMode::Delete, synchronous: SqliteSynchronous::Extra, ..WAL_FULL })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_syncs_losses_are_found() {
    let whole = loses_something(Setting { synchronous: SqliteSynchronous::Off, ..WAL_FULL }).await;
    assert!(!whole, "without any sync some image must be torn");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_ahead_log_without_a_sync_a_commit_loses_commits_but_stays_whole() {
    assert!(loses_something(Setting { synchronous: SqliteSynchronous::Normal, ..WAL_FULL }).await);
}

/// FULL leaves the deletion of the journal, which is the commit, unsynced; the journal may come back and undo it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollback_journal_without_a_sync_of_its_deletion_loses_commits_but_stays_whole() {
    assert!(loses_something(Setting { journal: SqliteJournalMode::Delete, ..WAL_FULL }).await);
}

#[tokio::test]
async fn everything_surviving_is_the_live_database() {
    let (dir, image) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    std::fs::create_dir(dir.path().join("deep")).unwrap();
    std::fs::write(dir.path().join("deep/key"), "secret").unwrap();
    let path = dir.path().join("deep/a.db");
    let off = Setting { synchronous: SqliteSynchronous::Off, ..WAL_FULL };

    // Written before the directory was watched, so durable; then one row unsynced.
    let mut before = off.connect(&path).await;
    sqlx::raw_sql("CREATE TABLE t(v); INSERT INTO t VALUES(1)").execute(&mut before).await.unwrap();
    before.close().await.unwrap();
    let power = powercut::install(dir.path()).unwrap();
    let mut open = off.connect(&path).await;
    sqlx::raw_sql("INSERT INTO t VALUES(2)").execute(&mut open).await.unwrap();
    let mapped: Option<i64> = sqlx::query_scalar("PRAGMA mmap_size = 1000000").fetch_optional(&mut open).await.unwrap();
    assert_eq!(mapped, None, "memory mapping is refused");

    for (survivors, expected) in [(Survivors::None, 1), (Survivors::All, 2)] {
        let target = image.path().join(format!("{survivors:?}"));
        assert!(power.cut(0, &target, survivors).unwrap() > 0);
        assert_eq!(std::fs::read_to_string(target.join("deep/key")).unwrap(), "secret");
        let mut connection = off.connect(&target.join("deep/a.db")).await;
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut connection).await.unwrap();
        assert_eq!(rows, expected);
        connection.close().await.unwrap();
    }
    assert!(!image.path().join("All/deep/a.db-shm").exists(), "closing removed it, the cut did not bring it");
    assert!(power.cut(0, &dir.path().join("inside"), Survivors::All).is_err());
    open.close().await.unwrap();
}
