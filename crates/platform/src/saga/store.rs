//! The statements that move sagas.

use ::saga::{Entry, Event, Instance, Registry, Write};
use kernel::contracts::sagas::SagaStuck;
use sea_orm::FromQueryResult;
use serde_json::json;
use uuid::Uuid;

use crate::admission::{Column, Mode, RowSet};
use crate::db::{Db, DbError, Kind, Query, Tx, args};

/// A saga that was taken, with its definition's name.
#[derive(Debug)]
pub struct Taken {
    pub name: String,
    pub version: u32,
    pub signals: i64,
    pub instance: Instance,
}

#[derive(FromQueryResult)]
struct TakenRow {
    id: Uuid,
    name: String,
    version: i64,
    subject: String,
    data: String,
    attempt: i64,
    tries: i64,
    signals: i64,
    created_ms: i64,
}
crate::rows!(TakenRow, EntryRow);

#[derive(FromQueryResult)]
struct EntryRow {
    saga_id: Uuid,
    at_ms: i64,
    step: String,
    event: String,
    detail: String,
}

/// Which sagas are taken.
#[derive(Clone, Copy)]
pub enum Which {
    /// So many of those that are due.
    Due(i64),
    /// This one, due or waiting.
    One(Uuid),
}

/// The condition on name and version: what this process does not know it leaves alone.
fn known(registry: &Registry) -> String {
    // Invariant: names are the code's own, never input.
    let known =
        registry.iter().map(|one| format!("(name = '{}' AND version = {})", one.shape().name, one.shape().version));
    let known = known.collect::<Vec<_>>().join(" OR ");
    if known.is_empty() { "1 = 0".to_owned() } else { known }
}

const OPEN: &str = "state IN ('running', 'undoing')";

/// When the next one is due, which may be past.
pub async fn next_due(db: &Db, registry: &Registry) -> Result<Option<i64>, DbError> {
    let sql = format!("SELECT due_ms FROM saga WHERE {OPEN} AND ({}) ORDER BY due_ms LIMIT 1", known(registry));
    Ok(db.one::<(i64,)>(&sql, args![]).await?.map(|row| row.0))
}

/// Takes sagas: one statement for all, then their logs.
pub async fn take(
    db: &Db,
    registry: &Registry,
    owner: Uuid,
    lease_ms: i64,
    which: Which,
) -> Result<Vec<Taken>, DbError> {
    let known = known(registry);
    let skip = db.pick("", "FOR UPDATE SKIP LOCKED");
    let sql = match which {
        Which::Due(_) => format!(
            "WITH due AS MATERIALIZED (
                 SELECT id FROM saga WHERE {OPEN} AND due_ms <= $3 AND ({known}) ORDER BY due_ms LIMIT $4 {skip})
             UPDATE saga SET owner = $1, attempt = attempt + 1, due_ms = $2 WHERE id IN (SELECT id FROM due)
             RETURNING id, name, version, subject, data, attempt, tries, signals, created_ms"
        ),
        Which::One(_) => format!(
            "UPDATE saga SET owner = $1, attempt = attempt + 1, due_ms = $2
             WHERE id = $4 AND {OPEN} AND (owner IS NULL OR due_ms <= $3) AND ({known})
             RETURNING id, name, version, subject, data, attempt, tries, signals, created_ms"
        ),
    };
    let rows = db
        .write(move |tx| {
            Box::pin(async move {
                let now_ms = tx.now_ms().await?;
                let args = match which {
                    Which::Due(limit) => args![owner, now_ms + lease_ms, now_ms, limit],
                    Which::One(id) => args![owner, now_ms + lease_ms, now_ms, id],
                };
                tx.all::<TakenRow>(&sql, args).await
            })
        })
        .await?;
    with_logs(db, rows).await
}

