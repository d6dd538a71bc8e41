//! Offers and claims as people see them.

use std::collections::HashMap;
use std::sync::Arc;

use admission::{ClaimState, Head};
use kernel::{ClaimId, OfferId, UserId};
use orderlog::{Rules, Want};
use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::Shared;
use super::store::{OfferTx, broken};
use crate::db::{Db, DbError, Query, Value, args};

/// An offer now.
#[derive(Clone, Debug)]
pub struct OfferView {
    pub offer_id: OfferId,
    pub base: String,
    pub log_no: u32,
    pub paused: bool,
    pub closed: bool,
    /// Counts the rules.
    pub version: i64,
    pub opens_ms: i64,
    pub closes_ms: i64,
    pub waiting: i64,
    /// Leaves in the newest log.
    pub size: i64,
    /// In the order of the rules.
    pub pools: Vec<PoolView>,
    pub rules: Arc<Rules>,
    pub now_ms: i64,
}

#[derive(Clone, Debug)]
pub struct PoolView {
    pub code: String,
    pub label: String,
    pub group: String,
    pub capacity: i64,
    pub held_back: i64,
    pub taken: i64,
    pub remaining: i64,
}

impl OfferView {
    /// `scheduled`, `open`, `paused`, `sold_out` or `closed`.
    pub fn state(&self) -> &'static str {
        if self.closed || self.now_ms >= self.closes_ms {
            "closed"
        } else if self.paused {
            "paused"
        } else if self.now_ms < self.opens_ms {
            "scheduled"
        } else if self.remaining() == 0 {
            "sold_out"
        } else {
            "open"
        }
    }

    /// Units left in the pools that a claim must take from: those of the first wanted group.
    pub fn remaining(&self) -> i64 {
        self.of_first_group(|pool| pool.remaining)
    }

    pub fn capacity(&self) -> i64 {
        self.of_first_group(|pool| pool.capacity)
    }

    pub fn pool(&self, code: &str) -> Option<&PoolView> {
        self.pools.iter().find(|pool| pool.code == code)
    }

    /// The pools a claim must take from.
    pub fn wanted_pools(&self) -> impl Iterator<Item = &PoolView> {
        let group = self.rules.want.first().map(|want| want.group.as_str());
        self.pools.iter().filter(move |pool| Some(pool.group.as_str()) == group)
    }

    fn of_first_group(&self, of: impl Fn(&PoolView) -> i64) -> i64 {
        self.wanted_pools().map(of).sum()
    }
}

/// A claim now.
#[derive(Clone, Debug)]
pub struct ClaimView {
    pub id: ClaimId,
    pub offer_id: OfferId,
    pub user_id: UserId,
    pub seq: u64,
    pub log_index: u64,
    pub state: ClaimState,
    pub want: Want,
    pub hold_until_ms: Option<i64>,
    /// The bib, once confirmed.
    pub confirm_no: Option<u32>,
    /// Open waiting claims before it plus one, while waiting.
    pub position: Option<u64>,
    pub replaces: Option<ClaimId>,
    pub replaced_by: Option<ClaimId>,
    pub received_ms: i64,
    pub decided_ms: i64,
}

#[derive(FromQueryResult)]
struct OfferRow {
    id: Uuid,
    base: String,
    log_no: i64,
    rules_sha: Vec<u8>,
    paused: i64,
    closed: i64,
    version: i64,
    waiting: i64,
    size: i64,
}
crate::rows!(OfferRow);

#[derive(FromQueryResult)]
struct PoolRow {
    offer_id: Uuid,
    code: String,
    capacity: i64,
    held_back: i64,
    taken: i64,
}
crate::rows!(PoolRow);

