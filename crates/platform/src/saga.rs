//! The saga store: a context mounts it into its own database, and its sagas run in every process.
//!
//! ```ignore
//! // registration_saga.rs: `Races` is the context's handle, cheap to clone.
//! pub fn registration() -> Definition<Races> {
//!     Definition::new("registration", 1)
//!         .step("payment", capture, refund)
//!         .step_without_undo("eligibility", check_again)
//!         .step("place", confirm, give_back)
//! }
//! async fn capture(races: Races, call: Call) -> Outcome {
//!     match races.peers.call(&Capture { key: call.key, registration: call.saga }).await {
//!         Ok(captured) if captured.declined => Outcome::refused(captured.reason),
//!         Ok(captured) => Outcome::Done(json!({ "payment": captured.id })),
//!         Err(error) => Outcome::unknown(error), // asked again by the same key
//!     }
//! }
//! // lib.rs: `saga::MIGRATION` among the migrations, then
//! let sagas = Sagas::new(db.clone());
//! sagas.define([registration().bind(races.clone())]); // keep old versions until their instances have ended
//! tokio::spawn(sagas.clone().run(stop));
//! // In a transaction: `sagas.start(tx, &start)`, from an admission hook: `sagas.start_rows(&starts)`; after its commit
//! // it goes on by itself. `sagas.run_now(id)` is for who waits for the answer.
//! // A test: `assert_eq!(registration().fingerprint(), "…")`, and `saga::kit::ordeal(&registration(), …)`.
//! ```
//!
//! Invariants:
//! - a saga is worked on by its lease's holder; every write carries the attempt he took it with;
//! - an instance of a version this process does not know is left alone, and reported;
//! - the rows are the truth: a process that dies leaves nothing that the next one needs.

mod at_work;
pub mod codes;
mod operate;
mod routes;
mod run;
mod store;
#[cfg(test)]
mod tests;
mod view;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::admission::{Column, Mode, RowSet};
use crate::db::{Db, DbError, Migration, Tx};

pub use operate::Order;
pub use routes::{admin_routes, command_routes};
pub use saga::{Call, Definition, Outcome, Registry, State, Undone, step_key};
pub use view::{LogLine, Rates, SagaBody, SagaFilter, StepRates};

/// The tables; goes into the migrations of a context that has sagas.
pub const MIGRATION: Migration = Migration { name: "platform_0003_saga", sql: include_str!("saga/schema.sql") };

/// A context's sagas. Cheap to clone.
#[derive(Clone)]
pub struct Sagas(Arc<Shared>);

struct Shared {
    db: Db,
    /// This process, in the rows it has taken.
    owner: Uuid,
    registry: ArcSwap<Registry>,
    /// Told whenever a saga of this process was left: ended, waiting or lost.
    left: Notify,
    pace: Pace,
}

/// What tests set shorter.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A holder that says nothing for so long has lost the saga.
    pub lease_ms: i64,
    /// A step that takes longer is unknown. Who starves without it: everybody, once as many hang as may run.
    pub step_ms_max: u64,
    /// How long a saga that became due unannounced may lie.
    pub look_ms_max: i64,
    /// Sagas of one context at work in one process. Who starves without it: the requests, for connections.
    pub at_once_max: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { lease_ms: 10_000, step_ms_max: 30_000, look_ms_max: 500, at_once_max: 128 }
    }
}

/// A saga to be started.
#[derive(Clone, Debug)]
pub struct Start {
    pub name: &'static str,
    /// Its own id, e.g. the claim's: started twice, it is there once.
    pub id: Uuid,
    /// What it is about, to find it by.
    pub subject: String,
    pub data: serde_json::Value,
    /// Its first step is not due before; a signal comes sooner. 0: at once.
    pub after_ms: i64,
}

impl Sagas {
    /// Sagas without definitions yet; see [`Sagas::define`].
    pub fn new(db: Db) -> Self {
        Self::with_pace(db, Pace::default())
    }

    pub fn with_pace(db: Db, pace: Pace) -> Self {
        Self(Arc::new(Shared { db, owner: Uuid::now_v7(), registry: ArcSwap::default(), left: Notify::new(), pace }))
    }

    /// Says what this process can run. Apart from `new`, since the steps' handle usually holds these sagas.
    pub fn define(&self, definitions: impl IntoIterator<Item = Definition>) {
        let registry = Registry::new(definitions);
        for definition in registry.iter() {
            at_work::begin_counting(definition.shape().name);
        }
        self.0.registry.store(Arc::new(registry));
    }

    /// Starts a saga in the caller's transaction; answers whether it is new.
    pub async fn start(&self, tx: &Tx, start: &Start) -> Result<bool, DbError> {
        tx.mark_published();
        Ok(self.start_rows(std::slice::from_ref(start)).insert(tx).await? > 0)
    }

    /// The rows that start sagas, for a hook that writes them in a batch's own commit. The executor hears of
    /// commits that publish events.
    pub fn start_rows(&self, starts: &[Start]) -> RowSet {
        let registry = self.0.registry.load();
        let now_ms = self.0.db.clock().now_ms();
        // A name nobody defined gets version 0: it is left alone and reported, like any unknown version.
        let shapes: Vec<_> =
            starts.iter().map(|start| registry.newest(start.name).map(|found| found.shape().clone())).collect();
        let version = |shape: &Option<saga::Shape>| Some(shape.as_ref().map_or(0, |shape| i64::from(shape.version)));
        let first = |shape: &Option<saga::Shape>| {
            Some(shape.as_ref().and_then(|shape| shape.steps.first()).map_or("", |step| step.name).to_owned())
        };
        let texts = |text: fn(&Start) -> String| Column::Text(starts.iter().map(|start| Some(text(start))).collect());
        let columns = vec![
            ("id", Column::Uuid(starts.iter().map(|start| Some(start.id)).collect())),
            ("name", texts(|start| start.name.to_owned())),
            ("version", Column::Int(shapes.iter().map(version).collect())),
            ("subject", texts(|start| start.subject.clone())),
            ("data", texts(|start| start.data.to_string())),
            ("step", Column::Text(shapes.iter().map(first).collect())),
            ("due_ms", Column::Int(starts.iter().map(|start| Some(now_ms + start.after_ms)).collect())),
            ("created_ms", Column::Int(vec![Some(now_ms); starts.len()])),
        ];
        RowSet { table: "saga", columns, mode: Mode::Keep }
    }

    /// Something arrived that a waiting saga asks for: it is due now, also where it was stuck. Answers whether there is
    /// one that is not over.
    pub async fn signal(&self, tx: &Tx, id: Uuid) -> Result<bool, DbError> {
        tx.mark_published();
        Ok(store::signal(tx, id, self.0.db.clock().now_ms()).await? || self.revive(tx, id).await?)
    }

    /// Where a saga stands; none where there is none.
    pub async fn state(&self, tx: &Tx, id: Uuid) -> Result<Option<State>, DbError> {
        Ok(view::find_locked(tx, id).await?.and_then(|saga| saga.state()))
    }
}
