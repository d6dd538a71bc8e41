//! Sagas: several effects in several places, each done in turn or undone in reverse.
//!
//! A [`Definition`] is a name, a version and a list of named steps. A step has an action and an undo (or says that
//! it has none), both idempotent under the key (saga, step). The log holds what was about to be done before it is
//! done, and what came of it after; the outcome of one step and the intent of the next are one write, so that a
//! step costs one. [`plan`] reads a log and says what is next; [`drive`] does it and appends, as long as the lease's
//! attempt is still the saga's.
//!
//! Invariants:
//! - the log alone decides what is next: a restart, another process and the first run are the same;
//! - `unknown` is asked again by the same key, never undone blindly, never counted as a failure;
//! - what is undone is what was done, in reverse; an operator's order also undoes the step in doubt;
//! - a saga that cannot go on is `stuck`, which everybody sees, and goes on when it is retried.
//!
//! Never: reads a clock, draws randomness, knows SQL or HTTP. Waiting for a person is a state, not a step.

mod backoff;
mod call;
mod definition;
mod drive;
#[cfg(any(test, feature = "kit"))]
pub mod kit;
mod log;
mod plan;
mod registry;
#[cfg(test)]
mod tests;

pub use backoff::{BACKOFF_MS_MAX, BACKOFF_MS_MIN, backoff_ms};
pub use call::{Call, Outcome, Undone, step_key};
pub use definition::{Definition, Shape, StepShape};
pub use drive::{DriveError, Instance, Left, Store, Wait, Work, Write, drive};
pub use log::{Entry, Event, State};
pub use plan::{LogError, Next, Plan, plan};
pub use registry::Registry;
