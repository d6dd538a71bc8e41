//! Deliveries: queued with their notice, taken by who sends them, kept until the notice would be forgotten.

use kernel::{Cursor, UserId};
use platform::db::{DbError, FromQueryResult, Query, Tx, args};
use serde_json::json;
use uuid::Uuid;

use crate::inbox::Notice;
use crate::kinds::Channel;
use crate::model::Values;

#[derive(Clone, Debug, FromQueryResult)]
pub struct DeliveryRow {
    pub id: Uuid,
    pub user_id: Option<Uuid>,
    pub channel: String,
    pub kind: String,
    pub named: String,
    pub state: String,
    pub reason: Option<String>,
    pub tries: i64,
    pub due_ms: i64,
    pub created_ms: i64,
    pub changed_ms: i64,
}
platform::rows!(DeliveryRow);

const COLUMNS: &str = "d.id, d.user_id, d.channel, d.kind, d.named, d.state, d.reason, d.tries, d.due_ms,
    d.created_ms, d.changed_ms";

/// Queues what of these notices goes to a channel. Who wants none of a kind that goes there by itself is suppressed.
pub async fn queue(tx: &Tx, notices: &[Notice], channel: Channel, now_ms: i64) -> Result<(), DbError> {
    let text = |id: Uuid| id.simple().to_string();
    let row = |notice: &Notice| json!([text(notice.id), text(Uuid::now_v7()), i64::from(notice.kind.goes_to(channel))]);
    let rows = serde_json::Value::from(notices.iter().map(row).collect::<Vec<_>>()).to_string();
    // A notice that was there before has not got this id, and is not found.
    let sql = |note: &str, id: &str, default: &str, from: &str| {
        format!(
            "INSERT INTO delivery (id, about, user_id, channel, kind, named, state, reason, tries, due_ms, created_ms, changed_ms)
             SELECT {id}, n.id, n.user_id, $2, n.kind, n.named, CASE WHEN p.wanted = 0 THEN 'suppressed' ELSE 'queued' END,
                 CASE WHEN p.wanted = 0 THEN 'unwanted' END, 0, $3, $3, $3
             FROM {from} JOIN notice n ON n.id = {note}
             LEFT JOIN preference p ON p.user_id = n.user_id AND p.kind = n.kind AND p.channel = $2
             WHERE {default} = 1 OR p.wanted = 1"
        )
    };
    let sqlite = sql("unhex(e.value ->> 0)", "unhex(e.value ->> 1)", "(e.value ->> 2)", "json_each($1) e");
    let postgres = sql(
        "(e.value ->> 0)::uuid",
        "(e.value ->> 1)::uuid",
        "(e.value ->> 2)::bigint",
        "jsonb_array_elements($1::jsonb) e(value)",
    );
    tx.run(&tx.db().pick(sqlite, postgres), args![rows, channel.as_str(), now_ms]).await?;
    Ok(())
}

/// Queues a message for operators, once per event.
pub async fn queue_for_operators(
    tx: &Tx,
    event: Uuid,
    kind: &str,
    values: &Values,
    now_ms: i64,
) -> Result<(), DbError> {
    let sql = "INSERT INTO delivery (id, about, user_id, channel, kind, named, state, tries, due_ms, created_ms, changed_ms)
               VALUES ($1, $2, NULL, 'operators', $3, $4, 'queued', 0, $5, $5, $5) ON CONFLICT (about, channel) DO NOTHING";
    let named = serde_json::Value::Object(values.clone()).to_string();
    tx.run(sql, args![Uuid::now_v7(), event, kind, named, now_ms]).await?;
    Ok(())
}

pub async fn any_due(query: &impl Query, now_ms: i64) -> Result<bool, DbError> {
    let sql =
        "SELECT due_ms FROM delivery WHERE state IN ('queued', 'failed') AND channel IN ('email', 'slack', 'operators')
               AND due_ms <= $1 LIMIT 1";
    Ok(query.one::<(i64,)>(sql, args![now_ms]).await?.is_some())
}

