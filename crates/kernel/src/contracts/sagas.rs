//! What sagas tell, whichever part they are in.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Event;

/// A saga ran out of tries and waits for an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SagaStuck {
    pub saga_id: Uuid,
    /// The part it is in: `madang saga list` and the admin's address name it.
    pub part: String,
    /// What kind of saga it is.
    pub name: String,
    pub step: String,
    /// The last failure.
    pub reason: String,
}

impl Event for SagaStuck {
    const KIND: &'static str = "saga.stuck";
    const VERSION: u32 = 1;
    fn key(&self) -> String {
        self.saga_id.to_string()
    }
}
