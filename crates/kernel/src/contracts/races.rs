//! What races tells.

use serde::{Deserialize, Serialize};

use super::{Event, Request};
use crate::{ClaimId, OfferId, PaymentId, RaceId, UserId};

/// A race was published, edited, or called off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RaceChanged {
    pub race_id: RaceId,
    pub owner_id: UserId,
    pub title: String,
    /// `created`, `edited`, `deleted`, `cancelled`.
    pub change: String,
    /// The offer it sells by.
    #[serde(default)]
    pub offer_id: Option<OfferId>,
}

impl Event for RaceChanged {
    const KIND: &'static str = "race.changed";
    const VERSION: u32 = 1;
    fn key(&self) -> String {
        self.race_id.to_string()
    }
}

/// A registration moved on. New ones are told by `claims.decided` alone, in the opening minute one event a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationChanged {
    pub registration_id: ClaimId,
    /// The offer its race sells by.
    pub offer_id: OfferId,
    pub user_id: UserId,
    /// `waitlisted`, `held`, `paying`, `confirmed`, `expired`, `cancelled`, `failed`.
    pub state: String,
    pub was: String,
    /// Why it ended: `expired`, `released` by its owner, `cancelled` by the organiser, `failed`.
    pub ended_by: Option<String>,
    /// The course's code.
    pub course: String,
    /// The number on the runner's chest, once confirmed.
    pub bib: Option<u32>,
    pub hold_until_ms: Option<i64>,
}

impl Event for RegistrationChanged {
    const KIND: &'static str = "registration.changed";
    const VERSION: u32 = 1;
    fn key(&self) -> String {
        self.registration_id.to_string()
    }
}

/// Pins a registration's place before any call that can capture money: it does not expire while the payment is decided.
/// Repeating it is harmless.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PinRegistration {
    pub registration_id: ClaimId,
    pub payment_id: PaymentId,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Pinned {
    /// The place waits for this payment's outcome.
    Yes,
    /// There is no place to pay for any more, or not by this payment: nothing may be captured.
    No { state: String },
}

impl Request for PinRegistration {
    const PATH: &'static str = "races/pin";
    type Answer = Pinned;
}
