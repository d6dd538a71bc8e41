//! `PinRegistration`: payments asks before any call that can capture money.
//!
//! Invariant: pin and saga are one commit, so that whatever is pinned is brought to an end by somebody.

use admission::{ClaimState, Move, MoveBy};
use kernel::PaymentId;
use kernel::contracts::payments::PaymentState;
use kernel::contracts::races::{PinRegistration, Pinned};
use platform::admission::RowSet;
use platform::http::Result;

use crate::Races;
use crate::registering::{self, Entry};
use crate::store::progress;
use crate::store::registrations::{self, Registration};

pub async fn pin(races: Races, asked: PinRegistration) -> Result<Pinned> {
    let (id, payment) = (asked.registration_id, asked.payment_id);
    let Some(row) = registrations::find(&races.db, id).await? else {
        return Ok(Pinned::No { state: "missing".to_owned() });
    };
    if !fits(&row, payment) || !matches!(row.state, ClaimState::Held | ClaimState::Paying) {
        return Ok(no(&row));
    }
    let saga = registering::start(&races.sagas, Entry { registration: id, payment });
    match races.pin(&row, payment, vec![saga]).await {
        Ok(()) => {}
        // It ended meanwhile.
        Err(problem) if problem.status() == 409 => {}
        Err(problem) => return Err(problem),
    }
    // Why again: its owner may have changed the course, or its hold may have ended. Once pinned, neither can.
    let row = registrations::find(&races.db, id).await?;
    Ok(match row {
        Some(row) if row.state == ClaimState::Paying && fits(&row, payment) => Pinned::Yes,
        Some(row) => no(&row),
        None => Pinned::No { state: "missing".to_owned() },
    })
}

impl Races {
    /// Pins a held place for a payment, with further rows in the same commit.
    pub async fn pin(&self, row: &Registration, payment: PaymentId, mut rows: Vec<RowSet>) -> Result<()> {
        rows.push(progress::payment_row(row.id, Some((payment, PaymentState::Confirming))));
        self.admission.act_with(row.offer, row.id, MoveBy::System, Move::Pay, rows).await?;
        Ok(())
    }
}

/// Whether it waits for this payment, which is of its course's fee.
fn fits(row: &Registration, payment: PaymentId) -> bool {
    row.is_for(payment) && row.progress.payment.as_ref().is_some_and(|had| had.amount == row.fee)
}

fn no(row: &Registration) -> Pinned {
    let state = if row.state.open() { "payment_changed" } else { row.state.as_str() };
    Pinned::No { state: state.to_owned() }
}