/// Several offers in two statements.
pub(super) async fn offers(
    shared: &Shared,
    query: &impl Query,
    ids: &[OfferId],
) -> Result<HashMap<OfferId, OfferView>, DbError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let (list, values) = id_list(ids.iter().map(|id| id.0));
    let sql = format!(
        "SELECT id, base, log_no, rules_sha, paused, closed, version, waiting, size FROM offer WHERE id IN ({list})"
    );
    let rows = query.all::<OfferRow>(&sql, values.clone()).await?;
    let sql = format!("SELECT offer_id, code, capacity, held_back, taken FROM offer_pool WHERE offer_id IN ({list})");
    let mut pools: HashMap<Uuid, HashMap<String, PoolRow>> = HashMap::new();
    for pool in query.all::<PoolRow>(&sql, values).await? {
        pools.entry(pool.offer_id).or_default().insert(pool.code.clone(), pool);
    }
    let now_ms = shared.db.clock().now_ms();
    let mut views = HashMap::with_capacity(rows.len());
    for row in rows {
        let rules = rules(shared, query, row.id, &row.rules_sha).await?;
        let pools = pools.remove(&row.id).unwrap_or_default();
        views.insert(OfferId(row.id), offer_view(row, &pools, rules, now_ms));
    }
    Ok(views)
}

fn offer_view(row: OfferRow, pools: &HashMap<String, PoolRow>, rules: Arc<Rules>, now_ms: i64) -> OfferView {
    let pool = |rule: &orderlog::PoolRule| {
        let stored = pools.get(rule.code.as_str());
        let (capacity, held_back, taken) = stored.map_or((0, 0, 0), |pool| (pool.capacity, pool.held_back, pool.taken));
        PoolView {
            code: rule.code.to_string(),
            label: rule.label.clone(),
            group: rule.group.clone(),
            capacity,
            held_back,
            taken,
            remaining: capacity - taken - held_back,
        }
    };
    OfferView {
        offer_id: OfferId(row.id),
        base: row.base,
        log_no: u32::try_from(row.log_no).unwrap_or(0),
        paused: row.paused != 0,
        closed: row.closed != 0,
        version: row.version,
        opens_ms: rules.opens_ms,
        closes_ms: rules.closes_ms,
        waiting: row.waiting,
        size: row.size,
        pools: rules.pools.iter().map(pool).collect(),
        rules,
        now_ms,
    }
}

async fn rules(shared: &Shared, query: &impl Query, offer: Uuid, sha: &[u8]) -> Result<Arc<Rules>, DbError> {
    let sha: [u8; 32] = sha.try_into().map_err(|_| broken("a rules hash has 32 bytes"))?;
    if let Some(rules) = shared.rules.get(&sha) {
        return Ok(rules);
    }
    let sql = "SELECT json FROM offer_rules WHERE offer_id = $1 AND sha = $2";
    let (json,) = query
        .one::<(String,)>(sql, args![offer, sha.to_vec()])
        .await?
        .ok_or_else(|| broken("its rules are missing"))?;
    let rules = Arc::new(Rules::parse(json.as_bytes()).map_err(|error| broken(&error.to_string()))?);
    shared.rules.insert(sha, rules.clone());
    Ok(rules)
}

/// The head as it is committed now, read without the lock.
pub(super) async fn head(db: &Db, shared: &Shared, offer: Uuid) -> Result<Option<Head>, DbError> {
    // A read transaction would cost more; the pools may be a batch older than the row, which a hint can be.
    let Some(view) = offers(shared, db, &[OfferId(offer)]).await?.remove(&OfferId(offer)) else { return Ok(None) };
    let pools = view.rules.pools.iter().map(|rule| {
        let pool = view.pool(rule.code.as_str());
        let number = |of: fn(&PoolView) -> i64| pool.map_or(0, |pool| u32::try_from(of(pool)).unwrap_or(0));
        admission::Pool {
            code: rule.code,
            capacity: number(|pool| pool.capacity),
            held_back: number(|pool| pool.held_back),
            taken: number(|pool| pool.taken),
            confirm_no: 0,
        }
    });
    let mut pools: Vec<_> = pools.collect();
    pools.sort_by_key(|pool| pool.code);
    Ok(Some(Head {
        rules_sha: [0; 32],
        log_no: view.log_no,
        paused: view.paused,
        closed: view.closed,
        next_seq: 0,
        size: view.size.unsigned_abs(),
        decided_ms: 0,
        free_epoch: 0,
        waiting: view.waiting.unsigned_abs(),
        refusals: 0,
        version: view.version.unsigned_abs(),
        pools,
        rules: view.rules,
    }))
}

