//! What a step is told, and what it may answer.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What came of an action.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Later steps find the value in [`Call::results`].
    Done(Value),
    /// It will not happen: what was done before is undone.
    Refused(String),
    /// Nobody can say yet whether it happened: asked again later by the same key.
    Unknown(String),
    /// It cannot go on by itself: an operator decides.
    Stuck(String),
}

impl Outcome {
    /// Done, with nothing to say.
    pub const DONE: Outcome = Outcome::Done(Value::Null);

    pub fn refused(reason: impl Display) -> Self {
        Outcome::Refused(reason.to_string())
    }

    /// For errors that leave open whether it happened: a time-out, a database that did not answer.
    pub fn unknown(reason: impl Display) -> Self {
        Outcome::Unknown(reason.to_string())
    }

    pub fn stuck(reason: impl Display) -> Self {
        Outcome::Stuck(reason.to_string())
    }
}

/// What came of an undo. There is no refusing: what was done by us must be undone by us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undone {
    Done,
    /// Tried again later, up to the definition's limit.
    NotYet(String),
}

impl Undone {
    pub fn not_yet(reason: impl Display) -> Self {
        Undone::NotYet(reason.to_string())
    }
}

/// One call of an action or an undo. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Call {
    pub saga: Uuid,
    pub step: &'static str,
    /// The same for every call of this step's action: an `Idempotency-Key` at others.
    pub key: Uuid,
    pub subject: Arc<str>,
    /// What the saga was started with.
    pub data: Arc<Value>,
    /// The values of the steps done so far, by name; for an undo its own step's too.
    pub results: Arc<BTreeMap<String, Value>>,
    /// When the step was begun, in Unix milliseconds: a step that was unknown for too long may say it is stuck.
    pub begun_ms: i64,
    /// How often it was tried in a row without an outcome.
    pub tries: u32,
}

impl Call {
    /// The saga's data as the context's own type.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&*self.data)
    }

    /// What an earlier step answered; null where it was not done.
    pub fn result<T: DeserializeOwned>(&self, step: &str) -> Result<T, serde_json::Error> {
        T::deserialize(self.results.get(step).unwrap_or(&Value::Null))
    }

    /// The `Idempotency-Key` of an undo that is an operation of its own, e.g. a refund.
    pub fn undo_key(&self) -> Uuid {
        derive(self.key, "undo")
    }
}

/// The key of a step: a UUIDv8 of the saga's id and the step's name.
pub fn step_key(saga: Uuid, step: &str) -> Uuid {
    derive(saga, step)
}

fn derive(from: Uuid, name: &str) -> Uuid {
    let sha = Sha256::new().chain_update(b"madang saga\0").chain_update(from.as_bytes()).chain_update(name).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&sha[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
