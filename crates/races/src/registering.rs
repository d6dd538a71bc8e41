//! The saga of a paid registration: from the pinned place to the bib, or back.
//!
//! `registration` starts with the pin: place, payment, eligibility, confirmation. `late-payment` starts with money that
//! came after all when nothing waited for it any more: it looks for a place, and gives the money back where there is none.
//! Its steps are the same, in the order in which they can be undone.

use admission::{ClaimState, Move, MoveBy};
use kernel::contracts::payments::{Payment, PaymentState, Refund, RefundPayment, SettlePayment};
use kernel::{ClaimId, PaymentId, Won};
use orderlog::ReturnReason;
use platform::admission::{ClaimRequest, RowSet};
use platform::http::{Problem, Result};
use platform::saga::{Call, Definition, Outcome, Sagas, Start, Undone, step_key};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::Races;
use crate::store::registrations::{self, Registration};
use crate::store::{find_race, progress};

/// The usual payment is decided by then, and its event comes sooner.
const FIRST_LOOK_MS: i64 = 2_000;

/// What both sagas are started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub registration: ClaimId,
    pub payment: PaymentId,
}

/// What the step `place` answers: the registration that has the place, which may be a new one.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Placed {
    registration: ClaimId,
}

/// What the step `payment` answers.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Paid {
    amount_won: Won,
}

pub fn registration() -> Definition<Races> {
    Definition::new("registration", 1)
        .step("place", take_place, give_place_back)
        .step("payment", await_payment, refund)
        .step_without_undo("eligibility", check_eligibility)
        .step_without_undo("confirmation", confirm)
}

pub fn late_payment() -> Definition<Races> {
    Definition::new("late-payment", 1)
        .step("payment", await_payment, refund)
        .step("place", take_place, give_place_back)
        .step_without_undo("eligibility", check_eligibility)
        .step_without_undo("confirmation", confirm)
}

/// The rows that start the saga with the pin's commit. One payment, one saga.
pub fn start(sagas: &Sagas, entry: Entry) -> RowSet {
    sagas.start_rows(&[of_entry("registration", entry.payment.0, entry, FIRST_LOOK_MS)])
}

/// Money that nothing waits for any more.
pub fn late_start(entry: Entry) -> Start {
    of_entry("late-payment", step_key(entry.payment.0, "late-payment"), entry, 0)
}

fn of_entry(name: &'static str, id: Uuid, entry: Entry, after_ms: i64) -> Start {
    Start { name, id, subject: entry.registration.to_string(), data: json!(entry), after_ms }
}

/// What a step works on.
struct Case {
    row: Registration,
    entry: Entry,
}

impl Races {
    /// The registration that has the place as far as the saga knows.
    async fn case(&self, call: &Call) -> std::result::Result<Case, String> {
        let entry: Entry = call.data().map_err(|error| error.to_string())?;
        let placed: Option<Placed> = call.result("place").map_err(|error| error.to_string())?;
        let id = placed.map_or(entry.registration, |placed| placed.registration);
        let row = registrations::find(&self.db, id).await.map_err(|error| error.to_string())?;
        Ok(Case { row: row.ok_or_else(|| format!("there is no registration {id}"))?, entry })
    }

    async fn payment(&self, id: PaymentId) -> Result<Option<Payment>> {
        self.peers.call(&SettlePayment { payment_id: id }).await
    }
}

/// The place is pinned for this payment; where it is not any more, it is got back if there is one.
pub async fn take_place(races: Races, call: Call) -> Outcome {
    let Case { row, entry } = match races.case(&call).await {
        Ok(case) => case,
        Err(error) => return Outcome::unknown(error),
    };
    match races.secure(row, entry, &call).await {
        Ok(Some(registration)) => Outcome::Done(json!(Placed { registration })),
        Ok(None) => Outcome::refused("there is no place for it any more"),
        Err(problem) if problem.status() == 409 || problem.status() == 404 => Outcome::refused(problem.code.code),
        Err(problem) => Outcome::unknown(problem.code.code),
    }
}

