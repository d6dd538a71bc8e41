//! One queue per offer and process, one worker that turns whatever has arrived into one commit.
//!
//! Invariant: nothing is answered before the commit that holds it. The worker is a task of its own, so no
//! request's cancellation can cancel a batch. Nothing in memory decides: the head, the facts and the fold are
//! read or caught up under the head's lock.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use admission::{Answer, Decision, Facts, Head, Input, Pool, Refusals, decide};
use arc_swap::ArcSwapOption;
use futures::FutureExt;
use orderlog::{Append, Appended, LogKey, People, Rules, leaf_hash, origin, sign_checkpoint, tiles};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::Shared;
use super::rows::{Column, Mode, RowSet, gather};
use super::store::{Ask, BatchWrite, LINE_CHUNK, OfferRow, OfferTx, as_i64, broken, claim_sets, pool_sets};
use crate::db::{DbError, Kind};

/// Inputs decided in one commit. More would let the first of them wait for the last.
const BATCH_MAX: usize = 500;
/// Confirms, returns and expiries find at least this room in every batch, whatever the crowd.
const MOVES_RESERVED: usize = BATCH_MAX / 4;
/// Leaves that may be read under the lock; more are caught up before taking it.
const CATCH_UP_LEAVES: u64 = 1_000;
/// For so long after a batch the next one reads what is new under the lock: other processes add hardly more leaves than
/// that meanwhile.
const CAUGHT_UP_MAX: Duration = Duration::from_millis(50);
/// How long a batch takes before anything was measured.
const BATCH_NS_START: u64 = 50_000_000;

/// What one input ended in.
pub(super) type Outcome = Result<Decided, Refusal>;

pub(super) struct Decided {
    pub answer: Answer,
    /// The batch it was committed in; absent when nothing was written.
    pub sealed: Option<Arc<Sealed>>,
}

/// Why an input was not decided.
#[derive(Debug, Clone)]
pub(super) enum Refusal {
    /// The queue is too long; come back after so many milliseconds. Nothing was taken.
    Busy(u64),
    /// The database is away or the outcome of a commit is unknown.
    Unavailable,
    /// There is no such offer.
    NoOffer,
    /// The row itself offends a constraint.
    Fault,
}

/// A committed batch, as answers need it.
pub(super) struct Sealed {
    pub head: Head,
    pub appended: Appended,
    pub checkpoint: String,
    pub first_index: u64,
    /// Number of the first claim it made, above all others where it made none.
    pub first_seq: u64,
    pub lines: Vec<String>,
    /// Waiting claims at the end of the batch, for the positions of its own.
    pub waiting_new: Vec<u64>,
}

impl Sealed {
    /// Whether the claim was made in this batch. Its index does not tell: it may be one of an older log.
    pub fn made(&self, claim: &admission::Claim) -> bool {
        claim.seq >= self.first_seq
    }

    /// The receipt of a leaf of this batch.
    pub fn receipt(&self, index: u64) -> Option<String> {
        let line = self.lines.get(usize::try_from(index.checked_sub(self.first_index)?).ok()?)?;
        Some(orderlog::receipt(line, index, &self.appended.proof(index), &self.checkpoint))
    }

    /// How many wait before this claim of the batch, plus one.
    pub fn position(&self, seq: u64) -> u64 {
        let behind = self.waiting_new.iter().filter(|other| **other > seq).count() as u64;
        self.head.waiting.saturating_sub(behind)
    }
}

struct Queued {
    input: Input,
    /// Rows that go with the input in its transaction, e.g. the audit entry of the organiser's hand.
    extra: Vec<RowSet>,
    since: Instant,
    answer: oneshot::Sender<Outcome>,
}

impl Queued {
    /// Drops it untaken.
    fn send_away(self) {
        self.answer.send(Err(Refusal::Busy(1_000))).ok();
    }
}

#[derive(Default)]
struct Queue {
    moves: VecDeque<Queued>,
    claims: VecDeque<Queued>,
    running: bool,
}

