//! Notify: tells people what concerns them, in their language, without being asked.
//!
//! Owns the notices with who has read them, the texts of their kinds, people's wishes, and the copies of people and
//! races that it needs to know whom to tell what.
//!
//! Invariants:
//! - a person hears of an event once per kind, however often it is delivered;
//! - a notice is stored as values, and its text made of them when it is read;
//! - notices and changes of an inbox are numbered in the order of their commits, so that a stream resumes without a gap;
//! - of a rehearsal nobody hears.
//!
//! Never: asks another part while it takes an event, or tells somebody what is another's.

mod api;
mod delete;
mod events;
mod inbox;
mod jobs;
mod kinds;
mod list;
mod mark_read;
mod model;
mod preferences;
mod store;
mod stream;
mod texts;
mod unread;

use std::sync::Arc;

use axum::Router;
use platform::db::{Db, DbError, Migration};
use platform::revocation::Revocations;
use platform::service::{Service, migrate_context};

const MIGRATIONS: [Migration; 1] =
    [Migration { name: "notify_0001_notify", sql: include_str!("../migrations/0001_notify.sql") }];

/// What notify needs from the process that runs it.
pub struct Deps {
    pub db: Db,
    /// Ends the streams of whose sign-in ended.
    pub revocations: Revocations,
    pub config: Config,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The yard's time zone, in seconds east of UTC: times in texts are of there.
    pub offset_s: i32,
}

impl Default for Config {
    fn default() -> Self {
        Self { offset_s: 9 * 3_600 }
    }
}

/// Brings up the tables and answers the context, ready to be served.
pub async fn service(deps: Deps) -> Result<Service, DbError> {
    let Deps { db, revocations, config } = deps;
    migrate_context(&db, &MIGRATIONS).await?;
    let watched = stream::watched(db.clone(), config.offset_s);
    let app = Arc::new(App { db: db.clone(), revocations, watched, config });
    Ok(Service {
        name: "notify",
        db: db.clone(),
        api: api::routes(&app),
        internal: Router::new(),
        commands: Router::new(),
        consumers: events::consumers(&db),
        jobs: jobs::jobs(&app),
        offers: None,
        sagas: None,
    })
}

/// What every handler has at hand.
struct App {
    db: Db,
    revocations: Revocations,
    watched: stream::Watched,
    config: Config,
}
