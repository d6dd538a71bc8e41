//! A registration as its owner and its race's organiser see it.

use admission::ClaimState;
use kernel::{ClaimId, RaceId, UtcTime};
use platform::admission::ClaimView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Races;
use crate::model::{NextStep, Souvenir, SouvenirChoice, course_of, next_step, souvenir_of};
use crate::store::registrations::Registration;

#[derive(Debug, Serialize, ToSchema)]
pub struct RegistrationBody {
    pub id: ClaimId,
    pub race_id: RaceId,
    /// The course's code.
    pub course: String,
    pub souvenir: Option<SouvenirChoice>,
    pub state: RegistrationState,
    /// What its owner does next; null while waiting and after the end.
    pub next_step: Option<NextStep>,
    /// Its number in the race's order log: "143rd of 100" is 143.
    pub sequence: i64,
    /// The index of its leaf in the order log.
    pub log_index: i64,
    /// The proof of that leaf (C2SP tlog-proof@v1), in the answer to a claim; afterwards at `offer/receipts/{log_index}`,
    /// or below `offer/logs/{k}` where the log began anew since.
    pub receipt: Option<String>,
    /// Base64 of the key that shows whose pseudonym the leaf holds; shown to its owner only.
    pub person_key: Option<String>,
    /// When a place that is not confirmed goes to somebody else.
    pub hold_expires_at: Option<UtcTime>,
    /// The place in the line, from 1, while waiting.
    pub position: Option<i64>,
    /// The number on the runner's chest, once confirmed.
    pub bib: Option<i64>,
    /// The ended registration that this one follows.
    pub replaces: Option<ClaimId>,
    pub replaced_by: Option<ClaimId>,
    pub received_at: UtcTime,
    /// When it came into its present state.
    pub decided_at: UtcTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationState {
    Waitlisted,
    Held,
    Paying,
    Confirmed,
    Expired,
    Cancelled,
    Failed,
}

impl From<ClaimState> for RegistrationState {
    fn from(state: ClaimState) -> Self {
        match state {
            ClaimState::Waitlisted => Self::Waitlisted,
            ClaimState::Held => Self::Held,
            ClaimState::Paying => Self::Paying,
            ClaimState::Confirmed => Self::Confirmed,
            ClaimState::Expired => Self::Expired,
            ClaimState::Cancelled => Self::Cancelled,
            ClaimState::Failed => Self::Failed,
        }
    }
}

impl From<RegistrationState> for ClaimState {
    fn from(state: RegistrationState) -> Self {
        match state {
            RegistrationState::Waitlisted => Self::Waitlisted,
            RegistrationState::Held => Self::Held,
            RegistrationState::Paying => Self::Paying,
            RegistrationState::Confirmed => Self::Confirmed,
            RegistrationState::Expired => Self::Expired,
            RegistrationState::Cancelled => Self::Cancelled,
            RegistrationState::Failed => Self::Failed,
        }
    }
}

impl RegistrationBody {
    /// A claim fresh from the queue.
    pub fn of_claim(claim: &ClaimView, race: RaceId, souvenirs: &[Souvenir]) -> Self {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        Self {
            id: claim.id,
            race_id: race,
            course: course_of(&claim.want),
            souvenir: souvenir_of(&claim.want, souvenirs),
            state: claim.state.into(),
            next_step: next_step(claim.state),
            sequence: number(claim.seq),
            log_index: number(claim.log_index),
            receipt: None,
            person_key: None,
            hold_expires_at: claim.hold_until_ms.map(UtcTime),
            position: claim.position.map(number),
            bib: claim.confirm_no.map(i64::from),
            replaces: claim.replaces,
            replaced_by: claim.replaced_by,
            received_at: UtcTime(claim.received_ms),
            decided_at: UtcTime(claim.decided_ms),
        }
    }

    pub fn of_row(row: &Registration, position: Option<i64>) -> Self {
        Self {
            id: row.id,
            race_id: row.race,
            course: course_of(&row.want),
            souvenir: souvenir_of(&row.want, &row.souvenirs),
            state: row.state.into(),
            next_step: next_step(row.state),
            sequence: row.seq,
            log_index: row.log_index,
            receipt: None,
            person_key: None,
            hold_expires_at: row.hold_until_ms.map(UtcTime),
            position,
            bib: row.confirm_no,
            replaces: row.replaces,
            replaced_by: row.replaced_by,
            received_at: UtcTime(row.received_ms),
            decided_at: UtcTime(row.decided_ms),
        }
    }

    /// Adds what only the registration's owner is shown.
    pub fn for_owner(mut self, races: &Races, row: &Registration) -> Self {
        self.person_key = Some(races.admission.person_key(row.offer, row.user));
        self
    }
}
