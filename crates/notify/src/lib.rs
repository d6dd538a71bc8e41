//! Notify: tells people what concerns them, in their language, without being asked.
//!
//! Owns the notices with who has read them, the texts of their kinds, people's wishes, and the copies of people and
//! races that it needs to know whom to tell what.
//!
//! Invariants:
//! - a person hears of an event once per kind, however often it is delivered;
//! - a notice is stored as values, and its text made of them when it is read;
//! - notices and changes of an inbox are numbered in the order of their commits, so that a stream resumes without a gap;
//! - what leaves the yard leaves at least once, each time with the same id, and nobody waits for another's failure;
//! - of a rehearsal nobody hears.
//!
//! Never: asks another part while it takes an event, or tells somebody what is another's.

mod api;
mod delete;
mod deliver;
mod deliveries;
mod events;
mod inbox;
mod jobs;
mod kinds;
mod list;
mod mark_read;
mod model;
mod outside;
mod preferences;
mod store;
mod stream;
mod texts;
mod unread;

pub use outside::Settings as OutsideSettings;

use std::sync::Arc;

use axum::Router;
use outside::Outside;
use platform::db::{Db, Migration};
use platform::revocation::Revocations;
use platform::service::{Service, migrate_context};

const MIGRATIONS: [Migration; 2] = [
    Migration { name: "notify_0001_notify", sql: include_str!("../migrations/0001_notify.sql") },
    Migration { name: "notify_0002_deliveries", sql: include_str!("../migrations/0002_deliveries.sql") },
];

/// What notify needs from the process that runs it.
pub struct Deps {
    pub db: Db,
    /// Ends the streams of whose sign-in ended.
    pub revocations: Revocations,
    pub config: Config,
    /// The channels that lead out of the yard.
    pub outside: OutsideSettings,
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
pub async fn service(deps: Deps) -> anyhow::Result<Service> {
    let Deps { db, revocations, config, outside } = deps;
    migrate_context(&db, &MIGRATIONS).await?;
    let watched = stream::watched(db.clone(), config.offset_s);
    let outside = Outside::new(outside)?;
    let on = inbox::Channels::of(&outside);
    let pauses = deliver::Pauses::default();
    let app = Arc::new(App { db: db.clone(), revocations, watched, config, outside, on, pauses });
    Ok(Service {
        name: "notify",
        db: db.clone(),
        api: api::routes(&app),
        internal: Router::new(),
        commands: Router::new(),
        consumers: events::consumers(&db, on),
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
    outside: Outside,
    on: inbox::Channels,
    pauses: deliver::Pauses,
}