impl Races {
    /// The registration that is pinned for the payment, one way or another.
    async fn secure(&self, row: Registration, entry: Entry, call: &Call) -> Result<Option<ClaimId>> {
        let has_it = |row: &Registration| {
            row.is_for(entry.payment) && matches!(row.state, ClaimState::Paying | ClaimState::Confirmed)
        };
        let row = if row.state.open() { row } else { self.regain(&row, call).await? };
        if has_it(&row) {
            return Ok(Some(row.id));
        }
        let Some(payment) = self.payment(entry.payment).await? else { return Ok(None) };
        // Who waits, is confirmed or is paying otherwise, or has a place at another price, gets his money back.
        if row.state != ClaimState::Held || payment.amount_won != row.fee {
            return Ok(None);
        }
        self.pin(&row, entry.payment, Vec::new()).await?;
        let id = row.id;
        let shown = self.db.write(move |tx| {
            Box::pin(async move {
                let now_ms = tx.now_ms().await?;
                progress::opened(tx, id, &payment, now_ms).await?;
                progress::told(tx, &payment, now_ms).await
            })
        });
        shown.await?;
        let row = registrations::find(&self.db, id).await?;
        Ok(row.filter(has_it).map(|row| row.id))
    }

    /// A new claim for who had a place before, or the open one he has by now; with what he had filled in.
    async fn regain(&self, lost: &Registration, call: &Call) -> Result<Registration> {
        let sale = self.sale(lost.race).await?;
        let request = ClaimRequest {
            user: lost.user,
            want: lost.want.clone(),
            idem: Some((call.key.to_string(), Sha256::digest(lost.id.0.as_bytes()).into())),
            tag: sale.tag.clone(),
            received_ms: self.clock.now_ms(),
        };
        let claimed = self.admission.claim(lost.offer, request).await?;
        let (from, to) = (lost.id, claimed.claim.id);
        if claimed.fresh && claimed.claim.state == ClaimState::Waitlisted {
            // Nobody asked for a turn in the line.
            let by = MoveBy::Owner(lost.user.0);
            self.admission.act(lost.offer, to, by, Move::Return(ReturnReason::Released)).await?;
        }
        self.db.write(move |tx| Box::pin(async move { progress::carry_over(tx, from, to).await })).await?;
        let row = registrations::find(&self.db, to).await?;
        row.ok_or_else(|| Problem::new(&platform::http::codes::NOT_FOUND))
    }
}

impl Races {
    /// Where the place was regained and nobody wrote it down, the registration that follows the lost one.
    async fn newest_of(&self, mut row: Registration, payment: PaymentId) -> Result<Registration> {
        while let (false, Some(next)) = (row.state.open(), row.replaced_by) {
            match registrations::find(&self.db, next).await?.filter(|next| next.is_for(payment)) {
                Some(next) => row = next,
                None => break,
            }
        }
        Ok(row)
    }
}

/// Before any money came the place goes back to its hold, and another payment may be tried; afterwards it is given up.
async fn give_place_back(races: Races, call: Call) -> Undone {
    let Case { row, entry } = match races.case(&call).await {
        Ok(case) => case,
        Err(error) => return Undone::not_yet(error),
    };
    let row = match races.newest_of(row, entry.payment).await {
        Ok(row) => row,
        Err(problem) => return Undone::not_yet(problem.code.code),
    };
    let paid = call.results.contains_key("payment");
    let (by, mv) = match row.state {
        _ if !row.is_for(entry.payment) => return Undone::Done,
        ClaimState::Paying if paid => (MoveBy::System, Move::Return(ReturnReason::Failed)),
        ClaimState::Paying => (MoveBy::System, Move::Unpay),
        // Undone by an operator's order when the confirmation was in doubt.
        ClaimState::Confirmed => (MoveBy::Organiser, Move::Return(ReturnReason::Cancelled)),
        _ => return Undone::Done,
    };
    match races.admission.act(row.offer, row.id, by, mv).await {
        Ok(_) => Undone::Done,
        Err(problem) => Undone::not_yet(problem.code.code),
    }
}

/// The provider's word, fetched by payments; a provider that says nothing for too long needs an operator, or its own
/// late word, which goes on from there.
pub async fn await_payment(races: Races, call: Call) -> Outcome {
    let entry: Entry = match call.data() {
        Ok(entry) => entry,
        Err(error) => return Outcome::stuck(error),
    };
    let payment = match races.payment(entry.payment).await {
        Ok(Some(payment)) => payment,
        Ok(None) => return Outcome::refused("there is no such payment"),
        Err(problem) => return Outcome::unknown(problem.code.code),
    };
    match payment.state {
        PaymentState::Captured if payment.refunded_won >= payment.amount_won => {
            Outcome::refused("it was given back already")
        }
        PaymentState::Captured => Outcome::Done(json!(Paid { amount_won: payment.amount_won })),
        PaymentState::Declined | PaymentState::Expired | PaymentState::Voided => {
            Outcome::refused(payment.reason.as_deref().unwrap_or(payment.state.as_str()))
        }
        PaymentState::Ready | PaymentState::Confirming => {
            let asked_ms = races.clock.now_ms() - call.begun_ms;
            if asked_ms > i64::from(races.config.paying_max_s) * 1_000 {
                return Outcome::stuck("the provider does not say what came of the payment");
            }
            Outcome::unknown("the provider has not said yet")
        }
    }
}

