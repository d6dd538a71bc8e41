//! The whole yard over HTTP, in process.

mod coverage;
mod identity;
mod race;