async fn with_logs(db: &Db, rows: Vec<TakenRow>) -> Result<Vec<Taken>, DbError> {
    let ids: Vec<Uuid> = rows.iter().filter(|row| row.attempt > 1).map(|row| row.id).collect();
    let mut entries = if ids.is_empty() { Vec::new() } else { entries(db, &ids).await? };
    let mut taken = Vec::with_capacity(rows.len());
    for row in rows {
        let (id, name) = (row.id, row.name.clone());
        // Who was taken for the first time has no log yet.
        let own = entries.extract_if(.., |(of, _)| *of == id).map(|(_, entry)| entry).collect();
        match readable(row, own) {
            Ok(one) => taken.push(one),
            // Why not an error: those that were taken with it must go on. It is tried again when its lease is over.
            Err(error) => tracing::error!(saga.id = %id, saga.name = name, ?error, "a saga cannot be read"),
        }
    }
    Ok(taken)
}

fn readable(row: TakenRow, log: Vec<Result<Entry, DbError>>) -> Result<Taken, DbError> {
    let bad = |error: serde_json::Error| DbError::Failed(anyhow::anyhow!("a saga's data: {error}"));
    let instance = Instance {
        id: row.id,
        data: std::sync::Arc::new(serde_json::from_str(&row.data).map_err(bad)?),
        subject: row.subject.into(),
        started_ms: row.created_ms,
        attempt: row.attempt,
        tries: u32::try_from(row.tries).unwrap_or(u32::MAX),
        log: log.into_iter().collect::<Result<_, _>>()?,
    };
    let version = u32::try_from(row.version).unwrap_or_default();
    Ok(Taken { name: row.name, version, signals: row.signals, instance })
}

/// The logs of these sagas, each in its order; an entry that cannot be read is its own saga's trouble.
pub async fn entries(query: &impl Query, ids: &[Uuid]) -> Result<Vec<(Uuid, Result<Entry, DbError>)>, DbError> {
    let places: Vec<String> = (1..=ids.len()).map(|at| format!("${at}")).collect();
    let sql = format!(
        "SELECT saga_id, at_ms, step, event, detail FROM saga_log WHERE saga_id IN ({}) ORDER BY saga_id, seq",
        places.join(", ")
    );
    let rows = query.all::<EntryRow>(&sql, ids.iter().map(|id| (*id).into()).collect()).await?;
    let read = |row: EntryRow| {
        let entry = Event::read(&row.event, row.detail)
            .map(|event| Entry { at_ms: row.at_ms, step: row.step, event })
            .ok_or_else(|| DbError::Failed(anyhow::anyhow!("a saga's log holds {:?}", row.event)));
        (row.saga_id, entry)
    };
    Ok(rows.into_iter().map(read).collect())
}

/// When an append makes a saga due again.
pub struct Due {
    pub owner: Option<Uuid>,
    pub due_ms: i64,
    /// What the holder knew of; a signal since then makes it due at `now_ms`.
    pub signals: i64,
    pub now_ms: i64,
}

/// Writes a saga's row and log if the attempt is still its own.
pub async fn append(tx: &Tx, write: &Write, due: &Due) -> Result<bool, DbError> {
    let sql = "UPDATE saga SET state = $3, step = $4, tries = $5, last_error = $6, owner = $7,
                   due_ms = CASE WHEN signals = $8 THEN $9 ELSE $10 END, ended_ms = $11
               WHERE id = $1 AND attempt = $2";
    let tries = write.wait.as_ref().map_or(0, |wait| i64::from(wait.tries));
    let stuck = write.entries.iter().rev().find_map(|entry| match &entry.event {
        Event::Stuck(reason) | Event::Refused(reason) => Some(reason.clone()),
        _ => None,
    });
    let error = write.wait.as_ref().map(|wait| wait.reason.clone()).or(stuck);
    // A signal changes nothing for who keeps the lease.
    let signalled_ms = if write.goes_on() { due.due_ms } else { due.now_ms };
    let ended_ms = write.state.is_ended().then_some(due.now_ms);
    let args = args![
        write.saga,
        write.attempt,
        write.state.as_str(),
        write.step,
        tries,
        error,
        due.owner,
        due.signals,
        due.due_ms,
        signalled_ms,
        ended_ms
    ];
    if tx.run(sql, args).await? == 0 {
        return Ok(false);
    }
    if !write.entries.is_empty() {
        log_rows(write, due.now_ms).insert(tx).await?;
    }
    let stuck = write.entries.iter().find_map(|entry| match &entry.event {
        Event::Stuck(reason) => Some((entry.step.clone(), reason.clone())),
        _ => None,
    });
    if let Some((step, reason)) = stuck {
        tell_stuck(tx, write.saga, step, reason).await?;
    }
    Ok(true)
}

