//! All statements of the sandbox.
//!
//! Invariant: a change of an order, its line on the statement, its webhooks and the answer kept under the key are one
//! transaction.

use kernel::PaymentId;
use platform::db::{DbError, FromQueryResult, Query, Tx, args};
use uuid::Uuid;

use super::order::{Fault, Order, State};
use super::{EntryBody, HookBody, HookData, NewOrder, OrderBody, StatementBody};

#[derive(FromQueryResult)]
struct OrderRow {
    id: String,
    order_id: Uuid,
    title: String,
    amount_won: i64,
    captured_won: i64,
    cancelled_won: i64,
    state: String,
    reason: Option<String>,
    choice: Option<String>,
    fault: Option<String>,
    expires_ms: i64,
    ripe_ms: Option<i64>,
    notify_url: String,
}
platform::rows!(OrderRow);

const COLUMNS: &str = "id, order_id, title, amount_won, captured_won, cancelled_won, state, reason, choice, fault,
    expires_ms, ripe_ms, notify_url";

impl From<OrderRow> for Order {
    fn from(row: OrderRow) -> Order {
        Order {
            id: row.id,
            order_id: PaymentId(row.order_id),
            title: row.title,
            amount_won: row.amount_won,
            captured_won: row.captured_won,
            cancelled_won: row.cancelled_won,
            state: State::parse(&row.state).unwrap_or(State::Declined),
            reason: row.reason,
            pays: row.choice.map(|choice| choice == "approve"),
            fault: row.fault.as_deref().and_then(Fault::parse),
            expires_ms: row.expires_ms,
            ripe_ms: row.ripe_ms,
            notify_url: row.notify_url,
        }
    }
}

impl From<&Order> for OrderBody {
    fn from(order: &Order) -> OrderBody {
        OrderBody {
            id: order.id.clone(),
            order_id: order.order_id,
            state: order.state.as_str().to_owned(),
            amount_won: order.amount_won,
            captured_won: order.captured_won,
            cancelled_won: order.cancelled_won,
            reason: order.reason.clone(),
        }
    }
}

pub async fn find(query: &impl Query, id: &str) -> Result<Option<Order>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM sandbox_payment WHERE id = $1");
    Ok(query.one::<OrderRow>(&sql, args![id]).await?.map(Order::from))
}

/// Takes an order; the same number again is the order that is there.
pub async fn insert(tx: &Tx, new: &NewOrder) -> Result<Order, DbError> {
    let sql =
        "INSERT INTO sandbox_payment (id, order_id, title, amount_won, captured_won, cancelled_won, state, expires_ms,
                   notify_url, created_ms)
               VALUES ($1, $2, $3, $4, 0, 0, 'ready', $5, $6, $7) ON CONFLICT (order_id) DO NOTHING";
    let id = format!("sbx_{}", Uuid::now_v7().simple());
    let now_ms = tx.now_ms().await?;
    let args =
        args![id, new.order_id.0, new.title.as_str(), new.amount_won, new.expires_ms, new.notify_url.as_str(), now_ms];
    tx.run(sql, args).await?;
    let sql = format!("SELECT {COLUMNS} FROM sandbox_payment WHERE order_id = $1");
    let row = tx.one::<OrderRow>(&sql, args![new.order_id.0]).await?;
    Ok(row.ok_or(DbError::Missing)?.into())
}

/// Writes a changed order with what follows from the change; answers the webhook to be sent before anything else.
pub async fn save(tx: &Tx, before: &Order, after: &Order) -> Result<Option<String>, DbError> {
    if before == after {
        return Ok(None);
    }
    let sql = "UPDATE sandbox_payment SET captured_won = $2, cancelled_won = $3, state = $4, reason = $5, choice = $6,
                   fault = $7, ripe_ms = $8 WHERE id = $1";
    let args = args![
        after.id.as_str(),
        after.captured_won,
        after.cancelled_won,
        after.state.as_str(),
        after.reason.clone(),
        after.pays.map(|pays| if pays { "approve" } else { "decline" }),
        after.fault.map(Fault::as_str),
        after.ripe_ms,
    ];
    tx.run(sql, args).await?;
    let now_ms = tx.now_ms().await?;
    let moved_won = (after.captured_won - before.captured_won) - (after.cancelled_won - before.cancelled_won);
    if moved_won != 0 {
        let sql = "INSERT INTO sandbox_entry (payment_id, order_id, amount_won, at_ms) VALUES ($1, $2, $3, $4)";
        tx.run(sql, args![after.id.as_str(), after.order_id.0, moved_won, now_ms]).await?;
    }
    if before.state == after.state || !matches!(after.state, State::Captured | State::Declined) {
        return Ok(None);
    }
    let first = tell(tx, after, now_ms).await?;
    if after.fault != Some(Fault::Twice) {
        return Ok(None);
    }
    tell(tx, after, now_ms).await?;
    Ok(Some(first))
}

