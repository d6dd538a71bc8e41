//! SQLite's write-ahead log is moved into the database file beside the writer, so that no commit waits for it.

use std::path::PathBuf;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use super::Inner;

pub(super) const LOOK: Duration = Duration::from_millis(250);
/// SQLite's own threshold, 1,000 pages: below it a checkpoint costs more than a longer log.
const WAL_BYTES_MIN: u64 = 4 << 20;
/// A log that never found a quiet moment to begin anew is emptied while the writer waits a little.
pub(super) const WAL_BYTES_MAX: u64 = 128 << 20;

/// Checkpoints the database of `file` for as long as its [`super::Db`] lives and is open.
pub(super) async fn run(db: Weak<Inner>, options: SqliteConnectOptions, file: PathBuf) {
    let log = file.with_extension("db-wal");
    let pool =
        SqlitePoolOptions::new().max_connections(1).idle_timeout(Duration::from_secs(60)).connect_lazy_with(options);
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let copying = match db.upgrade() {
            Some(db) if !db.writer.get_sqlite_connection_pool().is_closed() => db.snapshots.load(Ordering::SeqCst) > 0,
            _ => break,
        };
        let bytes = tokio::fs::metadata(&log).await.map_or(0, |log| log.len());
        if bytes >= WAL_BYTES_MIN {
            checkpoint(&pool, bytes, copying).await;
        }
    }
    pool.close().await;
}

async fn checkpoint(pool: &SqlitePool, bytes: u64, copying: bool) {
    // Why not while a backup copies: emptying waits for its snapshot, and the writer would wait with it.
    let pragma = if bytes >= WAL_BYTES_MAX && !copying {
        "PRAGMA wal_checkpoint(TRUNCATE)"
    } else {
        "PRAGMA wal_checkpoint(PASSIVE)"
    };
    if let Err(error) = sqlx::query(pragma).execute(pool).await {
        // The log keeps everything meanwhile; it only grows.
        tracing::warn!(%error, log.bytes = bytes, "the write-ahead log could not be moved into the database file");
    }
}
