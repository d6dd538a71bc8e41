//! The whole yard over HTTP, in process.

mod claims;
mod coverage;
mod identity;
mod order_log;
mod race;
mod races;
