//! The database: one code path over SQLite (`solo`) and PostgreSQL (`cluster`).
//!
//! A context has a [`Db`] of its own: a SQLite file, or a PostgreSQL schema. Statements are text with `$1`
//! placeholders that both understand; the few that differ are made with [`Db::pick`].
//!
//! Invariant: [`Db::write`] is the only way to begin a write transaction, and a transaction awaits nothing but
//! its own database.

mod checkpoint;
mod clock;
mod cut;
mod error;
mod group;
mod migrate;
mod open;
mod query;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, TransactionTrait};
use sea_orm::{SqliteTransactionMode, TransactionOptions};
use tokio::sync::Notify;

pub use clock::{Clock, ClockJump};
pub use cut::{Cut, Snapshot, cut, cut_files};
pub use error::DbError;
pub use migrate::{Migration, migrate};
pub use open::{DbOptions, open};
pub use query::{Query, Row, args};
pub use sea_orm::{FromQueryResult, Value};

/// A writer should be held no longer; a slower one is counted and logged, since everybody behind it waits.
const WRITE_HOLD_MAX: Duration = Duration::from_millis(50);

/// A context's database. Cheap to clone.
#[derive(Clone)]
pub struct Db(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    /// The context that owns the tables: the file's or the schema's name.
    pub name: &'static str,
    /// SQLite: one connection, the file's only writer. PostgreSQL: the same pool as `reader`.
    pub writer: DatabaseConnection,
    pub reader: DatabaseConnection,
    pub kind: Kind,
    pub clock: Clock,
    /// Told after each commit that wrote to the outbox.
    pub published: Notify,
    /// SQLite only: who shares the next commit.
    pub writers: group::Writers,
    /// SQLite only: snapshots that a backup still copies.
    pub snapshots: std::sync::atomic::AtomicUsize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

impl Db {
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The text for this database, where the two need different ones.
    pub fn pick<T>(&self, sqlite: T, postgres: T) -> T {
        match self.0.kind {
            Kind::Sqlite => sqlite,
            Kind::Postgres => postgres,
        }
    }

    /// Waits for the next commit that published an event here.
    pub async fn published(&self) {
        self.0.published.notified().await;
    }

    /// Tells waiting consumers that events were committed.
    pub(crate) fn wake_consumers(&self) {
        self.0.published.notify_waiters();
    }

    /// Runs `work` in one write transaction: committed when it returns `Ok`, rolled back otherwise. On SQLite writes that
    /// queue for the file share a commit.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, E>> + Send,
        T: Send,
        E: From<DbError> + Send,
    {
        match self.0.kind {
            Kind::Sqlite => self.write_grouped(work).await,
            Kind::Postgres => self.write_alone(work).await,
        }
    }

    async fn write_alone<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, E>> + Send,
        E: From<DbError>,
    {
        let tx = self.begin().await?;
        let held = Instant::now();
        let outcome = work(&tx).await;
        let published = tx.has_published();
        let finished = match &outcome {
            Ok(_) => tx.tx.commit().await,
            Err(_) => tx.tx.rollback().await,
        };
        self.note_hold(held.elapsed());
        let value = outcome?;
        finished.map_err(DbError::from)?;
        if published {
            self.wake_consumers();
        }
        Ok(value)
    }

    async fn begin(&self) -> Result<Tx, DbError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..Default::default()
        };
        let tx = self.0.writer.begin_with_options(options).await?;
        Ok(Tx { tx, db: self.clone(), published: false.into() })
    }

    fn note_hold(&self, held: Duration) {
        metrics::histogram!("madang_db_write_seconds", "db" => self.0.name).record(held.as_secs_f64());
        if held > WRITE_HOLD_MAX {
            metrics::counter!("madang_db_write_slow_total", "db" => self.0.name).increment(1);
            tracing::debug!(
                db = self.0.name,
                held_ms = held.as_millis() as u64,
                "a write transaction held its writer long"
            );
        }
    }

    /// Checks that the database answers.
    pub async fn ping(&self) -> Result<(), DbError> {
        self.0.reader.execute_unprepared("SELECT 1").await?;
        Ok(())
    }

    /// Closes its connections as they come free; SQLite then folds its log into the file. Whoever asks afterwards
    /// hears that the database is away.
    pub async fn close(&self) {
        for connection in [&self.0.writer, &self.0.reader] {
            connection.close_by_ref().await.ok();
        }
    }

    pub(crate) fn sqlite_writer(&self) -> &sqlx::SqlitePool {
        self.0.writer.get_sqlite_connection_pool()
    }

    pub(crate) fn sqlite_reader(&self) -> &sqlx::SqlitePool {
        self.0.reader.get_sqlite_connection_pool()
    }

    pub(crate) fn postgres(&self) -> &sqlx::PgPool {
        self.0.writer.get_postgres_connection_pool()
    }
}

/// An open write transaction; only [`Db::write`] makes one.
pub struct Tx {
    tx: DatabaseTransaction,
    db: Db,
    published: std::sync::atomic::AtomicBool,
}

impl Tx {
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// A transaction inside this one that can be rolled back alone.
    async fn savepoint(&self) -> Result<Tx, DbError> {
        Ok(Tx { tx: self.tx.begin().await?, db: self.db.clone(), published: false.into() })
    }

    fn has_published(&self) -> bool {
        self.published.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Remembers that this transaction wrote to the outbox.
    pub(crate) fn mark_published(&self) {
        self.published.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// The database's clock in `cluster`, the process's in `solo`, in Unix milliseconds.
    pub async fn now_ms(&self) -> Result<i64, DbError> {
        match self.db.0.kind {
            Kind::Sqlite => Ok(self.db.0.clock.now_ms()),
            Kind::Postgres => Ok(self.one::<(i64,)>(clock::POSTGRES_NOW_MS, vec![]).await?.map_or(0, |row| row.0)),
        }
    }
}

impl Query for Db {
    fn connection(&self) -> &impl ConnectionTrait {
        &self.0.reader
    }
}

impl Query for Tx {
    fn connection(&self) -> &impl ConnectionTrait {
        &self.tx
    }
}