/// What a process knows of one offer. All of it is a hint or a fold of the log.
pub(super) struct Offer {
    pub id: Uuid,
    /// Its claimants by their pseudonyms.
    pub people: People,
    queue: Mutex<Queue>,
    /// How long a batch takes, whatever its size: most of it is the round trips and the sync. Counted by the input,
    /// a quiet hour of batches of one would make a burst look hopeless.
    batch_ns: AtomicU64,
    /// The newest committed head this process has seen, and when.
    pub seen: ArcSwapOption<Seen>,
    /// Held by who reads the head; when somebody last failed to.
    refreshing: tokio::sync::Mutex<Option<Instant>>,
    pub refusals: RwLock<Fold>,
    /// Changes by the organiser's hand take turns.
    pub hand: tokio::sync::Mutex<()>,
}

pub(super) struct Seen {
    pub head: Head,
    pub at: Instant,
}

#[derive(Default)]
pub(super) struct Fold {
    pub log_no: u32,
    pub refusals: Refusals,
}

impl Offer {
    pub fn new(id: Uuid, people: People) -> Self {
        Self {
            id,
            people,
            queue: Mutex::default(),
            batch_ns: AtomicU64::new(BATCH_NS_START),
            seen: ArcSwapOption::empty(),
            refreshing: tokio::sync::Mutex::default(),
            refusals: RwLock::default(),
            hand: tokio::sync::Mutex::default(),
        }
    }

    /// Nobody holds it, and what it knows is as old as that.
    pub fn is_idle(self: &Arc<Self>, age: Duration) -> bool {
        Arc::strong_count(self) == 1 && self.seen.load().as_ref().is_none_or(|seen| seen.at.elapsed() > age)
    }

    /// Is the fold complete to a head that was read or committed a moment ago? Others have added few leaves since.
    fn is_caught_up(&self) -> bool {
        let Some(seen) = self.seen.load_full().filter(|seen| seen.at.elapsed() < CAUGHT_UP_MAX) else { return false };
        let fold = self.refusals.read().unwrap_or_else(PoisonError::into_inner);
        fold.log_no == seen.head.log_no && fold.refusals.size() >= seen.head.size
    }

    /// Queues an input and waits for its outcome.
    pub async fn submit(self: &Arc<Self>, shared: &Arc<Shared>, input: Input, extra: Vec<RowSet>) -> Outcome {
        let (answer, outcome) = oneshot::channel();
        let is_claim = matches!(input, Input::Claim(_));
        let queued = Queued { input, extra, since: Instant::now(), answer };
        let start = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let batch = Duration::from_nanos(self.batch_ns.load(Ordering::Relaxed));
            let ahead = if is_claim { queue.claims.len() } else { queue.moves.len() };
            let wait = batch.saturating_mul(u32::try_from(ahead / BATCH_MAX).unwrap_or(u32::MAX));
            if wait > shared.limits.wait_max {
                metrics::counter!("madang_admission_busy_total").increment(1);
                return Err(Refusal::Busy(wait.as_millis() as u64 / 2));
            }
            if is_claim {
                queue.claims.push_back(queued)
            } else {
                queue.moves.push_back(queued)
            }
            !std::mem::replace(&mut queue.running, true)
        };
        if start {
            tokio::spawn(work(self.clone(), shared.clone()));
        }
        outcome.await.unwrap_or(Err(Refusal::Unavailable))
    }

    /// Takes the next batch, moves first; stops the worker when there is nothing.
    fn drain(&self) -> Vec<Queued> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let claims_max = BATCH_MAX - MOVES_RESERVED.min(queue.moves.len());
        let claims = queue.claims.len().min(claims_max);
        let moves = queue.moves.len().min(BATCH_MAX - claims);
        let mut batch: Vec<Queued> = queue.moves.drain(..moves).collect();
        batch.extend(queue.claims.drain(..claims));
        if batch.is_empty() {
            queue.running = false;
        }
        batch
    }

    /// Waits for a batch. Who is queued too long behind one that hangs hears so, not only when it has ended.
    async fn send_away_until<T>(&self, settling: impl Future<Output = T>, queued_max: Duration) -> T {
        let mut settling = std::pin::pin!(settling);
        loop {
            match tokio::time::timeout(queued_max, &mut settling).await {
                Ok(settled) => return settled,
                Err(_) => self.send_away(queued_max),
            }
        }
    }

    fn send_away(&self, queued_max: Duration) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Queue { moves, claims, .. } = &mut *queue;
        for waiting in [moves, claims] {
            // In order of arrival, but for the few that are decided again.
            while waiting.front().is_some_and(|queued| queued.since.elapsed() >= queued_max) {
                waiting.pop_front().into_iter().for_each(Queued::send_away);
            }
        }
    }

    fn put_back(&self, again: Vec<Queued>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        for queued in again.into_iter().rev() {
            queue.claims.push_front(queued);
        }
    }

    fn learn_pace(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX / 8);
        let known = self.batch_ns.load(Ordering::Relaxed);
        self.batch_ns.store((known * 7 + took) / 8, Ordering::Relaxed);
    }
}

