//! The whole yard over HTTP, in process.

mod bad_input;
mod claims;
mod coverage;
mod identity;
mod operating;
mod order_log;
mod pages;
mod pay;
mod race;
mod races;
mod registration;
