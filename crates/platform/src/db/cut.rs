//! One cut through the SQLite files of a yard, and their copies, while the yard goes on.
//!
//! Invariant: the snapshots of a cut begin while every writer is held, so that no commit lies between two of them.

use std::ffi::CStr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::{join_all, try_join_all};
use libsqlite3_sys as ffi;
use sqlx::sqlite::{LockedSqliteHandle, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::{Db, DbError, Kind};

/// Copied between two looks whether anybody still wants the copy: 1 MiB.
const STEP_PAGES: i32 = 256;
/// A connection's own database, as opposed to attached ones.
const MAIN: &CStr = c"main";

/// What a yard's files hold at one moment.
pub struct Cut {
    /// The moment, by the yard's clock.
    pub at_ms: i64,
    /// How long the first writer was held.
    pub held: Duration,
    pub snapshots: Vec<Snapshot>,
}

/// Holds the writers of all these databases for a moment and begins a snapshot of each. PostgreSQL has its own means.
pub async fn cut(databases: &[Db]) -> Result<Cut, DbError> {
    if let Some(db) = databases.iter().find(|db| db.kind() != Kind::Sqlite) {
        let text = format!("{} is in PostgreSQL, which has its own means: pg_dump", db.name());
        return Err(DbError::Failed(anyhow::anyhow!(text)));
    }
    let mut snapshots = try_join_all(databases.iter().map(Snapshot::prepare)).await?;
    // Whoever has a file's only writer connection holds off groups and batches alike.
    let hold = |db| async move { Db::sqlite_writer(db).acquire().await.map(|writer| (writer, Instant::now())) };
    let held = join_all(databases.iter().map(hold)).await;
    let held = held.into_iter().collect::<Result<Vec<_>, _>>()?;
    let at_ms = databases.first().map_or_else(super::clock::process_now_ms, |db| db.clock().now_ms());
    let begun = begin(&mut snapshots).await;
    let since = held.iter().map(|(_, since)| *since).min();
    drop(held);
    let held = since.map_or(Duration::ZERO, |since| since.elapsed());
    metrics::histogram!("madang_backup_hold_seconds").record(held.as_secs_f64());
    begun?;
    Ok(Cut { at_ms, held, snapshots })
}

/// The same of files that nobody has open.
pub async fn cut_files(files: &[PathBuf]) -> Result<Cut, DbError> {
    let mut snapshots = try_join_all(files.iter().map(|file| Snapshot::of_file(file))).await?;
    begin(&mut snapshots).await?;
    Ok(Cut { at_ms: super::clock::process_now_ms(), held: Duration::ZERO, snapshots })
}

async fn begin(snapshots: &mut [Snapshot]) -> Result<(), DbError> {
    for snapshot in snapshots {
        snapshot.begin().await?;
    }
    Ok(())
}

/// What one file held at the moment of the cut, for as long as this lives.
pub struct Snapshot {
    name: String,
    connection: SqliteConnection,
    _pin: Option<Pin>,
}

impl Snapshot {
    async fn prepare(db: &Db) -> Result<Snapshot, DbError> {
        let options = db.0.reader.get_sqlite_connection_pool().connect_options();
        Ok(Snapshot { name: db.name().to_owned(), connection: options.connect().await?, _pin: Some(Pin::new(db)) })
    }

    async fn of_file(file: &Path) -> Result<Snapshot, DbError> {
        let name = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let options = SqliteConnectOptions::new().filename(file).pragma("query_only", "on");
        Ok(Snapshot { name, connection: options.connect().await?, _pin: None })
    }

    async fn begin(&mut self) -> Result<(), DbError> {
        sqlx::query("BEGIN").execute(&mut self.connection).await?;
        // A transaction has no snapshot before its first read.
        sqlx::query("SELECT count(*) FROM sqlite_schema").execute(&mut self.connection).await?;
        Ok(())
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Copies what the file held into a new one (mode 0600), which is not synced. Dropped half-way, it soon stops.
    pub async fn copy_to(self, target: &Path) -> Result<(), DbError> {
        let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(target);
        made.map_err(|error| DbError::Unavailable(error.into()))?;
        let options = SqliteConnectOptions::new()
            .filename(target)
            .journal_mode(SqliteJournalMode::Off)
            .synchronous(SqliteSynchronous::Off);
        let mut copy = options.connect().await?;
        let wanted = Wanted::default();
        let (still, runtime) = (wanted.0.clone(), tokio::runtime::Handle::current());
        let mut from = self.connection;
        let copied = tokio::task::spawn_blocking(move || {
            let copied = runtime.block_on(async {
                let (mut from, mut to) = (from.lock_handle().await?, copy.lock_handle().await?);
                copy_pages(&mut from, &mut to, &still)
            });
            runtime.block_on(async { futures::join!(from.close(), copy.close()) }).1?;
            copied
        });
        copied.await.map_err(|error| DbError::Failed(error.into()))?
    }
}

/// Keeps the file's log from being emptied: a writer would wait for the snapshot's end.
struct Pin(Db);

impl Pin {
    fn new(db: &Db) -> Pin {
        db.0.snapshots.fetch_add(1, Ordering::SeqCst);
        Pin(db.clone())
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.0.0.snapshots.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Turns false with its owner.
struct Wanted(Arc<AtomicBool>);

impl Default for Wanted {
    fn default() -> Self {
        Wanted(Arc::new(AtomicBool::new(true)))
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// SQLite's backup API (<https://sqlite.org/c3ref/backup_finish.html>): copies what the open transaction of `from` sees.
fn copy_pages(
    from: &mut LockedSqliteHandle<'_>,
    to: &mut LockedSqliteHandle<'_>,
    wanted: &AtomicBool,
) -> Result<(), DbError> {
    let (from, to) = (from.as_raw_handle().as_ptr(), to.as_raw_handle().as_ptr());
    // SAFETY: both connections are locked for us until we return; `backup` is used before it is finished only, and
    // finished exactly once.
    unsafe {
        let backup = ffi::sqlite3_backup_init(to, MAIN.as_ptr(), from, MAIN.as_ptr());
        if backup.is_null() {
            return Err(failed(to));
        }
        let mut step = ffi::SQLITE_OK;
        while step == ffi::SQLITE_OK && wanted.load(Ordering::Relaxed) {
            step = ffi::sqlite3_backup_step(backup, STEP_PAGES);
        }
        let finished = ffi::sqlite3_backup_finish(backup);
        match (step, finished) {
            (ffi::SQLITE_DONE, ffi::SQLITE_OK) => Ok(()),
            (ffi::SQLITE_OK, _) => Err(DbError::Unavailable(anyhow::anyhow!("the copy was given up"))),
            _ => Err(failed(to)),
        }
    }
}

/// What SQLite says went wrong with the copy.
///
/// # Safety
/// `connection` is open and nobody else uses it.
unsafe fn failed(connection: *mut ffi::sqlite3) -> DbError {
    // SAFETY: SQLite answers a text that lives until the connection's next call.
    let text = unsafe { CStr::from_ptr(ffi::sqlite3_errmsg(connection)) };
    DbError::Unavailable(anyhow::anyhow!("{}", text.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{Clock, DbOptions, Query, args, open};

    async fn table(name: &'static str, dir: &Path) -> Db {
        let options = DbOptions::Sqlite { dir: dir.to_owned() };
        let db = open(name, &options, &Clock::default()).await.expect("a database");
        let sql = "CREATE TABLE t (n INTEGER PRIMARY KEY, fill BLOB) STRICT";
        db.write(move |tx| Box::pin(async move { tx.run(sql, args![]).await })).await.expect("a table");
        db
    }

    async fn insert(db: &Db, n: i64) -> Result<(), DbError> {
        db.write(move |tx| {
            Box::pin(async move {
                tx.run("INSERT INTO t VALUES ($1, randomblob(2000))", args![n]).await?;
                Ok(())
            })
        })
        .await
    }

    async fn numbers(file: &Path) -> Vec<i64> {
        let options = SqliteConnectOptions::new().filename(file);
        let mut connection = options.connect().await.expect("a copy");
        let whole: (String,) = sqlx::query_as("PRAGMA integrity_check").fetch_one(&mut connection).await.expect("read");
        assert_eq!(whole.0, "ok");
        let rows = sqlx::query_as("SELECT n FROM t ORDER BY n").fetch_all(&mut connection).await.expect("rows");
        rows.into_iter().map(|(n,): (i64,)| n).collect()
    }

    /// So many files lie between the two that are compared that commits would go by while their snapshots begin.
    const BETWEEN: [&str; 24] = [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v",
        "w", "x",
    ];

    /// Writes each number to `first`, then to `second`: whatever moment is cut, they differ by one at most.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_cut_is_of_one_moment_whatever_is_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let (first, second) = (table("first", dir.path()).await, table("second", dir.path()).await);
        let mut all = vec![first.clone()];
        for name in BETWEEN {
            all.push(table(name, dir.path()).await);
        }
        all.push(second.clone());
        let done = Arc::new(AtomicBool::new(false));
        let writing = tokio::spawn({
            let (first, second, done) = (first.clone(), second.clone(), done.clone());
            async move {
                let mut n = 0;
                while !done.load(Ordering::Relaxed) {
                    insert(&first, n).await.expect("written");
                    insert(&second, n).await.expect("written");
                    n += 1;
                }
                n
            }
        });
        let mut sizes = Vec::new();
        for round in 0..10 {
            let cut = cut(&all).await.expect("a cut");
            // Much is written between the cut and its copies.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let mut copies = Vec::new();
            let compared = ["first", "second"];
            for snapshot in cut.snapshots.into_iter().filter(|snapshot| compared.contains(&snapshot.name())) {
                let target = dir.path().join(format!("{}-{round}.copy", snapshot.name()));
                snapshot.copy_to(&target).await.expect("copied");
                copies.push(numbers(&target).await);
            }
            assert_eq!(copies[0], (0..copies[0].len() as i64).collect::<Vec<_>>());
            assert!(copies[1] == copies[0] || copies[1] == copies[0][..copies[0].len() - 1], "one moment");
            sizes.push(copies[0].len());
        }
        done.store(true, Ordering::Relaxed);
        let written = writing.await.expect("it ends");
        assert!(sizes.is_sorted() && sizes[9] > sizes[0] && (sizes[9] as i64) <= written, "{sizes:?} of {written}");
        assert_eq!(first.0.snapshots.load(Ordering::SeqCst), 0, "nothing is pinned any more");
    }

    /// Emptying a large log waits for the oldest snapshot, and writers wait for that.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_large_log_stops_no_writer_while_a_copy_is_made() {
        let dir = tempfile::tempdir().expect("a directory");
        let db = table("large", dir.path()).await;
        let cut = cut(std::slice::from_ref(&db)).await.expect("a cut");
        let fill = "INSERT INTO t VALUES ($1, zeroblob(4194304))";
        for n in 1_000_000..1_000_040 {
            let written = db.write(move |tx| Box::pin(async move { tx.run(fill, args![n]).await })).await;
            written.expect("filled");
        }
        let log = std::fs::metadata(dir.path().join("large.db-wal")).expect("a log").len();
        assert!(log > crate::db::checkpoint::WAL_FRAMES_MAX.unsigned_abs() * 4_096, "a large log: {log}");
        let (since, mut slowest) = (Instant::now(), Duration::ZERO);
        for n in 0.. {
            let started = Instant::now();
            insert(&db, n).await.expect("written");
            slowest = slowest.max(started.elapsed());
            if since.elapsed() > 4 * crate::db::checkpoint::LOOK {
                break;
            }
        }
        assert!(slowest < Duration::from_secs(2), "a writer waited for {slowest:?}");
        drop(cut);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_copy_replaces_nothing_and_says_what_is_wrong() {
        let dir = tempfile::tempdir().expect("a directory");
        let db = table("only", dir.path()).await;
        let taken = dir.path().join("taken");
        std::fs::write(&taken, "mine").expect("written");
        let snapshot = cut(&[db]).await.expect("a cut").snapshots.remove(0);
        let error = snapshot.copy_to(&taken).await.expect_err("refused");
        assert!(matches!(error, DbError::Unavailable(_)), "{error:?}");
        assert_eq!(std::fs::read(&taken).expect("read"), b"mine");
    }
}
