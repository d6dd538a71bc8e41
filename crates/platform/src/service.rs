//! What a context hands to the process that runs it.

use axum::Router;
use utoipa_axum::router::OpenApiRouter;

use crate::db::{Db, DbError, Migration, migrate};
use crate::events::Consumer;
use crate::jobs::Job;

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
}

/// The tables every context has.
pub const BASE: Migration = Migration { name: "platform_0001_base", sql: include_str!("base.sql") };

/// Brings up a context's tables: the shared ones, then its own.
pub async fn migrate_context(db: &Db, own: &[Migration]) -> Result<usize, DbError> {
    let steps: Vec<Migration> = std::iter::once(BASE).chain(own.iter().copied()).collect();
    migrate(db, &steps).await
}
