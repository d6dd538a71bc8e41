//! The head, the facts and the writes of a batch: the few statements that run in its transaction.
//!
//! Invariant: the facts are read in a statement of their own *after* the head is locked. A statement that waited
//! for the lock sees the new offer row but old rows of every other table.

use std::sync::Arc;

use admission::{Claim, ClaimState, Decided, Facts, Head, Input, Pool};
use orderlog::{Frontier, Hash, Person, Rules, Want};
use serde::Deserialize;
use sqlx::{AssertSqlSafe, Postgres, Row, Sqlite, Transaction};
use uuid::Uuid;

use super::rows::{Column, Mode, RowSet};
use crate::db::{Db, DbError, Kind, Query, args};

/// Waiting claims read at once; more are read only while units are still free.
pub(super) const LINE_CHUNK: i64 = 500;
/// Why no sequential scans: a plan made while a table was small is kept, and would read all of it when it is large.
const BEGIN_POSTGRES: &str = "BEGIN; SET LOCAL lock_timeout = '2s'; SET LOCAL enable_seqscan = off";

/// An open transaction on either database.
pub(super) enum OfferTx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// The offer row as it is stored; its rules and pools are read apart.
pub(super) struct OfferRow {
    pub base: String,
    pub frontier: Frontier,
    pub rules_sha: Hash,
    pub log_no: u32,
    pub size: u64,
    pub waiting: u64,
    paused: bool,
    closed: bool,
    next_seq: u64,
    decided_ms: i64,
    free_epoch: u64,
    refusals: u64,
    version: u64,
}

impl OfferRow {
    pub fn head(&self, rules: Arc<Rules>, pools: Vec<Pool>) -> Head {
        Head {
            rules,
            rules_sha: self.rules_sha,
            log_no: self.log_no,
            paused: self.paused,
            closed: self.closed,
            next_seq: self.next_seq,
            size: self.size,
            decided_ms: self.decided_ms,
            free_epoch: self.free_epoch,
            waiting: self.waiting,
            refusals: self.refusals,
            version: self.version,
            pools,
        }
    }
}

/// What one batch needs to know besides the head.
pub(super) struct FactsRow {
    pub pools: Vec<Pool>,
    pub facts: Facts,
    /// `(first_index, entry bundle)` from the size the fold is complete to.
    pub blobs: Vec<(u64, Vec<u8>)>,
    pub now_ms: i64,
}

/// Which facts to read.
#[derive(Default)]
pub(super) struct Ask {
    pub people: Vec<Uuid>,
    /// The users of the idempotency keys, and the keys.
    pub key_users: Vec<Uuid>,
    pub keys: Vec<String>,
    pub claims: Vec<Uuid>,
    pub line_after: i64,
    pub line_limit: i64,
    pub log_no: i64,
    pub blobs_from: i64,
}

impl Ask {
    /// What the inputs are about.
    pub fn of(inputs: &[Input]) -> Self {
        let mut ask = Self::default();
        for input in inputs {
            match input {
                Input::Claim(claim) | Input::Assign { claim } => {
                    ask.people.push(Uuid::from_bytes(claim.person.0));
                    if let Some((key, _)) = &claim.idem {
                        ask.key_users.push(claim.user_id);
                        ask.keys.push(key.clone());
                    }
                }
                Input::Move { claim, .. } => ask.claims.push(*claim),
                Input::Hand(_) => {}
            }
        }
        ask
    }
}

/// Ids as the JSON array that SQLite's statement takes.
fn json_ids(ids: &[Uuid]) -> String {
    let ids: Vec<_> = ids.iter().map(|id| id.simple()).collect();
    serde_json::to_string(&ids).unwrap_or_default()
}

/// Did this person's idempotency key make a claim?
pub(super) async fn key_is_known(query: &impl Query, offer: Uuid, user: Uuid, key: &str) -> Result<bool, DbError> {
    let sql = "SELECT seq FROM claim WHERE offer_id = $1 AND user_id = $2 AND idem_key = $3";
    Ok(query.one::<(i64,)>(sql, args![offer, user, key]).await?.is_some())
}

