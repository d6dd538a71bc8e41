//! What a batch of decisions changes in registrations, written in its transaction.

use admission::{Claim, ClaimState, Decided};
use kernel::contracts::races::RegistrationChanged;
use kernel::{ClaimId, OfferId, UserId};
use platform::admission::{Column, Mode, RowSet, Rows};
use platform::events::event_rows;
use platform::saga::Sagas;
use uuid::Uuid;

use crate::cancellation;
use crate::model::{course_of, reason_text};

/// A new claim's tag is its race's id; its place and state are the claim's own.
pub struct RegistrationRows {
    /// For the refund that follows the end of a confirmed registration.
    sagas: Sagas,
}

impl RegistrationRows {
    pub fn new(sagas: Sagas) -> Self {
        Self { sagas }
    }
}

impl Rows for RegistrationRows {
    fn rows(&self, offer: OfferId, decided_ms: i64, decided: &[Decided]) -> Vec<RowSet> {
        let of = |wanted: fn(&Decided) -> bool| decided.iter().filter(move |one| wanted(one)).collect::<Vec<_>>();
        let new = of(|one| one.was.is_none());
        let mut sets = Vec::new();
        if !new.is_empty() {
            sets.push(new_rows(&new));
        }
        let confirmed = of(|one| one.claim.state == ClaimState::Confirmed && one.was != Some(ClaimState::Confirmed));
        if !confirmed.is_empty() {
            sets.push(confirmed_rows(&confirmed, decided_ms));
        }
        let ended = of(|one| one.returned.is_some());
        if !ended.is_empty() {
            sets.push(ended_rows(&ended));
        }
        // Who has a bib was confirmed before, also within this very batch.
        let refunds: Vec<_> = ended
            .iter()
            .filter(|one| one.claim.confirm_no.is_some())
            .filter_map(|one| Some(cancellation::start(ClaimId(one.claim.id), one.returned?, decided_ms)))
            .collect();
        if !refunds.is_empty() {
            sets.push(self.sagas.start_rows(&refunds));
        }
        let told: Vec<_> = decided.iter().filter_map(|one| told(offer, one)).collect();
        if !told.is_empty() {
            sets.push(event_rows(&told, decided_ms));
        }
        sets
    }
}

fn new_rows(new: &[&Decided]) -> RowSet {
    let claims = || new.iter().map(|one| &*one.claim);
    RowSet {
        table: "registration",
        columns: vec![
            ("id", Column::Uuid(claims().map(|claim| Some(claim.id)).collect())),
            ("race_id", Column::Uuid(claims().map(race_of).collect())),
            ("user_id", Column::Uuid(claims().map(|claim| Some(claim.user_id)).collect())),
            ("created_ms", Column::Int(claims().map(|claim| Some(claim.received_ms)).collect())),
        ],
        mode: Mode::Insert,
    }
}

fn confirmed_rows(confirmed: &[&Decided], decided_ms: i64) -> RowSet {
    RowSet {
        table: "registration",
        columns: vec![
            ("id", Column::Uuid(confirmed.iter().map(|one| Some(one.claim.id)).collect())),
            ("confirmed_ms", Column::Int(vec![Some(decided_ms); confirmed.len()])),
        ],
        mode: Mode::Update { keys: 1 },
    }
}

fn ended_rows(ended: &[&Decided]) -> RowSet {
    let reason = |one: &&Decided| one.returned.map(|reason| reason_text(reason).to_owned());
    RowSet {
        table: "registration",
        columns: vec![
            ("id", Column::Uuid(ended.iter().map(|one| Some(one.claim.id)).collect())),
            ("ended_by", Column::Text(ended.iter().map(reason).collect())),
        ],
        mode: Mode::Update { keys: 1 },
    }
}

/// Of a claim that went on. Pinning and unpinning is a payment's affair, told by payments.
fn told(offer: OfferId, one: &Decided) -> Option<RegistrationChanged> {
    let (claim, was) = (&one.claim, one.was?);
    let pinned = (was, claim.state) == (ClaimState::Held, ClaimState::Paying);
    let unpinned = (was, claim.state) == (ClaimState::Paying, ClaimState::Held);
    if was == claim.state || pinned || unpinned {
        return None;
    }
    Some(RegistrationChanged {
        registration_id: ClaimId(claim.id),
        offer_id: offer,
        user_id: UserId(claim.user_id),
        state: claim.state.as_str().to_owned(),
        was: was.as_str().to_owned(),
        ended_by: one.returned.map(|reason| reason_text(reason).to_owned()),
        course: course_of(&claim.want),
        bib: claim.confirm_no,
        hold_until_ms: claim.hold_until_ms,
    })
}

fn race_of(claim: &Claim) -> Option<Uuid> {
    Uuid::try_parse(&claim.tag).ok()
}
