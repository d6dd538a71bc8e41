//! What parts say to each other: events (written) and requests (asked), one file per part.
//!
//! Events are versioned and only ever gain fields; a golden file fails when one is lost or retyped.

pub mod admission;
pub mod identity;
pub mod payments;
pub mod races;
pub mod sagas;

/// A typed question to another part: one handler, one client, whether it runs here or elsewhere.
pub trait Request: serde::Serialize + serde::de::DeserializeOwned + Send + Sync {
    /// `<role>/<question>`; served below `/internal/`.
    const PATH: &'static str;
    type Answer: serde::Serialize + serde::de::DeserializeOwned + Send;
}

/// Something that happened, written to the outbox in the transaction of the change.
pub trait Event: serde::Serialize + serde::de::DeserializeOwned + Send {
    /// `<noun>.<what_happened>`, e.g. `user.created`.
    const KIND: &'static str;
    const VERSION: u32;
    /// The aggregate it happened to: events of one key keep their order.
    fn key(&self) -> String;
}