/// How long a queue may become. Both are times: a queue's length says nothing about the wait.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// An expected wait beyond this is answered 503 at once: a client who waits longer has given up.
    pub wait_max: Duration,
    /// Who is still queued after so long is dropped untaken.
    pub queued_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { wait_max: Duration::from_secs(2), queued_max: Duration::from_secs(5) }
    }
}

async fn work(offer: Arc<Offer>, shared: Arc<Shared>) {
    loop {
        let batch = offer.drain();
        if batch.is_empty() {
            return;
        }
        let (batch, late): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|queued| queued.since.elapsed() < shared.limits.queued_max);
        late.into_iter().for_each(Queued::send_away);
        if batch.is_empty() {
            continue;
        }
        for queued in &batch {
            metrics::histogram!("madang_admission_queue_seconds").record(queued.since.elapsed().as_secs_f64());
        }
        let started = Instant::now();
        let count = batch.len();
        // Invariant: a panic costs this batch its answers, never the queue behind it its worker.
        let settling = AssertUnwindSafe(settle(&offer, &shared, batch)).catch_unwind();
        if offer.send_away_until(settling, shared.limits.queued_max).await.is_err() {
            metrics::counter!("madang_admission_panics_total").increment(1);
            tracing::error!(offer.id = %offer.id, "deciding a batch panicked; nothing of it is published");
        }
        offer.learn_pace(started.elapsed());
        metrics::histogram!("madang_admission_batch_size").record(count as f64);
        metrics::histogram!("madang_admission_batch_seconds").record(started.elapsed().as_secs_f64());
    }
}

/// Decides a batch; one with an offending row is halved until the culprit stands alone.
async fn settle(offer: &Arc<Offer>, shared: &Arc<Shared>, batch: Vec<Queued>) {
    let mut pending = vec![batch];
    while let Some(mut batch) = pending.pop() {
        let inputs: Vec<Input> = batch.iter().map(|queued| queued.input.clone()).collect();
        let extra: Vec<Vec<RowSet>> = batch.iter().map(|queued| queued.extra.clone()).collect();
        match commit(offer, shared, &inputs, extra).await {
            Ok((answers, sealed)) => {
                let mut again = Vec::new();
                for (queued, answer) in batch.into_iter().zip(answers) {
                    if answer == Answer::NextBatch {
                        again.push(queued);
                    } else {
                        queued.answer.send(Ok(Decided { answer, sealed: sealed.clone() })).ok();
                    }
                }
                offer.put_back(again);
            }
            Err(error) if error.is_row_fault() && batch.len() > 1 => {
                let second = batch.split_off(batch.len() / 2);
                pending.push(second);
                pending.push(batch);
            }
            Err(error) => {
                let refusal = refusal_of(offer.id, &error);
                for queued in batch {
                    queued.answer.send(Err(refusal.clone())).ok();
                }
            }
        }
    }
}

