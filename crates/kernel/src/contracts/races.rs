//! What races tells.

use serde::{Deserialize, Serialize};

use super::{Event, Request};
use crate::{ClaimId, MessageId, OfferId, PaymentId, RaceId, UserId};

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

/// Most people one [`RaceMessageSent`] names; to more it is told in several. Who starves without it: every consumer, by
/// one event as long as a race has runners.
pub const RECIPIENTS_MAX: usize = 500;

/// An organiser wrote to those who registered. Each recipient is named once, in one of the message's events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaceMessageSent {
    pub message_id: MessageId,
    pub race_id: RaceId,
    pub race_title: String,
    pub owner_id: UserId,
    pub title: String,
    pub body: String,
    pub recipients: Vec<UserId>,
}

impl Event for RaceMessageSent {
    const KIND: &'static str = "race.message_sent";
    const VERSION: u32 = 1;
    fn key(&self) -> String {
        self.message_id.to_string()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What was once written is read, and written again as it was: no field may be lost or retyped.
    #[test]
    fn a_message_is_told_as_it_always_was() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("golden/race.message_sent.1.json")).expect("JSON");
        let event: RaceMessageSent = serde_json::from_value(golden.clone()).expect("the event");
        assert_eq!(serde_json::to_value(&event).expect("JSON"), golden);
        assert_eq!(event.key(), "019a0000-0000-7000-8000-000000000001");
    }
}
