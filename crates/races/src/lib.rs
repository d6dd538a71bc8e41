//! Races: what an organiser sells, who has a place, and who waits for one.
//!
//! Owns the races with their courses and souvenirs, the registrations, rehearsals, and a copy of people's names for
//! the organisers' lists. Each race sells by one offer of the admission store, whose tables stand in this database.
//!
//! Invariants:
//! - places, souvenirs, opening and closing are the offer's; a race keeps no count and no state of its own;
//! - a registration is its claim: it has the claim's id and is written in the claim's transaction;
//! - the terms of a sale that has started change by the organiser's hand only, which the order log shows.
//!
//! Never: decides who gets a place, moves money, or reads another context's tables.

mod access;
mod adjust;
mod api;
mod assign;
mod cancel;
mod cancellation;
mod claim;
mod commands;
mod create;
mod delete;
mod edit;
mod error;
mod events;
mod funnel;
mod jobs;
mod leave;
mod list;
mod list_messages;
mod meter;
mod mine;
mod model;
mod pin;
mod quote;
mod read;
mod registering;
mod registrants;
mod registration;
mod rehearse;
mod rows;
mod sale;
mod send_message;
mod steps;
mod store;
mod terms;
#[cfg(test)]
mod tests;
mod ticket;
mod watch;
mod withdraw;

pub use rows::RegistrationRows;
pub use ticket::TicketKey;

use std::sync::Arc;

use axum::Router;
use kernel::contracts::races::PinRegistration;
use platform::admission::{Admission, OfferKeys};
use platform::db::{Clock, Db, DbError, Migration};
use platform::peers::{Peers, answers};
use platform::saga::Sagas;
use platform::service::{Service, migrate_context};

const MIGRATIONS: [Migration; 5] = [
    platform::admission::MIGRATION,
    platform::saga::MIGRATION,
    Migration { name: "races_0001_races", sql: include_str!("../migrations/0001_races.sql") },
    Migration { name: "races_0002_steps", sql: include_str!("../migrations/0002_steps.sql") },
    Migration { name: "races_0003_messages", sql: include_str!("../migrations/0003_messages.sql") },
];

/// What races need from the process that runs them.
pub struct Deps {
    pub db: Db,
    pub clock: Clock,
    pub peers: Peers,
    pub offer_keys: Arc<OfferKeys>,
    /// Signs tickets.
    pub ticket_key: TicketKey,
    pub config: Config,
}

#[derive(Clone, Debug)]
pub struct Config {
    /// Numbered refusals of one race; past it a refusal has no number. Who starves without it: the disk.
    pub refusals_logged_max: u64,
    /// How long a payment may stay undecided before it shows as stuck, in seconds.
    pub paying_max_s: u32,
    /// The yard's time zone, in seconds east of UTC: an age is that of the race day there.
    pub offset_s: i32,
}

impl Default for Config {
    fn default() -> Self {
        Self { refusals_logged_max: 1_000_000, paying_max_s: 1_800, offset_s: 9 * 3_600 }
    }
}

/// Brings up the tables and answers the context, ready to be served.
pub async fn service(deps: Deps) -> Result<Service, DbError> {
    Ok(assemble(deps).await?.1)
}

/// The context's handle, and what it offers.
async fn assemble(deps: Deps) -> Result<(Races, Service), DbError> {
    let Deps { db, clock, peers, offer_keys, ticket_key, config } = deps;
    meter::describe();
    migrate_context(&db, &MIGRATIONS).await?;
    store::RACES.create(&db).await?;
    store::PEOPLE.create(&db).await?;
    let sagas = Sagas::new(db.clone());
    let hook = Arc::new(RegistrationRows::new(sagas.clone()));
    let admission = Admission::new(db.clone(), offer_keys, hook);
    let offers = Some(admission.clone());
    let races = Races(Arc::new(Inner {
        db: db.clone(),
        clock,
        peers,
        watched: watch::watched(db.clone(), admission.clone()),
        admission,
        sagas: sagas.clone(),
        ticket_key,
        config,
        sales: sale::Sales::default(),
    }));
    // Keep old versions until their instances have ended.
    sagas.define([
        registering::registration().bind(races.clone()),
        registering::late_payment().bind(races.clone()),
        cancellation::cancellation().bind(races.clone()),
    ]);
    let service = Service {
        name: "races",
        db,
        api: api::routes(&races).merge(platform::saga::admin_routes("races", &sagas)),
        internal: answers::<PinRegistration, _, _, _>(Router::new(), pin::pin).with_state(races.clone()),
        commands: commands::routes(&races).merge(platform::saga::command_routes("races", &sagas)),
        consumers: events::consumers(&races),
        jobs: jobs::jobs(&races),
        offers,
        sagas: Some(sagas),
    };
    Ok((races, service))
}

/// The context's own handles. Cheap to clone.
#[derive(Clone)]
struct Races(Arc<Inner>);

struct Inner {
    db: Db,
    clock: Clock,
    peers: Peers,
    admission: Admission,
    sagas: Sagas,
    ticket_key: TicketKey,
    config: Config,
    sales: sale::Sales,
    watched: watch::Watched,
}

impl std::ops::Deref for Races {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