fn refusal_of(offer: Uuid, error: &DbError) -> Refusal {
    match error {
        DbError::Missing => Refusal::NoOffer,
        error if error.is_row_fault() => {
            metrics::counter!("madang_admission_faults_total").increment(1);
            tracing::error!(offer.id = %offer, %error, "a claim's rows were refused by the schema");
            Refusal::Fault
        }
        DbError::ClockJump(lead_ms) => {
            tracing::error!(offer.id = %offer, lead_ms, "the clock jumped; claims wait until it is set right");
            Refusal::Unavailable
        }
        error => {
            tracing::warn!(offer.id = %offer, error = ?error, "a batch was not committed; nothing of it is published");
            Refusal::Unavailable
        }
    }
}

/// Catches the fold up without the lock until few leaves are missing.
async fn catch_up(offer: &Offer, shared: &Shared) -> Result<(), DbError> {
    loop {
        let (log_no, from) = {
            let fold = offer.refusals.read().unwrap_or_else(PoisonError::into_inner);
            (fold.log_no, fold.refusals.size())
        };
        let Some((now_no, size)) = super::log::size(&shared.db, offer.id).await? else { return Err(DbError::Missing) };
        if now_no == log_no && size.saturating_sub(from) <= CATCH_UP_LEAVES {
            return Ok(());
        }
        let from = if now_no == log_no { from } else { 0 };
        let mut nothing = true;
        super::log::each_bundle(&shared.db, offer.id, now_no, from, |first, leaves| {
            nothing = false;
            offer.fold(now_no, first, leaves)
        })
        .await?;
        if nothing {
            return Ok(());
        }
    }
}

/// One transaction: lock, facts, decision, writes, commit. `Err` means nothing of it is published.
async fn commit(
    offer: &Offer,
    shared: &Shared,
    inputs: &[Input],
    extra: Vec<Vec<RowSet>>,
) -> Result<(Vec<Answer>, Option<Arc<Sealed>>), DbError> {
    if !offer.is_caught_up() {
        catch_up(offer, shared).await?;
    }
    let mut tx = OfferTx::begin(&shared.db).await?;
    let locked = Instant::now();
    let row = tx.lock(offer.id).await?.ok_or(DbError::Missing)?;
    let rules = super::view::rules_in(shared, &mut tx, offer.id, &row.rules_sha).await?;
    let (pools, mut facts, mut ask, now_ms) = read_facts(offer, shared, &mut tx, &row, inputs).await?;
    let head = row.head(rules, pools);
    let decision = loop {
        let outcome = {
            let fold = offer.refusals.read().unwrap_or_else(PoisonError::into_inner);
            decide(&head, &facts, &fold.refusals, inputs, now_ms)
        };
        match outcome {
            Ok(decision) => break decision,
            Err(need) => {
                ask.line_after = as_i64(need.after_seq);
                ask.line_limit = LINE_CHUNK;
                let more = tx.facts(offer.id, &ask).await?.facts;
                facts.line.extend(more.line);
                facts.line_complete = more.line_complete;
            }
        }
    };
    if decision.leaves.is_empty() && decision.changed.is_empty() {
        tx.rollback().await?;
        offer.see(decision.head);
        return Ok((decision.answers, None));
    }
    let lines: Vec<String> = decision.leaves.iter().map(ToString::to_string).collect();
    let (leaves, appended) = append(row.frontier, &lines)?;
    let sets = row_sets(offer.id, shared, &head, &decision, &appended, extra);
    let published = sets.iter().any(|set| set.table == "outbox");
    let write = BatchWrite {
        offer: offer.id,
        head: &decision.head,
        frontier: appended.frontier(),
        first_index: row.size,
        leaves,
        sets,
    };
    tx.write(&write).await?;
    tx.commit().await?;
    metrics::histogram!("madang_admission_lock_seconds").record(locked.elapsed().as_secs_f64());
    if published {
        shared.db.wake_consumers();
    }
    let sealed = seal(&shared.keys.log, &row.base, row.size, &decision, appended, lines);
    offer.learn(&decision);
    Ok((decision.answers, Some(Arc::new(sealed))))
}

