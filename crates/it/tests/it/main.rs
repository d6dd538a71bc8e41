//! What the parts promise together, seen on SQLite and on PostgreSQL.
//!
//! `MADANG_TEST_POSTGRES_URL` says where PostgreSQL is (`scripts/test` sets it); `MADANG_TEST_LONG=1` asks for the
//! long forms.

#![allow(clippy::unwrap_used)]

mod faults;
mod http;
mod store;
mod support;
