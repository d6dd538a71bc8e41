//! What goes wrong around a yard: real processes over TCP, killed, cut off, filled up, stopped.
//!
//! The program under test is `target/<profile>/madang`, made by `cargo build` before the tests.

mod accounts;
mod backup;
mod crowd;
mod demo;
mod disk;
mod kill;
mod outage;
mod pair;
mod paying;
mod process;
mod rehearsal;
mod runners;
mod server;
mod start;
