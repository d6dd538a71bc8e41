//! What goes wrong around a yard: real processes over TCP, killed, cut off, filled up, stopped.
//!
//! The program under test is `target/<profile>/madang`, made by `cargo build` before the tests.

mod backup;
mod crowd;
mod disk;
mod kill;
mod outage;
mod pair;
mod process;
mod rehearsal;
mod server;
mod start;