/// Reads the facts under the lock and completes the fold up to the head.
async fn read_facts(
    offer: &Offer,
    shared: &Shared,
    tx: &mut OfferTx,
    row: &OfferRow,
    inputs: &[Input],
) -> Result<(Vec<Pool>, Facts, Ask, i64), DbError> {
    let mut ask = Ask::of(inputs);
    let may_free = inputs.iter().any(|input| !matches!(input, Input::Claim(_)));
    if row.waiting > 0 && may_free {
        ask.line_limit = LINE_CHUNK;
    }
    ask.log_no = i64::from(row.log_no);
    ask.blobs_from = {
        let fold = offer.refusals.read().unwrap_or_else(PoisonError::into_inner);
        if fold.log_no == row.log_no { as_i64(fold.refusals.size()) } else { 0 }
    };
    let read = tx.facts(offer.id, &ask).await?;
    for (first, leaves) in &read.blobs {
        offer.fold(row.log_no, *first, leaves)?;
    }
    let now_ms = match shared.db.kind() {
        Kind::Sqlite => shared.db.clock().now_ms(),
        Kind::Postgres => read.now_ms,
    };
    let now_ms = shared.db.clock().check(now_ms).map_err(|jump| DbError::ClockJump(jump.0))?;
    let mut facts = read.facts;
    facts.line_complete = if ask.line_limit == 0 { row.waiting == 0 } else { facts.line_complete };
    Ok((read.pools, facts, ask, now_ms))
}

/// The entry bundle of the new leaves and the tree they make.
pub(super) fn append(frontier: orderlog::Frontier, lines: &[String]) -> Result<(Vec<u8>, Appended), DbError> {
    let mut bundle = Vec::with_capacity(lines.len() * 128);
    let mut append = Append::new(frontier);
    for line in lines {
        tiles::push_entry(&mut bundle, line.as_bytes()).map_err(|error| broken(&error.to_string()))?;
        append.push(leaf_hash(line.as_bytes()));
    }
    Ok((bundle, append.finish()))
}

fn row_sets(
    offer: Uuid,
    shared: &Shared,
    before: &Head,
    decision: &Decision,
    appended: &Appended,
    extra: Vec<Vec<RowSet>>,
) -> Vec<RowSet> {
    let head = &decision.head;
    let mut sets = claim_sets(offer, head.decided_ms, &decision.changed);
    sets.extend(pool_sets(offer, &before.pools, &head.pools));
    if !decision.changed.is_empty() {
        sets.extend(shared.hook.rows(kernel::OfferId(offer), head.decided_ms, &decision.changed));
        sets.push(super::event::outbox_row(offer, head.decided_ms, &decision.changed));
    }
    let completed = appended.completed();
    if !completed.is_empty() {
        sets.push(RowSet {
            table: "log_node",
            columns: vec![
                ("offer_id", Column::Uuid(vec![Some(offer); completed.len()])),
                ("log_no", Column::Int(vec![Some(i64::from(head.log_no)); completed.len()])),
                ("level", Column::Int(completed.iter().map(|(level, ..)| Some(i64::from(*level))).collect())),
                ("n", Column::Int(completed.iter().map(|(_, n, _)| Some(as_i64(*n))).collect())),
                ("hash", Column::Bytes(completed.iter().map(|(.., hash)| Some(hash.to_vec())).collect())),
            ],
            mode: Mode::Insert,
        });
    }
    sets.extend(decision.rules.iter().map(|(_, rules)| rules_set(offer, rules)));
    // Why: what was refused, or is decided again in the next batch, leaves no trace here.
    let extra = extra.into_iter().zip(&decision.answers).filter(|(_, answer)| took_effect(answer));
    sets.extend(gather(extra.flat_map(|(sets, _)| sets)));
    sets.retain(|set| !set.is_empty());
    sets
}

