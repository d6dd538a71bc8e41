//! Opening a context's database with the settings our promises rest on, and reading them back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{SqlxPostgresConnector, SqlxSqliteConnector};
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::Notify;

use super::clock::{POSTGRES_NOW_MS, process_now_ms};
use super::{Clock, Db, DbError, Inner, Kind, checkpoint};

/// Waiting longer for a connection means the database is away or drowned: the client hears 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
const SQLITE_READERS_MAX: u32 = 4;
/// Per context and process. More would only queue inside PostgreSQL.
const POSTGRES_CONNECTIONS_MAX: u32 = 8;

#[derive(Clone, Debug)]
pub enum DbOptions {
    /// The directory that holds one file per context.
    Sqlite { dir: PathBuf },
    /// A `postgres://` address; each context has a schema of its name.
    Postgres { url: String },
}

/// Opens the context `name`.
pub async fn open(name: &'static str, options: &DbOptions, clock: &Clock) -> Result<Db, DbError> {
    match options {
        DbOptions::Sqlite { dir } => sqlite(name, dir.join(format!("{name}.db")), clock.clone()).await,
        DbOptions::Postgres { url } => postgres(name, url, clock.clone()).await,
    }
}

async fn sqlite(name: &'static str, file: PathBuf, clock: Clock) -> Result<Db, DbError> {
    let options = SqliteConnectOptions::new()
        .filename(&file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        // Checkpoints run apart from the writer: `checkpoint.rs`.
        .pragma("wal_autocheckpoint", "0")
        .pragma("cache_size", "-32768")
        .pragma("temp_store", "memory");
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        // Why: a file does not go away as a server does, and each look is a hop to SQLite's thread.
        .test_before_acquire(false)
        // Why: after a full disk or a failed write SQLite has rolled back by itself, and sqlx, which counts
        // transactions, would refuse every further BEGIN on the connection.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .connect_with(options.clone())
        .await?;
    let (mode,): (String,) = sqlx::query_as("PRAGMA journal_mode").fetch_one(&writer).await?;
    let (synchronous,): (i64,) = sqlx::query_as("PRAGMA synchronous").fetch_one(&writer).await?;
    if mode != "wal" || synchronous != 2 {
        let text = format!("{} runs with journal_mode={mode}, synchronous={synchronous}", file.display());
        return Err(DbError::Failed(anyhow::anyhow!(text)));
    }
    let reader = SqlitePoolOptions::new()
        .max_connections(SQLITE_READERS_MAX)
        .test_before_acquire(false)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options.clone().pragma("query_only", "on"))
        .await?;
    let inner = Arc::new(Inner {
        name,
        writer: SqlxSqliteConnector::from_sqlx_sqlite_pool(writer),
        reader: SqlxSqliteConnector::from_sqlx_sqlite_pool(reader),
        kind: Kind::Sqlite,
        clock,
        published: Notify::new(),
        writers: Default::default(),
        snapshots: Default::default(),
    });
    tokio::spawn(checkpoint::run(Arc::downgrade(&inner), options, file));
    Ok(Db(inner))
}

async fn postgres(name: &'static str, url: &str, clock: Clock) -> Result<Db, DbError> {
    let options: PgConnectOptions = url.parse()?;
    let options = options.application_name("madang").options([
        ("search_path", name),
        ("timezone", "UTC"),
        ("client_min_messages", "warning"),
    ]);
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS_MAX)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await?;
    for setting in ["fsync", "synchronous_commit"] {
        let (value,): (String,) = sqlx::query_as("SELECT current_setting($1)").bind(setting).fetch_one(&pool).await?;
        if value == "off" {
            let text = format!("PostgreSQL runs with {setting}=off: a yes could be lost. Turn it on.");
            return Err(DbError::Failed(anyhow::anyhow!(text)));
        }
    }
    // Invariant: `name` is one of our own context names, never input.
    let create = format!("CREATE SCHEMA IF NOT EXISTS {name}");
    if let Err(error) = sqlx::query(sqlx::AssertSqlSafe(create)).execute(&pool).await {
        // Two processes that create it at once: one of them loses harmlessly.
        if !matches!(DbError::from(error), DbError::Unique(_)) {
            return Err(DbError::Failed(anyhow::anyhow!("could not create the schema {name}")));
        }
    }
    let (now_ms,): (i64,) = sqlx::query_as(POSTGRES_NOW_MS).fetch_one(&pool).await?;
    clock.set_offset_ms(now_ms - process_now_ms());
    let connection = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
    Ok(Db(Arc::new(Inner {
        name,
        writer: connection.clone(),
        reader: connection,
        kind: Kind::Postgres,
        clock,
        published: Notify::new(),
        writers: Default::default(),
        snapshots: Default::default(),
    })))
}
