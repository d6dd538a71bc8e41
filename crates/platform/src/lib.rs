//! What every context stands on: database, events, jobs, the admission store and the HTTP edge.
//!
//! Invariant: knows no context.

pub mod audit;
pub mod db;
pub mod events;
pub mod http;
pub mod jobs;
pub mod lease;
pub mod peers;
pub mod service;
