//! What a context hands to the process that runs it.

use axum::Router;
use utoipa_axum::router::OpenApiRouter;

use crate::admission::Admission;
use crate::db::{Db, DbError, Migration, Query, args, migrate};
use crate::events::Consumer;
use crate::http::IDEMPOTENCY_KEPT_MS;
use crate::jobs::{Job, Schedule};
use crate::saga::Sagas;

/// A context, ready to be served. Values only: nothing runs until the server says so.
pub struct Service {
    pub name: &'static str,
    pub db: Db,
    /// The public API with its documentation.
    pub api: OpenApiRouter,
    /// Answers to other contexts, below `/internal/`; never reachable from outside.
    pub internal: Router,
    /// Commands of a running yard, below `/<name>/`; reachable by its socket only.
    pub commands: Router,
    pub consumers: Vec<Consumer>,
    pub jobs: Vec<Job>,
    /// Where the context sells; in a restored yard their logs begin anew.
    pub offers: Option<Admission>,
    /// Where the context has sagas: run in every process, all the time.
    pub sagas: Option<Sagas>,
}

/// The tables every context has.
pub const BASE: Migration = Migration { name: "platform_0001_base", sql: include_str!("base.sql") };

/// Brings up a context's tables: the shared ones, then its own.
pub async fn migrate_context(db: &Db, own: &[Migration]) -> Result<usize, DbError> {
    let steps: Vec<Migration> = std::iter::once(BASE).chain(own.iter().copied()).collect();
    migrate(db, &steps).await
}

/// Inbox rows outlive every outbox row that could still be delivered again.
const INBOX_KEPT_MS: i64 = 45 * DAY_MS;
const OUTBOX_KEPT_MS: i64 = 30 * DAY_MS;
const DAY_MS: i64 = 24 * 3_600_000;
/// Rows deleted in one transaction, so that no writer is held long.
const CHUNK: i64 = 1_000;

/// The job every context has: forgets idempotency keys, delivered events and inbox rows when they are old.
pub fn housekeeping(db: &Db) -> Job {
    let home = db.clone();
    Job::new("housekeeping", Schedule::Every(3_600_000), db.clone(), move || {
        let db = home.clone();
        Box::pin(async move { Ok(forget_old(&db).await?) })
    })
}

async fn forget_old(db: &Db) -> Result<(), DbError> {
    // Why age alone: consumers live in other databases; 30 days is far beyond any stop that is caught up.
    let delivered = db.pick("", "AND sent_ms IS NOT NULL");
    let old = [
        ("idempotency", "created_ms", IDEMPOTENCY_KEPT_MS, ""),
        ("inbox", "received_ms", INBOX_KEPT_MS, ""),
        ("outbox", "created_ms", OUTBOX_KEPT_MS, delivered),
    ];
    for (table, column, kept_ms, also) in old {
        let row = db.pick("rowid", "ctid");
        let sql = format!(
            "DELETE FROM {table} WHERE {row} IN (SELECT {row} FROM {table} WHERE {column} < $1 {also} LIMIT {CHUNK})"
        );
        loop {
            let (sql, before_ms) = (sql.clone(), db.clock().now_ms() - kept_ms);
            let gone = db.write(move |tx| Box::pin(async move { tx.run(&sql, args![before_ms]).await })).await?;
            if gone < CHUNK.unsigned_abs() {
                break;
            }
        }
    }
    Ok(())
}
