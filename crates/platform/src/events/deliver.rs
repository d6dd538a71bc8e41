//! Delivery inside the process.
//!
//! SQLite: each consumer follows a cursor, since one writer per file makes ids commit in order. PostgreSQL: ids
//! commit out of order, so one leased relay per source reads what is unsent, hands it to every consumer and
//! marks it sent after all have taken it; a lost lease makes duplicates, which the inbox drops, never gaps.

use std::collections::HashSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::outbox::{self, OutboxRow};
use super::{ConsumeError, Consumer, Envelope};
use crate::db::{Db, DbError, Kind, Query, Tx, args};
use crate::lease::Lease;

/// Between looks when nobody woke us: on PostgreSQL another process may have written.
const IDLE_POSTGRES: Duration = Duration::from_millis(250);
/// On SQLite every commit is this process's and wakes us; looking is for what a stop left behind.
const IDLE_SQLITE: Duration = Duration::from_secs(2);
/// After a failure, so that a database that is away is not hammered.
const BACK_OFF: Duration = Duration::from_millis(500);
const RELAY_LEASE_MS: i64 = 10_000;

/// Delivers everything that `source` publishes until stopped.
pub async fn run(source: Db, consumers: Vec<Consumer>, stop: CancellationToken) {
    let lease = Lease::new(source.clone(), format!("relay {}", source.name()), RELAY_LEASE_MS);
    while !stop.is_cancelled() {
        // Invariant: interest is registered before looking, so a commit in between is not missed.
        let woken = source.0.published.notified();
        let pause = match step(&source, &consumers, &lease).await {
            Ok(0) => source.pick(IDLE_SQLITE, IDLE_POSTGRES),
            Ok(_) => continue,
            Err(error) => {
                tracing::warn!(source = source.name(), %error, "events could not be delivered; trying again");
                BACK_OFF
            }
        };
        tokio::select! {
            () = woken => {}
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
    lease.release().await;
}

/// One look at the source; answers how many events were handed on.
async fn step(source: &Db, consumers: &[Consumer], lease: &Lease) -> Result<usize, DbError> {
    match source.kind() {
        Kind::Sqlite => {
            let mut handed = 0;
            for consumer in consumers {
                handed += follow(source, consumer).await?;
            }
            Ok(handed)
        }
        Kind::Postgres => {
            // Why look first: taking the lease is a commit, and most looks find nothing.
            if outbox::unsent(source).await?.is_empty() || lease.hold().await?.is_none() {
                return Ok(0);
            }
            relay(source, consumers).await
        }
    }
}

async fn follow(source: &Db, consumer: &Consumer) -> Result<usize, DbError> {
    let sql = "SELECT last_id FROM outbox_cursor WHERE consumer = $1 AND source = $2";
    let last = consumer.db.one::<(i64,)>(sql, args![consumer.name, source.name()]).await?.map_or(0, |row| row.0);
    let rows = outbox::after(source, last).await?;
    let Some(upto) = rows.last().map(|row| row.id) else { return Ok(0) };
    let count = rows.len();
    let cursor = Cursor { source: source.name(), upto };
    hand_over(consumer, rows.into_iter().map(OutboxRow::envelope).collect(), Some(cursor)).await?;
    Ok(count)
}

async fn relay(source: &Db, consumers: &[Consumer]) -> Result<usize, DbError> {
    let rows = outbox::unsent(source).await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let events: Vec<Envelope> = rows.into_iter().map(OutboxRow::envelope).collect();
    for consumer in consumers {
        hand_over(consumer, events.clone(), None).await?;
    }
    let count = ids.len();
    outbox::mark_sent(source, ids).await?;
    Ok(count)
}

#[derive(Clone, Copy)]
struct Cursor {
    source: &'static str,
    upto: i64,
}

/// Applies a run of events in one transaction; when one of them fails, each in its own, the culprit parked.
async fn hand_over(consumer: &Consumer, events: Vec<Envelope>, cursor: Option<Cursor>) -> Result<(), DbError> {
    let wanted: Vec<Envelope> = events.into_iter().filter(|event| consumer.wants(&event.kind)).collect();
    match apply_run(consumer, wanted.clone(), cursor).await {
        Ok(()) => return Ok(()),
        Err(ConsumeError::Db(error @ DbError::Unavailable(_))) => return Err(error),
        Err(_) => {}
    }
    for event in wanted {
        match apply_run(consumer, vec![event.clone()], None).await {
            Ok(()) => {}
            Err(ConsumeError::Db(error @ DbError::Unavailable(_))) => return Err(error),
            Err(reason) => park(consumer, event, reason.to_string()).await?,
        }
    }
    match cursor {
        Some(_) => apply_run(consumer, Vec::new(), cursor).await.map_err(|error| match error {
            ConsumeError::Db(error) => error,
            ConsumeError::Poison(text) => DbError::Failed(anyhow::anyhow!(text)),
        }),
        None => Ok(()),
    }
}

async fn apply_run(consumer: &Consumer, events: Vec<Envelope>, cursor: Option<Cursor>) -> Result<(), ConsumeError> {
    if events.is_empty() && cursor.is_none() {
        return Ok(());
    }
    let shared = consumer.clone();
    consumer
        .db
        .write(move |tx| {
            Box::pin(async move {
                let now_ms = tx.now_ms().await?;
                let waiting = waiting_keys(tx, shared.name, &events).await?;
                for event in &events {
                    if !note_received(tx, shared.name, event.event_id, now_ms).await? {
                        continue;
                    }
                    if waiting.contains(&event.key) {
                        insert_parked(tx, shared.name, event, "waits behind a parked event of its key", now_ms).await?;
                        continue;
                    }
                    (shared.apply)(tx, event).await?;
                }
                if let Some(cursor) = cursor {
                    let sql = "INSERT INTO outbox_cursor (consumer, source, last_id) VALUES ($1, $2, $3)
                               ON CONFLICT (consumer, source) DO UPDATE SET last_id = excluded.last_id";
                    tx.run(sql, args![shared.name, cursor.source, cursor.upto]).await?;
                }
                Ok(())
            })
        })
        .await
}

/// Keys of these events that already have something parked.
async fn waiting_keys(tx: &Tx, consumer: &str, events: &[Envelope]) -> Result<HashSet<String>, DbError> {
    if events.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = tx.all::<(String,)>("SELECT DISTINCT key FROM parked WHERE consumer = $1", args![consumer]).await?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

/// Records the event as received; false when it already was.
async fn note_received(tx: &Tx, consumer: &str, event_id: Uuid, now_ms: i64) -> Result<bool, DbError> {
    let sql = "INSERT INTO inbox (consumer, event_id, received_ms) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    Ok(tx.run(sql, args![consumer, event_id, now_ms]).await? == 1)
}

async fn park(consumer: &Consumer, event: Envelope, reason: String) -> Result<(), DbError> {
    tracing::error!(consumer = consumer.name, event.id = %event.event_id, event.kind, reason, "an event was parked; its key waits");
    metrics::counter!("madang_events_parked_total", "consumer" => consumer.name).increment(1);
    let name = consumer.name;
    consumer
        .db
        .write(move |tx| {
            Box::pin(async move {
                let now_ms = tx.now_ms().await?;
                if note_received(tx, name, event.event_id, now_ms).await? {
                    insert_parked(tx, name, &event, &reason, now_ms).await?;
                }
                Ok(())
            })
        })
        .await
}

async fn insert_parked(tx: &Tx, consumer: &str, event: &Envelope, reason: &str, now_ms: i64) -> Result<(), DbError> {
    let sql = "INSERT INTO parked (consumer, event_id, key, event, reason, parked_ms) VALUES ($1, $2, $3, $4, $5, $6)";
    let text = serde_json::to_string(event).unwrap_or_default();
    tx.run(sql, args![consumer, event.event_id, event.key.as_str(), text, reason, now_ms]).await?;
    Ok(())
}

/// Tries the parked events of a key again, in order; answers how many went through.
pub async fn release_parked(consumer: &Consumer, key: &str) -> Result<usize, ConsumeError> {
    let (shared, key) = (consumer.clone(), key.to_owned());
    consumer
        .db
        .write(move |tx| {
            Box::pin(async move {
                let sql = "SELECT event FROM parked WHERE consumer = $1 AND key = $2 ORDER BY event_id";
                let rows = tx.all::<(String,)>(sql, args![shared.name, key.as_str()]).await?;
                for (text,) in &rows {
                    let event: Envelope =
                        serde_json::from_str(text).map_err(|error| ConsumeError::Poison(error.to_string()))?;
                    (shared.apply)(tx, &event).await?;
                }
                tx.run("DELETE FROM parked WHERE consumer = $1 AND key = $2", args![shared.name, key.as_str()]).await?;
                Ok(rows.len())
            })
        })
        .await
}

/// Has every consumer taken everything that `source` published? Tests end by asking.
pub async fn drained(source: &Db, consumers: &[Consumer]) -> Result<bool, DbError> {
    match source.kind() {
        Kind::Postgres => Ok(outbox::unsent(source).await?.is_empty()),
        Kind::Sqlite => {
            let newest = source.one::<(Option<i64>,)>("SELECT max(id) FROM outbox", args![]).await?;
            let newest = newest.and_then(|row| row.0).unwrap_or(0);
            for consumer in consumers {
                let sql = "SELECT last_id FROM outbox_cursor WHERE consumer = $1 AND source = $2";
                let row = consumer.db.one::<(i64,)>(sql, args![consumer.name, source.name()]).await?;
                if row.map_or(0, |row| row.0) < newest {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}