/// Did the input leave a leaf?
fn took_effect(answer: &Answer) -> bool {
    matches!(answer, Answer::Placed { .. } | Answer::Moved { leaf: Some(_), .. } | Answer::Hand { leaf: Some(_) })
}

/// The row that publishes rules. The same rules may come back: then their row is there already.
pub(super) fn rules_set(offer: Uuid, rules: &Rules) -> RowSet {
    RowSet {
        table: "offer_rules",
        columns: vec![
            ("offer_id", Column::Uuid(vec![Some(offer)])),
            ("sha", Column::Bytes(vec![Some(rules.sha().to_vec())])),
            ("json", Column::Text(vec![String::from_utf8(rules.canonical()).ok()])),
        ],
        mode: Mode::Keep,
    }
}

fn seal(
    key: &LogKey,
    base: &str,
    first_index: u64,
    decision: &Decision,
    appended: Appended,
    lines: Vec<String>,
) -> Sealed {
    let head = decision.head.clone();
    let checkpoint = sign_checkpoint(key, &origin(base, head.log_no), head.size, &appended.root());
    let waiting = |decided: &&admission::Decided| {
        decided.was.is_none() && decided.claim.state == admission::ClaimState::Waitlisted
    };
    let waiting_new = decision.changed.iter().filter(waiting).map(|decided| decided.claim.seq).collect();
    let made = |decided: &admission::Decided| decided.was.is_none().then_some(decided.claim.seq);
    let first_seq = decision.changed.iter().filter_map(made).min().unwrap_or(u64::MAX);
    Sealed { head, appended, checkpoint, first_index, first_seq, lines, waiting_new }
}

impl Offer {
    /// Folds the committed leaves of one batch; those of a newer log begin anew.
    fn fold(&self, log_no: u32, first_index: u64, leaves: &[u8]) -> Result<(), DbError> {
        let mut fold = self.refusals.write().unwrap_or_else(PoisonError::into_inner);
        if fold.log_no != log_no {
            *fold = Fold { log_no, refusals: Refusals::new() };
        }
        fold.refusals.apply_bundle(first_index, leaves).map_err(|error| broken(&error.to_string()))
    }

    /// Remembers a committed batch.
    fn learn(&self, decision: &Decision) {
        let mut fold = self.refusals.write().unwrap_or_else(PoisonError::into_inner);
        let known =
            fold.log_no == decision.head.log_no && decision.leaves.iter().all(|leaf| fold.refusals.apply(leaf).is_ok());
        if !known {
            // What was committed stands; the next batch folds the log anew.
            *fold = Fold::default();
        }
        drop(fold);
        self.see(decision.head.clone());
    }

    pub fn see(&self, head: Head) {
        self.seen.store(Some(Arc::new(Seen { head, at: Instant::now() })));
    }

    /// The head as it was read at most `age` ago. Who finds it older reads it for everybody: a crowd would otherwise ask
    /// for the same row as often as there are people in it.
    pub async fn refresh(&self, shared: &Shared, age: Duration) -> Result<Arc<Seen>, DbError> {
        let asked = Instant::now();
        let mut failed = self.refreshing.lock().await;
        if let Some(seen) = self.seen.load_full().filter(|seen| seen.at.elapsed() <= age) {
            return Ok(seen);
        }
        if failed.is_some_and(|at| at >= asked) {
            return Err(DbError::Unavailable(anyhow::anyhow!("another could not read the head a moment ago")));
        }
        // Why before the read: the head is as old as the moment it was asked for.
        let at = Instant::now();
        metrics::counter!("madang_admission_head_reads_total").increment(1);
        match super::view::head(&shared.db, shared, self.id).await {
            Ok(head) => {
                let seen = Arc::new(Seen { head: head.ok_or(DbError::Missing)?, at });
                self.seen.store(Some(seen.clone()));
                Ok(seen)
            }
            Err(error) => {
                *failed = Some(at);
                Err(error)
            }
        }
    }
}
