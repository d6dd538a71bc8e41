//! The saga that follows the end of a confirmed registration: what comes back of the fee goes back.
//!
//! It starts in the commit that ends the registration, whoever ended it.

use kernel::ClaimId;
use kernel::contracts::payments::{PaymentState, Refund, RefundPayment, SettlePayment};
use orderlog::ReturnReason;
use platform::saga::{Call, Definition, Outcome, Start};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Races;
use crate::model::{parse_reason, quote, reason_text};
use crate::store::registrations;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ended {
    registration: ClaimId,
    by: String,
    at_ms: i64,
}

pub fn cancellation() -> Definition<Races> {
    Definition::new("cancellation", 1).step_without_undo("refund", refund)
}

/// One registration ends once: its id is the saga's.
pub fn start(registration: ClaimId, by: ReturnReason, at_ms: i64) -> Start {
    let ended = Ended { registration, by: reason_text(by).to_owned(), at_ms };
    Start {
        name: "cancellation",
        id: registration.0,
        subject: registration.to_string(),
        data: json!(ended),
        after_ms: 0,
    }
}

async fn refund(races: Races, call: Call) -> Outcome {
    let Ok(ended) = call.data::<Ended>() else { return Outcome::stuck("its data cannot be read") };
    let Some(by) = parse_reason(&ended.by) else { return Outcome::stuck("its reason is not known") };
    let row = match registrations::find(&races.db, ended.registration).await {
        Ok(Some(row)) => row,
        Ok(None) => return Outcome::stuck("there is no such registration"),
        Err(error) => return Outcome::unknown(error),
    };
    let nothing = || Outcome::Done(json!({ "amount_won": 0 }));
    let Some(had) = &row.progress.payment else { return nothing() };
    let payment = match races.peers.call(&SettlePayment { payment_id: had.id }).await {
        Ok(payment) => payment.filter(|payment| payment.state == PaymentState::Captured),
        Err(problem) => return Outcome::unknown(problem.code.code),
    };
    let Some(payment) = payment else { return nothing() };
    let due = quote(&row.refund_rules, payment.amount_won, by, ended.at_ms);
    // What a registration's own undoing gave back is not owed again.
    if due.amount <= payment.refunded_won {
        return nothing();
    }
    let asked =
        RefundPayment { key: call.key, payment_id: payment.payment_id, amount_won: due.amount, reason: ended.by };
    match races.peers.call(&asked).await {
        Ok(Refund::Done { .. }) => Outcome::Done(json!({ "amount_won": due.amount })),
        // Money that is owed is nothing to drop silently.
        Ok(Refund::Refused { reason }) => Outcome::stuck(reason),
        Ok(Refund::Unknown { reason }) => Outcome::unknown(reason),
        Err(problem) => Outcome::unknown(problem.code.code),
    }
}
