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
/// A log that found no quiet moment to begin anew, 32 MiB of pages, does so while the writer waits a little.
pub(super) const WAL_FRAMES_MAX: i64 = 8_000;

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
        if bytes >= WAL_BYTES_MIN
            && let Err(error) = checkpoint(&pool, copying).await
        {
            // The log keeps everything meanwhile; it only grows.
            tracing::warn!(%error, log.bytes = bytes, "the write-ahead log could not be moved into the database file");
        }
    }
    pool.close().await;
}

async fn checkpoint(pool: &SqlitePool, copying: bool) -> Result<(), sqlx::Error> {
    let passive = sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)");
    let (_busy, frames, _moved): (i64, i64, i64) = passive.fetch_one(pool).await?;
    // Why not while a backup copies: it would wait for the backup's snapshot, and the writer with it.
    if frames >= WAL_FRAMES_MAX && !copying {
        // Why only now and in place: the writer waits for the few pages that came meanwhile, and for no new blocks after.
        sqlx::query("PRAGMA wal_checkpoint(RESTART)").execute(pool).await?;
    }
    Ok(())
}