/// An operator hears of it.
async fn tell_stuck(tx: &Tx, saga_id: Uuid, step: String, reason: String) -> Result<(), DbError> {
    let row = tx.one::<(String,)>("SELECT name FROM saga WHERE id = $1", args![saga_id]).await?;
    let name = row.map(|row| row.0).unwrap_or_default();
    let part = tx.db().name().to_owned();
    crate::events::publish(tx, &SagaStuck { saga_id, part, name, step, reason }, None).await
}

fn log_rows(write: &Write, at_ms: i64) -> RowSet {
    let count = write.entries.len();
    let took = |entry: &Entry| entry.event.is_outcome().then_some(at_ms - write.begun_ms);
    let seqs = (0..count).map(|at| i64::try_from(write.seq + at).ok());
    let texts =
        |text: fn(&Entry) -> String| Column::Text(write.entries.iter().map(|entry| Some(text(entry))).collect());
    let columns = vec![
        ("saga_id", Column::Uuid(vec![Some(write.saga); count])),
        ("seq", Column::Int(seqs.collect())),
        ("at_ms", Column::Int(vec![Some(at_ms); count])),
        ("attempt", Column::Int(vec![Some(write.attempt); count])),
        ("step", texts(|entry| entry.step.clone())),
        ("event", texts(|entry| entry.event.name().to_owned())),
        ("detail", texts(|entry| entry.event.detail())),
        ("took_ms", Column::Int(write.entries.iter().map(took).collect())),
    ];
    RowSet { table: "saga_log", columns, mode: Mode::Insert }
}

/// Prolongs a lease; false when it is somebody else's by now.
pub async fn prolong(tx: &Tx, id: Uuid, attempt: i64, lease_ms: i64) -> Result<bool, DbError> {
    let until_ms = tx.now_ms().await? + lease_ms;
    let sql = "UPDATE saga SET due_ms = $3 WHERE id = $1 AND attempt = $2 AND owner IS NOT NULL";
    Ok(tx.run(sql, args![id, attempt, until_ms]).await? > 0)
}

/// Gives a saga up where it is, due at `due_ms`, with the reason if there is one.
pub async fn release(tx: &Tx, id: Uuid, attempt: i64, due_ms: i64, error: Option<String>) -> Result<(), DbError> {
    let sql = "UPDATE saga SET owner = NULL, due_ms = $3, tries = tries + $5, last_error = COALESCE($4, last_error)
               WHERE id = $1 AND attempt = $2";
    // A stop between two steps is no try.
    let tried = i64::from(error.is_some());
    tx.run(sql, args![id, attempt, due_ms, error, tried]).await?;
    Ok(())
}

pub async fn signal(tx: &Tx, id: Uuid, now_ms: i64) -> Result<bool, DbError> {
    let sql = format!(
        "UPDATE saga SET signals = signals + 1, due_ms = CASE WHEN owner IS NULL THEN $2 ELSE due_ms END
         WHERE id = $1 AND {OPEN}"
    );
    Ok(tx.run(&sql, args![id, now_ms]).await? > 0)
}

/// How many are stuck, by name; how many are open in versions this process does not know.
pub async fn standing(db: &Db, registry: &Registry) -> Result<(Vec<(String, i64)>, i64), DbError> {
    let stuck = db.all("SELECT name, count(*) FROM saga WHERE state = 'stuck' GROUP BY name", args![]).await?;
    let sql = format!("SELECT count(*) FROM saga WHERE {OPEN} AND NOT ({})", known(registry));
    let unknown = db.one::<(i64,)>(&sql, args![]).await?.map_or(0, |row| row.0);
    Ok((stuck, unknown))
}

/// What `FOR UPDATE` is where a row must not change under an operator's hand.
pub fn locked(kind: Kind) -> &'static str {
    if kind == Kind::Postgres { "FOR UPDATE" } else { "" }
}

/// What an operator changed, for the audit log.
pub fn told(state: ::saga::State, step: &str) -> serde_json::Value {
    json!({ "state": state.as_str(), "step": step })
}