const OFFER: &str = "SELECT base, log_no, rules_sha, paused, closed, next_seq, size, frontier, decided_ms, free_epoch,
    waiting, refusals, version FROM offer WHERE id = $1";

macro_rules! offer_row {
    ($row:expr) => {{
        let row = $row;
        let size = row.try_get::<i64, _>("size")?.unsigned_abs();
        let frontier: Vec<u8> = row.try_get("frontier")?;
        let sha: Vec<u8> = row.try_get("rules_sha")?;
        OfferRow {
            base: row.try_get("base")?,
            frontier: Frontier::from_bytes(size, &frontier).map_err(|error| broken(&error.to_string()))?,
            rules_sha: sha.try_into().map_err(|_| broken("a rules hash has 32 bytes"))?,
            log_no: u32::try_from(row.try_get::<i64, _>("log_no")?).map_err(|_| broken("log_no"))?,
            size,
            waiting: row.try_get::<i64, _>("waiting")?.unsigned_abs(),
            paused: row.try_get::<i64, _>("paused")? != 0,
            closed: row.try_get::<i64, _>("closed")? != 0,
            next_seq: row.try_get::<i64, _>("next_seq")?.unsigned_abs(),
            decided_ms: row.try_get("decided_ms")?,
            free_epoch: row.try_get::<i64, _>("free_epoch")?.unsigned_abs(),
            refusals: row.try_get::<i64, _>("refusals")?.unsigned_abs(),
            version: row.try_get::<i64, _>("version")?.unsigned_abs(),
        }
    }};
}

impl OfferTx {
    pub async fn begin(db: &Db) -> Result<Self, DbError> {
        Ok(match db.kind() {
            Kind::Sqlite => Self::Sqlite(db.sqlite_writer().begin_with("BEGIN IMMEDIATE").await?),
            Kind::Postgres => Self::Postgres(db.postgres().begin_with(BEGIN_POSTGRES).await?),
        })
    }

