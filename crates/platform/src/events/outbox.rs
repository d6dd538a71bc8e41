//! Writing events and reading them back in order.

use kernel::UserId;
use kernel::contracts::Event;
use sea_orm::FromQueryResult;
use serde_json::json;
use uuid::Uuid;

use super::Envelope;
use crate::admission::{Column, Mode, RowSet};
use crate::db::{Db, DbError, Kind, Query, Tx, args};

/// Events read, applied and marked in one go.
pub(super) const BATCH: i64 = 100;

/// Writes one event in the transaction of its change.
pub async fn publish<E: Event>(tx: &Tx, event: &E, actor: Option<UserId>) -> Result<(), DbError> {
    publish_all(tx, std::slice::from_ref(event), actor).await
}

/// Writes many in one statement.
pub async fn publish_all<E: Event>(tx: &Tx, events: &[E], actor: Option<UserId>) -> Result<(), DbError> {
    if events.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = events
        .iter()
        .map(|event| {
            let payload = serde_json::to_string(event).unwrap_or_default();
            json!([Uuid::now_v7().simple().to_string(), event.key(), payload])
        })
        .collect();
    let now_ms = tx.now_ms().await?;
    let sql = tx.db().pick(
        "INSERT INTO outbox (event_id, kind, version, key, actor, payload, created_ms)
         SELECT unhex(e.value ->> 0), $2, $3, e.value ->> 1, $4, e.value ->> 2, $5 FROM json_each($1) e ORDER BY e.key",
        "INSERT INTO outbox (event_id, kind, version, key, actor, payload, created_ms)
         SELECT (e.value ->> 0)::uuid, $2, $3, e.value ->> 1, $4, e.value ->> 2, $5
         FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY e(value, n) ORDER BY e.n",
    );
    let batch = serde_json::to_string(&rows).unwrap_or_default();
    tx.run(sql, args![batch, E::KIND, i64::from(E::VERSION), actor.map(|user| user.0), now_ms]).await?;
    tx.mark_published();
    Ok(())
}

/// The rows that tell events, for a hook that writes them in a batch's own commit.
pub fn event_rows<E: Event>(events: &[E], created_ms: i64) -> RowSet {
    let count = events.len();
    let texts = |text: &dyn Fn(&E) -> Option<String>| Column::Text(events.iter().map(text).collect());
    RowSet {
        table: "outbox",
        columns: vec![
            ("event_id", Column::Uuid(events.iter().map(|_| Some(Uuid::now_v7())).collect())),
            ("kind", Column::Text(vec![Some(E::KIND.to_owned()); count])),
            ("version", Column::Int(vec![Some(i64::from(E::VERSION)); count])),
            ("key", texts(&|event| Some(event.key()))),
            ("payload", texts(&|event| serde_json::to_string(event).ok())),
            ("created_ms", Column::Int(vec![Some(created_ms); count])),
        ],
        mode: Mode::Insert,
    }
}

#[derive(FromQueryResult)]
pub(super) struct OutboxRow {
    pub id: i64,
    event_id: Uuid,
    kind: String,
    version: i64,
    key: String,
    actor: Option<Uuid>,
    payload: String,
    created_ms: i64,
}
crate::rows!(OutboxRow);

impl OutboxRow {
    pub fn envelope(self) -> Envelope {
        Envelope {
            event_id: self.event_id,
            kind: self.kind,
            version: u32::try_from(self.version).unwrap_or(0),
            key: self.key,
            actor: self.actor.map(UserId),
            created_ms: self.created_ms,
            payload: serde_json::from_str(&self.payload).unwrap_or_default(),
        }
    }
}

const COLUMNS: &str = "SELECT id, event_id, kind, version, key, actor, payload, created_ms FROM outbox";

/// What follows a cursor; right only where ids commit in order.
pub(super) async fn after(source: &Db, last_id: i64) -> Result<Vec<OutboxRow>, DbError> {
    debug_assert_eq!(source.kind(), Kind::Sqlite);
    source.all(&format!("{COLUMNS} WHERE id > $1 ORDER BY id LIMIT {BATCH}"), args![last_id]).await
}

/// What was not sent yet, whenever it was committed.
pub(super) async fn unsent(source: &Db) -> Result<Vec<OutboxRow>, DbError> {
    source.all(&format!("{COLUMNS} WHERE sent_ms IS NULL ORDER BY id LIMIT {BATCH}"), args![]).await
}

pub(super) async fn mark_sent(source: &Db, ids: Vec<i64>) -> Result<(), DbError> {
    source
        .write(move |tx| {
            Box::pin(async move {
                let now_ms = tx.now_ms().await?;
                let list = serde_json::to_string(&ids).unwrap_or_default();
                let sql = "UPDATE outbox SET sent_ms = $2
                           WHERE id IN (SELECT value::bigint FROM jsonb_array_elements_text($1::jsonb))";
                tx.run(sql, args![list, now_ms]).await?;
                Ok::<_, DbError>(())
            })
        })
        .await
}
