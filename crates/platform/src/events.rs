//! Events: written to the outbox with the change, delivered to consumers at least once, applied exactly once.
//!
//! Invariant: a consumer's effect and its inbox row are one transaction. An event that cannot be applied is
//! parked with its reason; later events of its key wait behind it, other keys go on.

mod deliver;
mod outbox;

use std::sync::Arc;

use futures::future::BoxFuture;
use kernel::UserId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::db::{Db, DbError, Tx};

pub use deliver::{drained, release_parked, run};
pub use outbox::{event_rows, publish, publish_all};

/// An event as it travels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    pub event_id: Uuid,
    pub kind: String,
    pub version: u32,
    pub key: String,
    /// Who made the change, so that what a consumer writes can be stamped with it.
    pub actor: Option<UserId>,
    pub created_ms: i64,
    pub payload: Value,
}

impl Envelope {
    /// The typed payload.
    pub fn read<E: kernel::contracts::Event>(&self) -> Result<E, ConsumeError> {
        serde_json::from_value(self.payload.clone())
            .map_err(|error| ConsumeError::Poison(format!("{} v{} cannot be read: {error}", self.kind, self.version)))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// This event will never go through; it is parked and its key waits.
    #[error("{0}")]
    Poison(String),
    /// A constraint or statement refused it; parked like a poisonous one unless the database is away.
    #[error(transparent)]
    Db(#[from] DbError),
}

type Apply = dyn for<'t> Fn(&'t Tx, &'t Envelope) -> BoxFuture<'t, Result<(), ConsumeError>> + Send + Sync;

/// Somebody who reacts to events, idempotently by the inbox of his own database.
#[derive(Clone)]
pub struct Consumer {
    /// Stable: the inbox remembers by it.
    pub name: &'static str,
    pub kinds: &'static [&'static str],
    /// Where its effects and its inbox are.
    pub db: Db,
    pub apply: Arc<Apply>,
}

impl Consumer {
    pub fn new<F>(name: &'static str, kinds: &'static [&'static str], db: Db, apply: F) -> Self
    where
        F: for<'t> Fn(&'t Tx, &'t Envelope) -> BoxFuture<'t, Result<(), ConsumeError>> + Send + Sync + 'static,
    {
        Self { name, kinds, db, apply: Arc::new(apply) }
    }

    fn wants(&self, kind: &str) -> bool {
        self.kinds.contains(&kind)
    }
}
