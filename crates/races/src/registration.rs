//! A registration as its owner and its race's organiser see it.

use admission::ClaimState;
use kernel::{ClaimId, PaymentId, RaceId, UtcTime, Won};
use platform::admission::ClaimView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Races;
use crate::model::{
    Address, NextStep, PaymentProgress, Progress, Souvenir, SouvenirChoice, Wizard, course_of, parse_reason, quote,
    souvenir_of,
};
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
    /// The version of the terms its owner agreed to.
    pub terms_version: Option<i64>,
    /// Shown to its owner and in the organiser's CSV.
    pub address: Option<Address>,
    pub payment: Option<PaymentOfRegistration>,
    /// What comes back of the fee, once a paid registration has ended.
    pub refund: Option<RefundOfRegistration>,
    /// Why it ended: `expired`, `released` by its owner, `cancelled` by the organiser, `failed`.
    pub ended_by: Option<String>,
    /// The ended registration that this one follows.
    pub replaces: Option<ClaimId>,
    pub replaced_by: Option<ClaimId>,
    pub received_at: UtcTime,
    /// When it came into its present state.
    pub decided_at: UtcTime,
}

/// The newest payment of a registration.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentOfRegistration {
    pub id: PaymentId,
    /// `ready`, `confirming`, `captured`, `declined`, `voided`, `expired`.
    pub state: String,
    pub amount_won: Won,
    pub refunded_won: Won,
    pub provider: String,
    /// Where its owner pays; shown to him only.
    pub checkout_url: Option<String>,
    pub expires_at: UtcTime,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct RefundOfRegistration {
    /// What comes back in all.
    pub amount_won: Won,
    pub percent: i64,
    /// What has come back so far.
    pub refunded_won: Won,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
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
            // A claim fresh from the queue: nothing was filled in yet.
            next_step: Wizard::new(claim.state, &claim.want, !souvenirs.is_empty(), Won(0)).next(&Progress::default()),
            sequence: number(claim.seq),
            log_index: number(claim.log_index),
            receipt: None,
            person_key: None,
            hold_expires_at: claim.hold_until_ms.map(UtcTime),
            position: claim.position.map(number),
            bib: claim.confirm_no.map(i64::from),
            terms_version: None,
            address: None,
            payment: None,
            refund: None,
            ended_by: None,
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
            next_step: row.wizard().next(&row.progress),
            sequence: row.seq,
            log_index: row.log_index,
            receipt: None,
            person_key: None,
            hold_expires_at: row.hold_until_ms.map(UtcTime),
            position,
            bib: row.confirm_no,
            terms_version: row.progress.terms_version,
            address: None,
            payment: row.progress.payment.as_ref().map(PaymentOfRegistration::new),
            refund: refund_of(row),
            ended_by: row.ended_by.clone(),
            replaces: row.replaces,
            replaced_by: row.replaced_by,
            received_at: UtcTime(row.received_ms),
            decided_at: UtcTime(row.decided_ms),
        }
    }

    /// Adds what only the registration's owner is shown.
    pub fn for_owner(mut self, races: &Races, row: &Registration) -> Self {
        self.person_key = Some(races.admission.person_key(row.offer, row.user));
        self.address = row.progress.address.clone();
        let checkout_url = row.progress.payment.as_ref().map(|payment| payment.checkout_url.clone());
        if let Some(payment) = &mut self.payment {
            payment.checkout_url = checkout_url;
        }
        self
    }
}

impl PaymentOfRegistration {
    fn new(payment: &PaymentProgress) -> Self {
        Self {
            id: payment.id,
            state: payment.state.clone(),
            amount_won: payment.amount,
            refunded_won: payment.refunded,
            provider: payment.provider.clone(),
            checkout_url: None,
            expires_at: UtcTime(payment.expires_ms),
        }
    }
}

/// The same sum that its saga gives back.
fn refund_of(row: &Registration) -> Option<RefundOfRegistration> {
    let paid = row.progress.payment.as_ref().filter(|payment| payment.state == "captured")?;
    let by = parse_reason(row.ended_by.as_deref()?)?;
    let due = quote(&row.refund_rules, paid.amount, by, row.decided_ms);
    Some(RefundOfRegistration { amount_won: due.amount, percent: due.percent, refunded_won: paid.refunded })
}