/// What is due in a channel, the longest due first and only the first of each person: one who fails holds up no other.
pub async fn due(query: &impl Query, channel: &str, now_ms: i64, limit: i64) -> Result<Vec<DeliveryRow>, DbError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM delivery d
         WHERE d.channel = $1 AND d.state IN ('queued', 'failed') AND d.due_ms <= $2 AND NOT EXISTS (
             SELECT 1 FROM delivery e WHERE e.user_id = d.user_id AND e.channel = d.channel
                 AND e.state IN ('queued', 'failed') AND e.due_ms <= $2 AND (e.due_ms, e.id) < (d.due_ms, d.id))
         ORDER BY d.due_ms, d.id LIMIT $3"
    );
    query.all(&sql, args![channel, now_ms, limit]).await
}

/// Takes a delivery for a while; false when somebody else has it.
pub async fn take(tx: &Tx, row: &DeliveryRow, until_ms: i64) -> Result<bool, DbError> {
    let sql = "UPDATE delivery SET due_ms = $3 WHERE id = $1 AND due_ms = $2 AND state IN ('queued', 'failed')";
    Ok(tx.run(sql, args![row.id, row.due_ms, until_ms]).await? == 1)
}

/// What came of a try.
pub struct Tried {
    pub state: &'static str,
    pub reason: Option<String>,
    pub tries: i64,
    pub due_ms: i64,
}

/// Writes what came of it, unless it was taken anew meanwhile.
pub async fn tried(tx: &Tx, id: Uuid, taken_until_ms: i64, tried: &Tried, now_ms: i64) -> Result<(), DbError> {
    let sql = "UPDATE delivery SET state = $3, reason = $4, tries = $5, due_ms = $6, changed_ms = $7
               WHERE id = $1 AND due_ms = $2 AND state IN ('queued', 'failed')";
    let args = args![id, taken_until_ms, tried.state, tried.reason.clone(), tried.tries, tried.due_ms, now_ms];
    tx.run(sql, args).await?;
    Ok(())
}

/// An admin's list: the newest first, one more than `limit`.
pub async fn page(
    query: &impl Query,
    state: Option<&str>,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<DeliveryRow>, DbError> {
    let mut args = args![after.map_or(Uuid::max(), |cursor| cursor.id), limit + 1];
    let mut condition = "";
    if let Some(state) = state {
        args.push(state.into());
        condition = " AND d.state = $3";
    }
    let sql = format!("SELECT {COLUMNS} FROM delivery d WHERE d.id < $1{condition} ORDER BY d.id DESC LIMIT $2");
    query.all(&sql, args).await
}

pub async fn find(query: &impl Query, id: Uuid) -> Result<Option<DeliveryRow>, DbError> {
    query.one(&format!("SELECT {COLUMNS} FROM delivery d WHERE d.id = $1"), args![id]).await
}

/// Begins anew, with the same id.
pub async fn resend(tx: &Tx, id: Uuid, now_ms: i64) -> Result<(), DbError> {
    let sql = "UPDATE delivery SET state = 'queued', reason = NULL, tries = 0, due_ms = $2, changed_ms = $2
               WHERE id = $1 AND state <> 'queued'";
    tx.run(sql, args![id, now_ms]).await?;
    Ok(())
}

/// Where somebody is reached, and his language: e-mail, Slack id, language.
pub async fn reached(
    query: &impl Query,
    user: UserId,
) -> Result<(Option<String>, Option<String>, Option<String>), DbError> {
    let sql =
        "SELECT (SELECT email FROM person WHERE user_id = $1), (SELECT slack_user_id FROM address WHERE user_id = $1),
                   (SELECT language FROM person WHERE user_id = $1)";
    query.one(sql, args![user.0]).await?.ok_or(DbError::Missing)
}

pub async fn set_slack(tx: &Tx, user: UserId, slack_user_id: Option<&str>) -> Result<(), DbError> {
    let sql = "INSERT INTO address (user_id, slack_user_id) VALUES ($1, $2)
               ON CONFLICT (user_id) DO UPDATE SET slack_user_id = excluded.slack_user_id";
    tx.run(sql, args![user.0, slack_user_id.map(str::to_owned)]).await?;
    Ok(())
}

/// How many are in a state that somebody should know of.
pub async fn standing(query: &impl Query) -> Result<Vec<(String, i64)>, DbError> {
    let sql = "SELECT state, count(*) FROM delivery WHERE state IN ('queued', 'failed', 'dead') GROUP BY state";
    query.all(sql, args![]).await
}