#[derive(FromQueryResult)]
struct ClaimRow {
    id: Uuid,
    offer_id: Uuid,
    user_id: Uuid,
    seq: i64,
    log_index: i64,
    state: String,
    want: String,
    hold_until_ms: Option<i64>,
    confirm_no: Option<i64>,
    position: Option<i64>,
    replaces: Option<Uuid>,
    replaced_by: Option<Uuid>,
    received_ms: i64,
    decided_ms: i64,
}
crate::rows!(ClaimRow);

/// Several claims in one statement.
pub(super) async fn claims(query: &impl Query, ids: &[ClaimId]) -> Result<HashMap<ClaimId, ClaimView>, DbError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let (list, values) = id_list(ids.iter().map(|id| id.0));
    let sql = format!(
        "SELECT c.id, c.offer_id, c.user_id, c.seq, c.log_index, c.state, c.want, c.hold_until_ms, c.confirm_no, c.replaces,
            c.received_ms, c.decided_ms, (SELECT n.id FROM claim n WHERE n.replaces = c.id ORDER BY n.seq LIMIT 1) AS replaced_by,
            CASE WHEN c.state = 'waitlisted' THEN (SELECT count(*) + 1 FROM claim w
                WHERE w.offer_id = c.offer_id AND w.state = 'waitlisted' AND w.seq < c.seq) END AS position
         FROM claim c WHERE c.id IN ({list})"
    );
    let rows = query.all::<ClaimRow>(&sql, values).await?;
    rows.into_iter().map(|row| claim_view(row).map(|view| (view.id, view))).collect()
}

fn claim_view(row: ClaimRow) -> Result<ClaimView, DbError> {
    Ok(ClaimView {
        id: ClaimId(row.id),
        offer_id: OfferId(row.offer_id),
        user_id: UserId(row.user_id),
        seq: row.seq.unsigned_abs(),
        log_index: row.log_index.unsigned_abs(),
        state: row.state.parse().map_err(|_| broken("the state of a claim"))?,
        want: row.want.parse().map_err(|_| broken("the want of a claim"))?,
        hold_until_ms: row.hold_until_ms,
        confirm_no: row.confirm_no.and_then(|no| u32::try_from(no).ok()),
        position: row.position.map(i64::unsigned_abs),
        replaces: row.replaces.map(ClaimId),
        replaced_by: row.replaced_by.map(ClaimId),
        received_ms: row.received_ms,
        decided_ms: row.decided_ms,
    })
}

fn id_list(ids: impl Iterator<Item = Uuid>) -> (String, Vec<Value>) {
    let values: Vec<Value> = ids.map(Value::from).collect();
    let list: Vec<String> = (1..=values.len()).map(|n| format!("${n}")).collect();
    (list.join(", "), values)
}

/// Reads the rules inside a batch's transaction, from memory where they are known.
pub(super) async fn rules_in(
    shared: &Shared,
    tx: &mut OfferTx,
    offer: Uuid,
    sha: &[u8; 32],
) -> Result<Arc<Rules>, DbError> {
    if let Some(rules) = shared.rules.get(sha) {
        return Ok(rules);
    }
    let rules = Arc::new(tx.rules(offer, sha).await?.ok_or_else(|| broken("its rules are missing"))?);
    shared.rules.insert(*sha, rules.clone());
    Ok(rules)
}