    pub async fn commit(self) -> Result<(), DbError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }

    pub async fn rollback(self) -> Result<(), DbError> {
        match self {
            Self::Sqlite(tx) => tx.rollback().await?,
            Self::Postgres(tx) => tx.rollback().await?,
        }
        Ok(())
    }

    /// Locks the offer and reads it.
    pub async fn lock(&mut self, offer: Uuid) -> Result<Option<OfferRow>, DbError> {
        match self {
            Self::Sqlite(tx) => {
                let row = sqlx::query(OFFER).bind(offer).fetch_optional(&mut **tx).await?;
                row.map(|row| Ok(offer_row!(row))).transpose()
            }
            Self::Postgres(tx) => {
                let sql = AssertSqlSafe(format!("{OFFER} FOR UPDATE"));
                let row = sqlx::query(sql).bind(offer).fetch_optional(&mut **tx).await?;
                row.map(|row| Ok(offer_row!(row))).transpose()
            }
        }
    }

    /// The rules by their hash.
    pub async fn rules(&mut self, offer: Uuid, sha: &Hash) -> Result<Option<Rules>, DbError> {
        const SQL: &str = "SELECT json FROM offer_rules WHERE offer_id = $1 AND sha = $2";
        let text: Option<(String,)> = match self {
            Self::Sqlite(tx) => sqlx::query_as(SQL).bind(offer).bind(sha.to_vec()).fetch_optional(&mut **tx).await?,
            Self::Postgres(tx) => sqlx::query_as(SQL).bind(offer).bind(sha.to_vec()).fetch_optional(&mut **tx).await?,
        };
        text.map(|(json,)| Rules::parse(json.as_bytes()).map_err(|error| broken(&error.to_string()))).transpose()
    }

    /// Everything about this batch's people in one statement.
    pub async fn facts(&mut self, offer: Uuid, ask: &Ask) -> Result<FactsRow, DbError> {
        macro_rules! read {
            ($tx:expr, $query:expr) => {{
                let row = $query.bind(ask.line_after).bind(ask.line_limit).fetch_one(&mut **$tx).await?;
                let pools: String = row.try_get("pools")?;
                let claims: String = row.try_get("claims")?;
                let line: String = row.try_get("line")?;
                let grown: i64 = row.try_get("size")?;
                let now_ms: Option<i64> = row.try_get("now_ms")?;
                (pools, claims, line, grown, now_ms)
            }};
        }
        let (pools, claims, line, size, now_ms) = match self {
            Self::Sqlite(tx) => {
                let users = ask.key_users.iter().map(|user| user.simple());
                let keys = serde_json::to_string(&users.zip(&ask.keys).collect::<Vec<_>>()).unwrap_or_default();
                let query = sqlx::query(FACTS_SQLITE).bind(offer).bind(json_ids(&ask.people)).bind(keys);
                read!(tx, query.bind(json_ids(&ask.claims)))
            }
            Self::Postgres(tx) => {
                let query = sqlx::query(FACTS_POSTGRES).bind(offer).bind(&ask.people).bind(&ask.key_users);
                read!(tx, query.bind(&ask.keys).bind(&ask.claims))
            }
        };
        let line = claims_of(&line)?;
        let facts = Facts {
            claims: claims_of(&claims)?,
            line_complete: i64::try_from(line.len()).unwrap_or(i64::MAX) < ask.line_limit,
            line,
        };
        let blobs = if size > ask.blobs_from { self.blobs(offer, ask).await? } else { Vec::new() };
        Ok(FactsRow { pools: pools_of(&pools)?, facts, blobs, now_ms: now_ms.unwrap_or(0) })
    }

    async fn blobs(&mut self, offer: Uuid, ask: &Ask) -> Result<Vec<(u64, Vec<u8>)>, DbError> {
        const SQL: &str = "SELECT first_index, leaves FROM log_batch
            WHERE offer_id = $1 AND log_no = $2 AND first_index >= $3 ORDER BY first_index";
        let rows: Vec<(i64, Vec<u8>)> = match self {
            Self::Sqlite(tx) => {
                sqlx::query_as(SQL).bind(offer).bind(ask.log_no).bind(ask.blobs_from).fetch_all(&mut **tx).await?
            }
            Self::Postgres(tx) => {
                sqlx::query_as(SQL).bind(offer).bind(ask.log_no).bind(ask.blobs_from).fetch_all(&mut **tx).await?
            }
        };
        Ok(rows.into_iter().map(|(first, leaves)| (first.unsigned_abs(), leaves)).collect())
    }

    /// Writes row sets, a statement each; answers how many rows that were.
    pub async fn write_sets(&mut self, sets: &[RowSet]) -> Result<u64, DbError> {
        let mut rows = 0;
        for set in sets {
            rows += match self {
                Self::Sqlite(tx) => {
                    let sql = AssertSqlSafe(set.sql(Kind::Sqlite, 1));
                    sqlx::query(sql).bind(set.json()).execute(&mut **tx).await?.rows_affected()
                }
                Self::Postgres(tx) => {
                    let sql = AssertSqlSafe(set.sql(Kind::Postgres, 1));
                    set.bind(sqlx::query(sql)).execute(&mut **tx).await?.rows_affected()
                }
            };
        }
        Ok(rows)
    }

    /// Writes the new head, the log batch and every row set, in one go.
    pub async fn write(&mut self, batch: &BatchWrite<'_>) -> Result<(), DbError> {
        let leaves = as_i64(batch.head.size - batch.first_index);
        let changed = match self {
            Self::Sqlite(tx) => {
                let sql = AssertSqlSafe(batch.sql(Kind::Sqlite));
                let mut query = bind_head(sqlx::query(sql), batch);
                if !batch.leaves.is_empty() {
                    query = query.bind(leaves).bind(&batch.leaves);
                }
                for set in &batch.sets {
                    query = query.bind(set.json());
                }
                query.fetch_all(&mut **tx).await?.len()
            }
            Self::Postgres(tx) => {
                let sql = AssertSqlSafe(batch.sql(Kind::Postgres));
                let mut query = bind_head(sqlx::query(sql), batch);
                if !batch.leaves.is_empty() {
                    query = query.bind(leaves).bind(&batch.leaves);
                }
                for set in &batch.sets {
                    query = set.bind(query);
                }
                query.fetch_all(&mut **tx).await?.len()
            }
        };
        if changed == 1 { Ok(()) } else { Err(broken("the offer moved under its lock")) }
    }
}

