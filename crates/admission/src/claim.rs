//! A claim and its states.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use orderlog::{Person, ReturnReason, Want};
use uuid::Uuid;

/// `waitlisted → held ⇄ paying → confirmed`, and from each of them one of the ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ClaimState {
    /// In the line; takes no units.
    Waitlisted,
    /// Has its units until its hold ends.
    Held,
    /// Pinned while a payment is being decided; does not expire by itself.
    Paying,
    /// Has its units for good.
    Confirmed,
    /// Ended: its hold ran out, or the line closed.
    Expired,
    /// Ended by its owner or by the organiser.
    Cancelled,
    /// Ended because the payment was finally refused.
    Failed,
}

impl ClaimState {
    /// Whether it counts against the limit per person.
    pub const fn open(self) -> bool {
        matches!(self, Self::Waitlisted | Self::Held | Self::Paying | Self::Confirmed)
    }

    /// Whether it has units.
    pub const fn holding(self) -> bool {
        matches!(self, Self::Held | Self::Paying | Self::Confirmed)
    }

    /// The name used in tables and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waitlisted => "waitlisted",
            Self::Held => "held",
            Self::Paying => "paying",
            Self::Confirmed => "confirmed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// The state a return for this reason ends in.
    pub const fn after(reason: ReturnReason) -> Self {
        match reason {
            ReturnReason::Expired => Self::Expired,
            ReturnReason::Released | ReturnReason::Cancelled => Self::Cancelled,
            ReturnReason::Failed => Self::Failed,
        }
    }
}

impl fmt::Display for ClaimState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no state of a claim.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no state of a claim")]
pub struct UnknownState(pub String);

impl FromStr for ClaimState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        match text {
            "waitlisted" => Ok(Self::Waitlisted),
            "held" => Ok(Self::Held),
            "paying" => Ok(Self::Paying),
            "confirmed" => Ok(Self::Confirmed),
            "expired" => Ok(Self::Expired),
            "cancelled" => Ok(Self::Cancelled),
            "failed" => Ok(Self::Failed),
            _ => Err(UnknownState(text.to_owned())),
        }
    }
}

/// A claim as it is stored: one row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    pub id: Uuid,
    /// Its number in the offer, from 1, without gaps over all claims, refused ones too.
    pub seq: u64,
    pub person: Person,
    pub user_id: Uuid,
    /// 1 to the limit per person; unique among a person's open claims.
    pub ordinal: u32,
    pub state: ClaimState,
    pub want: Want,
    /// Index of its `claim` leaf in the log it was made in.
    pub log_index: u64,
    /// End of its hold in Unix milliseconds; kept while paying, none while waiting, once confirmed or ended.
    pub hold_until_ms: Option<i64>,
    /// The bib: number within the claim's first pool of the first wanted group, given at confirmation, never reused.
    pub confirm_no: Option<u32>,
    pub idem_key: Option<String>,
    /// SHA-256 of the body that came with the key.
    pub idem_body: Option<[u8; 32]>,
    pub received_ms: i64,
    /// The same person's newest ended claim at the time this one was made.
    pub replaces: Option<Uuid>,
    /// The context's own payload; carried to its row, never read here.
    pub tag: Arc<str>,
}

/// What a person, or an organiser on a person's behalf, asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimInput {
    /// A fresh UUIDv7; becomes the claim's id when one is made.
    pub id: Uuid,
    pub person: Person,
    pub user_id: Uuid,
    pub want: Want,
    /// When the request came in, in Unix milliseconds of the receiving process; only recorded.
    pub received_ms: i64,
    /// Idempotency key and SHA-256 of the body.
    pub idem: Option<(String, [u8; 32])>,
    pub tag: Arc<str>,
}
