use kernel::{PaymentId, Won};
use platform::db::{DbError, FromQueryResult, Query, Tx, args};
use uuid::Uuid;

/// Money to be given back, or given back.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct Refunding {
    pub key: Uuid,
    pub payment_id: Uuid,
    pub amount_won: i64,
    pub reason: String,
    /// `pending`, `done` or `refused`.
    pub state: String,
    pub refusal: Option<String>,
    pub looks: i64,
}
platform::rows!(Refunding);

impl Refunding {
    pub fn is_pending(&self) -> bool {
        self.state == "pending"
    }

    pub fn payment(&self) -> PaymentId {
        PaymentId(self.payment_id)
    }

    pub fn amount(&self) -> Won {
        Won(self.amount_won)
    }
}

const COLUMNS: &str = "key, payment_id, amount_won, reason, state, refusal, looks";

/// Read it under its payment's lock before changing it.
pub async fn find(query: &impl Query, key: Uuid) -> Result<Option<Refunding>, DbError> {
    query.one(&format!("SELECT {COLUMNS} FROM refund WHERE key = $1"), args![key]).await
}

pub async fn due(query: &impl Query, now_ms: i64, limit: i64) -> Result<Vec<Refunding>, DbError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM refund WHERE state = 'pending' AND next_look_ms <= $1 ORDER BY next_look_ms LIMIT $2"
    );
    query.all(&sql, args![now_ms, limit]).await
}

pub async fn insert(tx: &Tx, refund: &Refunding, next_look_ms: i64, now_ms: i64) -> Result<(), DbError> {
    let sql = "INSERT INTO refund (key, payment_id, amount_won, reason, state, refusal, looks, next_look_ms, created_ms, changed_ms)
               VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $8)";
    let args = args![
        refund.key,
        refund.payment_id,
        refund.amount_won,
        refund.reason.as_str(),
        refund.state.as_str(),
        refund.refusal.clone(),
        next_look_ms,
        now_ms,
    ];
    tx.run(sql, args).await?;
    Ok(())
}

/// Keeps a part of the payment for a refund; false when so much is not left.
pub async fn reserve(tx: &Tx, payment: PaymentId, amount: Won) -> Result<bool, DbError> {
    let sql = "UPDATE payment SET refunding_won = refunding_won + $2
               WHERE id = $1 AND state = 'captured' AND amount_won - refunded_won - refunding_won >= $2";
    Ok(tx.run(sql, args![payment.0, amount.0]).await? == 1)
}

/// Ends a pending refund; what was kept for it is given back or free again.
pub async fn finish(tx: &Tx, refund: &Refunding, refusal: Option<&str>, now_ms: i64) -> Result<(), DbError> {
    let state = if refusal.is_some() { "refused" } else { "done" };
    let sql = "UPDATE refund SET state = $2, refusal = $3, changed_ms = $4 WHERE key = $1";
    tx.run(sql, args![refund.key, state, refusal.map(str::to_owned), now_ms]).await?;
    let given = if refusal.is_some() { 0 } else { refund.amount_won };
    let sql = "UPDATE payment SET refunding_won = refunding_won - $2, refunded_won = refunded_won + $3, changed_ms = $4
               WHERE id = $1";
    tx.run(sql, args![refund.payment_id, refund.amount_won, given, now_ms]).await?;
    Ok(())
}

/// The provider did not say; it is asked again then.
pub async fn look_again(tx: &Tx, key: Uuid, next_look_ms: i64) -> Result<(), DbError> {
    let sql = "UPDATE refund SET looks = looks + 1, next_look_ms = $2 WHERE key = $1 AND state = 'pending'";
    tx.run(sql, args![key, next_look_ms]).await?;
    Ok(())
}
