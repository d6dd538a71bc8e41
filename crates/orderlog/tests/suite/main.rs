//! Whole logs, written by hand and published as the server would, before the checker and before
//! strangers.

#![allow(clippy::unwrap_used)]

mod book;
mod honest;
mod lies;
mod long;
mod published;
mod receipts;
mod strangers;