/// All that was paid goes back.
pub async fn refund(races: Races, call: Call) -> Undone {
    let entry: Entry = match call.data() {
        Ok(entry) => entry,
        Err(error) => return Undone::not_yet(error),
    };
    let payment = match races.payment(entry.payment).await {
        Ok(Some(payment)) => payment,
        Ok(None) => return Undone::Done,
        Err(problem) => return Undone::not_yet(problem.code.code),
    };
    match payment.state {
        // Something else gave it back already, e.g. the end of a confirmed registration.
        PaymentState::Captured if payment.refunded_won >= payment.amount_won => return Undone::Done,
        PaymentState::Captured => {}
        // Undone by an operator's order before anybody knew.
        PaymentState::Ready | PaymentState::Confirming => return Undone::not_yet("the provider has not said yet"),
        PaymentState::Declined | PaymentState::Expired | PaymentState::Voided => return Undone::Done,
    }
    let asked = RefundPayment {
        key: call.undo_key(),
        payment_id: entry.payment,
        amount_won: payment.amount_won,
        reason: "there was no place".to_owned(),
    };
    match races.peers.call(&asked).await {
        Ok(Refund::Done { .. }) => Undone::Done,
        Ok(Refund::Refused { reason } | Refund::Unknown { reason }) => Undone::not_yet(reason),
        Err(problem) => Undone::not_yet(problem.code.code),
    }
}

/// Person and race once more: the place is pinned, so the hold is no question.
pub async fn check_eligibility(races: Races, call: Call) -> Outcome {
    let row = match races.case(&call).await {
        Ok(case) => case.row,
        Err(error) => return Outcome::unknown(error),
    };
    match races.unmet_by(&row).await {
        Ok(None) => Outcome::DONE,
        Ok(Some(rule)) => Outcome::refused(rule),
        Err(problem) => Outcome::unknown(problem.code.code),
    }
}

impl Races {
    /// Why this registration cannot be confirmed any more.
    async fn unmet_by(&self, row: &Registration) -> Result<Option<&'static str>> {
        let race = find_race(&self.db, row.race).await?;
        let Some(race) = race.filter(|race| race.cancelled_ms.is_none()) else { return Ok(Some("race_cancelled")) };
        let unmet = self.unmet_rule(&*self.sale(race.id).await?, row.user).await?;
        match unmet {
            Some(_) if progress::is_guest(&self.db, race.id, row.user).await? => Ok(None),
            unmet => Ok(unmet),
        }
    }

    /// A race without a fee: the last step confirms. One move, so no saga.
    pub async fn confirm_free(&self, row: &Registration) -> Result<()> {
        if let Some(rule) = self.unmet_by(row).await? {
            return Err(Problem::new(&platform::admission::codes::NOT_ELIGIBLE).with("rule", rule));
        }
        self.admission.act(row.offer, row.id, MoveBy::System, Move::Confirm).await?;
        row.count_step("confirmed", self.clock.now_ms());
        Ok(())
    }
}

/// The bib comes with the move, and so do the event and what the registration shows of its payment.
pub async fn confirm(races: Races, call: Call) -> Outcome {
    let Case { row, entry } = match races.case(&call).await {
        Ok(case) => case,
        Err(error) => return Outcome::unknown(error),
    };
    // A repeat finds it confirmed already.
    if !row.is_for(entry.payment) || !matches!(row.state, ClaimState::Paying | ClaimState::Confirmed) {
        return Outcome::refused(row.state.as_str());
    }
    let paid = vec![progress::payment_row(row.id, Some((entry.payment, PaymentState::Captured)))];
    match races.admission.act_with(row.offer, row.id, MoveBy::System, Move::Confirm, paid).await {
        Ok(claim) => {
            if row.state == ClaimState::Paying {
                row.count_step("confirmed", races.clock.now_ms());
            }
            Outcome::Done(json!({ "bib": claim.confirm_no }))
        }
        Err(problem) if problem.status() == 409 => Outcome::refused(problem.code.code),
        Err(problem) => Outcome::unknown(problem.code.code),
    }
}
