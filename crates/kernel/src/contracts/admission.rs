//! What an offer tells, whatever it sells.

use serde::{Deserialize, Serialize};

use super::Event;
use crate::{ClaimId, OfferId, UserId};

/// One batch of an offer's decisions: who was placed and whose claim moved. Refusals are in the log only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimsDecided {
    pub offer_id: OfferId,
    pub decided_ms: i64,
    pub claims: Vec<DecidedClaim>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecidedClaim {
    pub claim_id: ClaimId,
    pub user_id: UserId,
    pub seq: u64,
    /// `waitlisted`, `held`, `paying`, `confirmed`, `expired`, `cancelled`, `failed`.
    pub state: String,
    /// The state before; absent for a new claim.
    pub was: Option<String>,
    /// Until when a held place is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_until_ms: Option<i64>,
}

impl Event for ClaimsDecided {
    const KIND: &'static str = "claims.decided";
    const VERSION: u32 = 1;
    fn key(&self) -> String {
        self.offer_id.to_string()
    }
}
