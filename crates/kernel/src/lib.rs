//! Words every part of Madang shares: ids, money, time, roles, pages and the contracts between parts.
//!
//! Invariant: no I/O, no clock, no business rule.

pub mod contracts;
mod id;
mod money;
mod page;
mod role;
mod time;

pub use id::{ClaimId, EventId, MessageId, OfferId, PaymentId, RaceId, SessionId, UserId};
pub use money::Won;
pub use page::{Cursor, CursorError, LIMIT_DEFAULT, LIMIT_MAX, Page};
pub use role::Role;
pub use time::UtcTime;