/// All that a batch writes.
pub(super) struct BatchWrite<'a> {
    pub offer: Uuid,
    pub head: &'a Head,
    pub frontier: &'a Frontier,
    /// The log's size before the batch.
    pub first_index: u64,
    /// The entry bundle of the batch's leaves.
    pub leaves: Vec<u8>,
    pub sets: Vec<RowSet>,
}

const UPDATE_OFFER: &str = "UPDATE offer SET log_no = $2, rules_sha = $3, paused = $4, closed = $5, closes_ms = $6,
    line_after_close = $7, next_seq = $8, size = $9, frontier = $10, decided_ms = $11, free_epoch = $12, waiting = $13,
    refusals = $14, version = $15, opens_ms = $17 WHERE id = $1 AND size = $16 RETURNING id";

fn bind_head<'q, DB, A>(query: sqlx::query::Query<'q, DB, A>, batch: &BatchWrite<'q>) -> sqlx::query::Query<'q, DB, A>
where
    DB: sqlx::Database<Arguments = A>,
    A: 'q + sqlx::Arguments<Database = DB>,
    Uuid: sqlx::Encode<'q, DB> + sqlx::Type<DB>,
    i64: sqlx::Encode<'q, DB> + sqlx::Type<DB>,
    Vec<u8>: sqlx::Encode<'q, DB> + sqlx::Type<DB>,
{
    let head = batch.head;
    query
        .bind(batch.offer)
        .bind(i64::from(head.log_no))
        .bind(head.rules_sha.to_vec())
        .bind(i64::from(head.paused))
        .bind(i64::from(head.closed))
        .bind(head.rules.closes_ms)
        .bind(i64::from(head.rules.line_after_close))
        .bind(as_i64(head.next_seq))
        .bind(as_i64(head.size))
        .bind(batch.frontier.to_bytes())
        .bind(head.decided_ms)
        .bind(as_i64(head.free_epoch))
        .bind(as_i64(head.waiting))
        .bind(as_i64(head.refusals))
        .bind(as_i64(head.version))
        .bind(as_i64(batch.first_index))
        .bind(head.rules.opens_ms)
}

impl BatchWrite<'_> {
    /// All writes as one text that answers one row: statements on SQLite, a CTE on PostgreSQL.
    ///
    /// Why one text on SQLite too: between two of them the batch waits for its turn among all tasks of the process.
    fn sql(&self, kind: Kind) -> String {
        let mut parts = Vec::new();
        let mut next = 18;
        if !self.leaves.is_empty() {
            parts.push(format!(
                "INSERT INTO log_batch (offer_id, log_no, first_index, count, leaves) VALUES ($1, $2, $16, ${}, ${})",
                next,
                next + 1
            ));
            next += 2;
        }
        for set in &self.sets {
            parts.push(set.sql(kind, next));
            next += set.parameters(kind);
        }
        match kind {
            _ if parts.is_empty() => UPDATE_OFFER.to_owned(),
            Kind::Sqlite => format!("{}; {UPDATE_OFFER}", parts.join("; ")),
            Kind::Postgres => {
                let parts: Vec<String> =
                    parts.iter().enumerate().map(|(at, part)| format!("s{at} AS ({part})")).collect();
                format!("WITH {} {UPDATE_OFFER}", parts.join(", "))
            }
        }
    }
}

