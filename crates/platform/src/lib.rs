//! What every context stands on: database, events, jobs, the admission store and the HTTP edge.
//!
//! Invariant: knows no context.

pub mod admission;
pub mod audit;
pub mod config;
pub mod db;
pub mod events;
pub mod http;
pub mod incarnation;
pub mod jobs;
pub mod keys;
pub mod lease;
pub mod live;
pub mod peers;
pub mod revocation;
pub mod saga;
pub mod search;
pub mod service;
pub mod telemetry;
pub mod token;
