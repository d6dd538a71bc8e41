//! The HTTP edge: problems, typed input, callers, idempotency, conditional edits, and the server loop.

pub mod auth;
mod edge;
mod idempotency;
mod input;
mod listen;
mod lists;
pub mod openapi;
mod problem;
mod strict;

pub use auth::{Caller, ClientAddress};
pub use edge::{RequestId, edge, note_route};
pub(crate) use idempotency::KEPT_MS as IDEMPOTENCY_KEPT_MS;
pub use idempotency::{Idempotency, Remembered, once};
pub use input::{BODY_BYTES_MAX, Body, IdPath, Validated};
pub use listen::{Stopping, bind, serve};
pub use lists::{IfMatch, ListQuery};
pub use problem::{Code, FieldError, Language, Problem, ProblemBody, codes};

/// What a handler ends in.
pub type Result<T> = std::result::Result<T, Problem>;