/// The claim rows a decision inserts and changes, updates first: an insert may take an ordinal they gave up.
pub(super) fn claim_sets(offer: Uuid, decided_ms: i64, changed: &[Decided]) -> Vec<RowSet> {
    let (new, old): (Vec<_>, Vec<_>) =
        changed.iter().map(|decided| (&*decided.claim, decided.was)).partition(|(_, was)| was.is_none());
    let mut sets = Vec::with_capacity(2);
    if !old.is_empty() {
        let rows: Vec<&Claim> = old.into_iter().map(|(claim, _)| claim).collect();
        let mut columns = vec![("id", uuids(&rows, |claim| Some(claim.id)))];
        columns.extend(moving_columns(&rows, decided_ms));
        sets.push(RowSet { table: "claim", columns, mode: Mode::Update { keys: 1 } });
    }
    if !new.is_empty() {
        let rows: Vec<&Claim> = new.into_iter().map(|(claim, _)| claim).collect();
        let mut columns = vec![
            ("id", uuids(&rows, |claim| Some(claim.id))),
            ("offer_id", uuids(&rows, |_| Some(offer))),
            ("seq", ints(&rows, |claim| Some(as_i64(claim.seq)))),
            ("person", uuids(&rows, |claim| Some(Uuid::from_bytes(claim.person.0)))),
            ("user_id", uuids(&rows, |claim| Some(claim.user_id))),
            ("ordinal", ints(&rows, |claim| Some(i64::from(claim.ordinal)))),
            ("log_index", ints(&rows, |claim| Some(as_i64(claim.log_index)))),
            ("received_ms", ints(&rows, |claim| Some(claim.received_ms))),
        ];
        columns.extend(moving_columns(&rows, decided_ms));
        if rows.iter().any(|claim| claim.idem_key.is_some()) {
            columns.push(("idem_key", Column::Text(rows.iter().map(|claim| claim.idem_key.clone()).collect())));
            columns
                .push(("idem_body", Column::Bytes(rows.iter().map(|claim| claim.idem_body.map(Into::into)).collect())));
        }
        if rows.iter().any(|claim| claim.replaces.is_some()) {
            columns.push(("replaces", uuids(&rows, |claim| claim.replaces)));
        }
        sets.push(RowSet { table: "claim", columns, mode: Mode::Insert });
    }
    sets
}

/// The columns a move can change.
fn moving_columns(rows: &[&Claim], decided_ms: i64) -> Vec<(&'static str, Column)> {
    vec![
        ("state", Column::Text(rows.iter().map(|claim| Some(claim.state.as_str().to_owned())).collect())),
        ("want", Column::Text(rows.iter().map(|claim| Some(claim.want.to_string())).collect())),
        ("hold_until_ms", ints(rows, |claim| claim.hold_until_ms)),
        ("confirm_no", ints(rows, |claim| claim.confirm_no.map(i64::from))),
        ("decided_ms", ints(rows, |_| Some(decided_ms))),
        ("ended_ms", ints(rows, |claim| (!claim.state.open()).then_some(decided_ms))),
    ]
}

/// The pools a decision changed, added or dropped.
pub(super) fn pool_sets(offer: Uuid, before: &[Pool], after: &[Pool]) -> Vec<RowSet> {
    let known = |pool: &&Pool| before.iter().any(|old| old.code == pool.code);
    let (old, new): (Vec<&Pool>, Vec<&Pool>) = after.iter().filter(|pool| !before.contains(pool)).partition(known);
    let set = |pools: Vec<&Pool>, mode| {
        let ints = |of: fn(&Pool) -> u32| Column::Int(pools.iter().map(|pool| Some(i64::from(of(pool)))).collect());
        let columns = vec![
            ("offer_id", Column::Uuid(vec![Some(offer); pools.len()])),
            ("code", Column::Text(pools.iter().map(|pool| Some(pool.code.to_string())).collect())),
            ("capacity", ints(|pool| pool.capacity)),
            ("held_back", ints(|pool| pool.held_back)),
            ("taken", ints(|pool| pool.taken)),
            ("confirm_no", ints(|pool| pool.confirm_no)),
        ];
        RowSet { table: "offer_pool", columns, mode }
    };
    let dropped = before.iter().filter(|old| !after.iter().any(|pool| pool.code == old.code)).collect();
    let mut dropped = set(dropped, Mode::Delete);
    dropped.columns.truncate(2);
    let mut sets = vec![set(old, Mode::Update { keys: 2 }), set(new, Mode::Insert), dropped];
    sets.retain(|set| !set.is_empty());
    sets
}

