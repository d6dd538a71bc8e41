use platform::db::{DbError, FromQueryResult, Query, Tx, args};

use crate::provider::Hook;

#[derive(Clone, Debug, FromQueryResult)]
pub struct Waiting {
    pub provider: String,
    pub event_id: String,
    pub provider_key: String,
}
platform::rows!(Waiting);

/// Was it applied already? `None` where it never came.
pub async fn is_applied(query: &impl Query, provider: &str, event_id: &str) -> Result<Option<bool>, DbError> {
    let sql = "SELECT applied_ms FROM webhook WHERE provider = $1 AND event_id = $2";
    let found = query.one::<(Option<i64>,)>(sql, args![provider, event_id]).await?;
    Ok(found.map(|row| row.0.is_some()))
}

/// Keeps a webhook, applied already or to be applied after `next_look_ms`.
pub async fn insert(
    tx: &Tx,
    provider: &str,
    hook: &Hook,
    applied: bool,
    next_look_ms: i64,
    now_ms: i64,
) -> Result<(), DbError> {
    let sql = "INSERT INTO webhook (provider, event_id, provider_key, received_ms, next_look_ms, applied_ms)
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (provider, event_id) DO NOTHING";
    let applied_ms = applied.then_some(now_ms);
    tx.run(sql, args![provider, hook.event_id.as_str(), hook.key.as_str(), now_ms, next_look_ms, applied_ms]).await?;
    Ok(())
}

pub async fn mark_applied(tx: &Tx, provider: &str, event_id: &str, now_ms: i64) -> Result<(), DbError> {
    let sql = "UPDATE webhook SET applied_ms = $3 WHERE provider = $1 AND event_id = $2 AND applied_ms IS NULL";
    tx.run(sql, args![provider, event_id, now_ms]).await?;
    Ok(())
}

pub async fn look_again(tx: &Tx, provider: &str, event_id: &str, next_look_ms: i64) -> Result<(), DbError> {
    let sql = "UPDATE webhook SET next_look_ms = $3 WHERE provider = $1 AND event_id = $2 AND applied_ms IS NULL";
    tx.run(sql, args![provider, event_id, next_look_ms]).await?;
    Ok(())
}

pub async fn waiting(query: &impl Query, now_ms: i64, limit: i64) -> Result<Vec<Waiting>, DbError> {
    let sql = "SELECT provider, event_id, provider_key FROM webhook
               WHERE applied_ms IS NULL AND next_look_ms <= $1 ORDER BY next_look_ms LIMIT $2";
    query.all(sql, args![now_ms, limit]).await
}

/// Forgets some of the applied ones that came before then; answers how many.
pub async fn forget(tx: &Tx, before_ms: i64, limit: i64) -> Result<u64, DbError> {
    let sql = "DELETE FROM webhook WHERE (provider, event_id) IN (
                   SELECT provider, event_id FROM webhook WHERE received_ms < $1 AND applied_ms IS NOT NULL LIMIT $2)";
    tx.run(sql, args![before_ms, limit]).await
}