/// Puts a webhook into the list.
async fn tell(tx: &Tx, order: &Order, now_ms: i64) -> Result<String, DbError> {
    let data = HookData { payment_id: order.id.clone(), state: order.state.as_str().to_owned() };
    let body = serde_json::to_string(&HookBody { kind: "payment.changed".to_owned(), data }).unwrap_or_default();
    let id = format!("evt_{}", Uuid::now_v7().simple());
    let sql =
        "INSERT INTO sandbox_delivery (id, payment_id, url, body, attempts, due_ms) VALUES ($1, $2, $3, $4, 0, $5)";
    tx.run(sql, args![id.as_str(), order.id.as_str(), order.notify_url.as_str(), body, now_ms]).await?;
    Ok(id)
}

/// The first answer under a key, with what was asked.
pub async fn answered(tx: &Tx, operation: &str, key: &str) -> Result<Option<(String, String)>, DbError> {
    tx.one("SELECT asked, answer FROM sandbox_answer WHERE operation = $1 AND key = $2", args![operation, key]).await
}

pub async fn remember(tx: &Tx, operation: &str, key: &str, asked: &str, answer: &str) -> Result<(), DbError> {
    let sql = "INSERT INTO sandbox_answer (operation, key, asked, answer) VALUES ($1, $2, $3, $4)";
    tx.run(sql, args![operation, key, asked, answer]).await?;
    Ok(())
}

/// Orders whose outcome has come.
pub async fn ripe(query: &impl Query, now_ms: i64, limit: i64) -> Result<Vec<String>, DbError> {
    let sql = "SELECT id FROM sandbox_payment WHERE ripe_ms IS NOT NULL AND ripe_ms <= $1 ORDER BY ripe_ms LIMIT $2";
    Ok(query.all::<(String,)>(sql, args![now_ms, limit]).await?.into_iter().map(|row| row.0).collect())
}

/// When something is due next.
pub async fn next_due_ms(query: &impl Query) -> Result<Option<i64>, DbError> {
    let sql = "SELECT min(due) FROM (
                   SELECT min(ripe_ms) AS due FROM sandbox_payment WHERE ripe_ms IS NOT NULL
                   UNION ALL SELECT min(due_ms) FROM sandbox_delivery WHERE due_ms IS NOT NULL)";
    Ok(query.one::<(Option<i64>,)>(sql, args![]).await?.and_then(|row| row.0))
}

#[derive(Clone, Debug, FromQueryResult)]
pub struct Delivery {
    pub id: String,
    pub url: String,
    pub body: String,
    pub attempts: i64,
}
platform::rows!(Delivery);

pub async fn delivery(query: &impl Query, id: &str) -> Result<Option<Delivery>, DbError> {
    query.one("SELECT id, url, body, attempts FROM sandbox_delivery WHERE id = $1", args![id]).await
}

pub async fn due(query: &impl Query, now_ms: i64, limit: i64) -> Result<Vec<Delivery>, DbError> {
    let sql = "SELECT id, url, body, attempts FROM sandbox_delivery
               WHERE due_ms IS NOT NULL AND due_ms <= $1 ORDER BY due_ms LIMIT $2";
    query.all(sql, args![now_ms, limit]).await
}

/// Notes a try: delivered, due again, or given up.
pub async fn note_try(tx: &Tx, id: &str, delivered_ms: Option<i64>, due_ms: Option<i64>) -> Result<(), DbError> {
    let sql = "UPDATE sandbox_delivery SET attempts = attempts + 1, delivered_ms = $2, due_ms = $3
               WHERE id = $1 AND delivered_ms IS NULL";
    tx.run(sql, args![id, delivered_ms, due_ms]).await?;
    Ok(())
}

#[derive(FromQueryResult)]
struct EntryRow {
    id: i64,
    payment_id: String,
    order_id: Uuid,
    amount_won: i64,
    at_ms: i64,
}
platform::rows!(EntryRow);

/// A page of the statement, after an entry's number.
pub async fn statement(
    query: &impl Query,
    from_ms: i64,
    to_ms: i64,
    after: i64,
    limit: usize,
) -> Result<StatementBody, DbError> {
    let sql = "SELECT id, payment_id, order_id, amount_won, at_ms FROM sandbox_entry
               WHERE at_ms >= $1 AND at_ms < $2 AND id > $3 ORDER BY id LIMIT $4";
    let rows = query.all::<EntryRow>(sql, args![from_ms, to_ms, after, limit as i64]).await?;
    let next_cursor = rows.last().filter(|_| rows.len() == limit).map(|row| row.id);
    let body = |row: EntryRow| EntryBody {
        id: row.payment_id,
        order_id: PaymentId(row.order_id),
        amount_won: row.amount_won,
        at_ms: row.at_ms,
    };
    Ok(StatementBody { entries: rows.into_iter().map(body).collect(), next_cursor })
}