fn uuids(rows: &[&Claim], of: impl Fn(&Claim) -> Option<Uuid>) -> Column {
    Column::Uuid(rows.iter().map(|claim| of(claim)).collect())
}

fn ints(rows: &[&Claim], of: impl Fn(&Claim) -> Option<i64>) -> Column {
    Column::Int(rows.iter().map(|claim| of(claim)).collect())
}

/// A claim as the facts statement writes it, ids in hexadecimal.
#[derive(Deserialize)]
pub(super) struct ClaimJson(
    String,
    i64,
    String,
    String,
    u32,
    String,
    String,
    i64,
    Option<i64>,
    Option<u32>,
    Option<String>,
    Option<String>,
    i64,
    Option<String>,
);

fn claims_of(json: &str) -> Result<Vec<Claim>, DbError> {
    let rows: Vec<ClaimJson> = serde_json::from_str(json).map_err(|error| broken(&error.to_string()))?;
    rows.into_iter().map(ClaimJson::claim).collect()
}

impl ClaimJson {
    fn claim(self) -> Result<Claim, DbError> {
        let uuid = |text: &str| Uuid::try_parse(text).map_err(|_| broken("an id of a claim"));
        let idem_body = self.11.map(|text| {
            let mut sha = [0; 32];
            hex::decode_to_slice(text, &mut sha).map(|()| sha).map_err(|_| broken("idem_body of a claim"))
        });
        Ok(Claim {
            id: uuid(&self.0)?,
            seq: self.1.unsigned_abs(),
            person: Person(*uuid(&self.2)?.as_bytes()),
            user_id: uuid(&self.3)?,
            ordinal: self.4,
            state: self.5.parse::<ClaimState>().map_err(|error| broken(&error.to_string()))?,
            want: self.6.parse::<Want>().map_err(|error| broken(&error.to_string()))?,
            log_index: self.7.unsigned_abs(),
            hold_until_ms: self.8,
            confirm_no: self.9,
            idem_key: self.10,
            idem_body: idem_body.transpose()?,
            received_ms: self.12,
            replaces: self.13.as_deref().map(uuid).transpose()?,
            tag: "".into(),
        })
    }
}

fn pools_of(json: &str) -> Result<Vec<Pool>, DbError> {
    let rows: Vec<(String, u32, u32, u32, u32)> =
        serde_json::from_str(json).map_err(|error| broken(&error.to_string()))?;
    let pool = |(code, capacity, held_back, taken, confirm_no): (String, u32, u32, u32, u32)| {
        let code = code.parse().map_err(|_| broken("the code of a pool"))?;
        Ok(Pool { code, capacity, held_back, taken, confirm_no })
    };
    let mut pools = rows.into_iter().map(pool).collect::<Result<Vec<_>, DbError>>()?;
    pools.sort_by_key(|pool| pool.code);
    Ok(pools)
}

/// Columns of [`ClaimJson`].
macro_rules! claim_json_sqlite {
    () => {
        "json_array(hex(c.id), c.seq, hex(c.person), hex(c.user_id), c.ordinal, c.state, c.want, c.log_index, c.hold_until_ms,
            c.confirm_no, c.idem_key, CASE WHEN c.idem_body IS NULL THEN NULL ELSE hex(c.idem_body) END, c.received_ms, CASE WHEN c.replaces IS NULL THEN NULL ELSE hex(c.replaces) END)"
    };
}
macro_rules! claim_json_postgres {
    () => {
        "json_build_array(c.id, c.seq, c.person, c.user_id, c.ordinal, c.state, c.want, c.log_index, c.hold_until_ms,
            c.confirm_no, c.idem_key, encode(c.idem_body, 'hex'), c.received_ms, c.replaces)"
    };
}

