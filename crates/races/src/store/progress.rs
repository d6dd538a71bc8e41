//! How far registrations came.

use kernel::contracts::payments::{Payment, PaymentState};
use kernel::{ClaimId, PaymentId, RaceId, UserId};
use platform::admission::{Column, Mode, RowSet};
use platform::db::{DbError, Query, Tx, args};
use uuid::Uuid;

use super::to_json;
use crate::model::Address;

/// Makes the row that the first step needs; PostgreSQL locks it until the transaction ends.
async fn begin(tx: &Tx, id: ClaimId) -> Result<(), DbError> {
    let sql = "INSERT INTO registration_progress (registration_id) VALUES ($1) ON CONFLICT DO NOTHING";
    tx.run(sql, args![id.0]).await?;
    Ok(())
}

pub async fn agreed(tx: &Tx, id: ClaimId, terms_version: i64, now_ms: i64) -> Result<(), DbError> {
    begin(tx, id).await?;
    let sql = "UPDATE registration_progress SET terms_version = $2, terms_ms = coalesce(terms_ms, $3)
               WHERE registration_id = $1";
    tx.run(sql, args![id.0, terms_version, now_ms]).await?;
    Ok(())
}

pub async fn addressed(tx: &Tx, id: ClaimId, address: &Address, now_ms: i64) -> Result<(), DbError> {
    begin(tx, id).await?;
    let sql = "UPDATE registration_progress SET address = $2, address_ms = coalesce(address_ms, $3)
               WHERE registration_id = $1";
    tx.run(sql, args![id.0, to_json(address), now_ms]).await?;
    Ok(())
}

/// That a souvenir, or none, was chosen in its step.
pub async fn chose_souvenir(tx: &Tx, id: ClaimId, now_ms: i64) -> Result<(), DbError> {
    begin(tx, id).await?;
    let sql = "UPDATE registration_progress SET souvenir_ms = coalesce(souvenir_ms, $2) WHERE registration_id = $1";
    tx.run(sql, args![id.0, now_ms]).await?;
    Ok(())
}

/// The row that says which payment a registration is for and how that stands, or that it is for none; committed with the
/// claim's own move.
pub fn payment_row(id: ClaimId, payment: Option<(PaymentId, PaymentState)>) -> RowSet {
    RowSet {
        table: "registration_progress",
        columns: vec![
            ("registration_id", Column::Uuid(vec![Some(id.0)])),
            ("payment_id", Column::Uuid(vec![payment.map(|(payment, _)| payment.0)])),
            ("payment_state", Column::Text(vec![payment.map(|(_, state)| state.as_str().to_owned())])),
        ],
        mode: Mode::Update { keys: 1 },
    }
}

/// Remembers the payment that was opened, unless another one is being decided.
pub async fn opened(tx: &Tx, id: ClaimId, payment: &Payment, now_ms: i64) -> Result<(), DbError> {
    let sql =
        "UPDATE registration_progress SET payment_id = $2, payment_state = $3, amount_won = $4, refunded_won = $5,
                   provider = $6, checkout_url = $7, payment_expires_ms = $8, payment_ms = coalesce(payment_ms, $9)
               WHERE registration_id = $1
                   AND (payment_id IS NULL OR payment_id = $2 OR refunded_won >= amount_won
                       OR payment_state NOT IN ('confirming', 'captured'))";
    let args = args![
        id.0,
        payment.payment_id.0,
        payment.state.as_str(),
        payment.amount_won.0,
        payment.refunded_won.0,
        payment.provider.as_str(),
        payment.checkout_url.as_str(),
        payment.expires_ms,
        now_ms
    ];
    tx.run(sql, args).await?;
    Ok(())
}

/// Follows what payments tell of a payment.
pub async fn told(tx: &Tx, payment: &Payment, now_ms: i64) -> Result<(), DbError> {
    let captured = (payment.state == PaymentState::Captured).then_some(now_ms);
    let sql = "UPDATE registration_progress
               SET payment_state = $2, refunded_won = $3, amount_won = $4, paid_ms = coalesce(paid_ms, $5)
               WHERE payment_id = $1";
    let args =
        args![payment.payment_id.0, payment.state.as_str(), payment.refunded_won.0, payment.amount_won.0, captured];
    tx.run(sql, args).await?;
    Ok(())
}

/// Gives a place that was regained what its owner had filled in before.
pub async fn carry_over(tx: &Tx, from: ClaimId, to: ClaimId) -> Result<(), DbError> {
    let sql = "INSERT INTO registration_progress (registration_id, terms_version, terms_ms, souvenir_ms, address,
                   address_ms, payment_id, payment_state, amount_won, refunded_won, provider, checkout_url,
                   payment_expires_ms, payment_ms, paid_ms)
               SELECT $2, terms_version, terms_ms, souvenir_ms, address, address_ms, payment_id, payment_state,
                   amount_won, refunded_won, provider, checkout_url, payment_expires_ms, payment_ms, paid_ms
               FROM registration_progress WHERE registration_id = $1
               ON CONFLICT DO NOTHING";
    tx.run(sql, args![from.0, to.0]).await?;
    Ok(())
}

/// The row that exempts somebody from a race's eligibility, committed with his assignment.
pub fn guest_row(race: RaceId, user: UserId) -> RowSet {
    RowSet {
        table: "race_guest",
        columns: vec![("race_id", Column::Uuid(vec![Some(race.0)])), ("user_id", Column::Uuid(vec![Some(user.0)]))],
        mode: Mode::Keep,
    }
}

pub async fn is_guest(q: &impl Query, race: RaceId, user: UserId) -> Result<bool, DbError> {
    let sql = "SELECT user_id FROM race_guest WHERE race_id = $1 AND user_id = $2";
    Ok(q.one::<(Uuid,)>(sql, args![race.0, user.0]).await?.is_some())
}
