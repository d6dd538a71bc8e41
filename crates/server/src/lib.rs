//! The server: puts the parts together to a yard, and gives it a command line.
//!
//! Owns: start and stop, the data directory, the command socket, the operating routes, the tools of the operator.
//! Invariant: no business rule; whatever a command changes goes through the context's own use case.

pub mod backup;
pub mod cli;
pub mod config;
pub mod demo;
pub mod directory;
pub mod doctor;
pub mod load;
pub mod rehearse;
pub mod socket;
pub mod verify;
pub mod yard;

pub use config::Config;
pub use directory::DataDir;
pub use yard::Yard;

/// Of every program that runs a yard.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