// Why only the newest ended claim: who claims and leaves over and over must not make his next batch, and with it
// everybody's, slower each time.
/// Invariant: each part looks its people up by an index, from the batch's side. Left to itself SQLite walks all claims
/// of the offer past a Bloom filter, and a sale slows down as it fills; `INDEXED BY` fails instead of doing that.
/// PostgreSQL, asked with the offer beside the person, walks the offer's claims by number for the newest ended one of
/// somebody who has none: a person is one offer's pseudonym and is asked for alone.
/// `LIMIT $6 + 0`: a limit that is a bare parameter makes SQLite plan the statement anew each time it is bound.
const FACTS_SQLITE: &str = concat!(
    "WITH c(j) AS (
        SELECT ", claim_json_sqlite!(), " FROM (SELECT DISTINCT unhex(value) AS person FROM json_each($2)) k
            CROSS JOIN claim c INDEXED BY claim_open
            WHERE c.person = k.person AND c.ended_ms IS NULL
        UNION ALL
        SELECT ", claim_json_sqlite!(), " FROM (SELECT DISTINCT unhex(value) AS person FROM json_each($2)) k
            CROSS JOIN claim c INDEXED BY claim_seq
            WHERE c.offer_id = $1 AND c.seq = (
                SELECT max(n.seq) FROM claim n INDEXED BY claim_ended WHERE n.person = k.person AND n.ended_ms IS NOT NULL)
        UNION ALL
        SELECT ", claim_json_sqlite!(), " FROM json_each($3) k CROSS JOIN claim c INDEXED BY claim_key
            WHERE c.offer_id = $1 AND c.user_id = unhex(k.value ->> 0) AND c.idem_key = k.value ->> 1
        UNION ALL
        SELECT ", claim_json_sqlite!(), " FROM json_each($4) k CROSS JOIN claim c
            WHERE c.id = unhex(k.value) AND +c.offer_id = $1
     ), l(j) AS (
        SELECT ", claim_json_sqlite!(), " FROM claim c WHERE c.offer_id = $1 AND c.state = 'waitlisted' AND c.seq > $5
            ORDER BY c.seq LIMIT $6 + 0
     )
     SELECT (SELECT json_group_array(json_array(code, capacity, held_back, taken, confirm_no)) FROM offer_pool WHERE offer_id = $1) AS pools,
            (SELECT json_group_array(json(j)) FROM c) AS claims,
            (SELECT json_group_array(json(j)) FROM l) AS line,
            (SELECT size FROM offer WHERE id = $1) AS size,
            NULL AS now_ms"
);

const FACTS_POSTGRES: &str = concat!(
    "WITH c(j) AS (
        SELECT ", claim_json_postgres!(), " FROM claim c WHERE c.ended_ms IS NULL AND c.person = ANY ($2::uuid[])
        UNION ALL
        SELECT ", claim_json_postgres!(), " FROM (SELECT DISTINCT person FROM unnest($2::uuid[]) u(person)) k
            CROSS JOIN LATERAL (SELECT * FROM claim n WHERE n.person = k.person AND n.ended_ms IS NOT NULL
                ORDER BY n.seq DESC LIMIT 1) c
        UNION ALL
        SELECT ", claim_json_postgres!(), " FROM unnest($3::uuid[], $4::text[]) k(user_id, idem_key) JOIN claim c
            ON c.offer_id = $1 AND c.user_id = k.user_id AND c.idem_key = k.idem_key
        UNION ALL
        SELECT ", claim_json_postgres!(), " FROM claim c WHERE c.offer_id = $1
            AND c.id = ANY ($5::uuid[])
     ), l(j) AS (
        SELECT ", claim_json_postgres!(), " FROM claim c WHERE c.offer_id = $1 AND c.state = 'waitlisted' AND c.seq > $6
            ORDER BY c.seq LIMIT $7
     )
     SELECT (SELECT coalesce(json_agg(json_build_array(code, capacity, held_back, taken, confirm_no)), '[]') FROM offer_pool WHERE offer_id = $1)::text AS pools,
            (SELECT coalesce(json_agg(j), '[]') FROM c)::text AS claims,
            (SELECT coalesce(json_agg(j), '[]') FROM l)::text AS line,
            (SELECT size FROM offer WHERE id = $1) AS size,
            (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms"
);

pub(super) fn as_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn broken(what: &str) -> DbError {
    DbError::Failed(anyhow::anyhow!("a stored offer cannot be read: {what}"))
}
