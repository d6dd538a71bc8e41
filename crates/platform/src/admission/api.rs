//! What a context calls: create an offer, claim, move, assign, the organiser's hand.

use std::sync::Arc;
use std::time::Duration;

use admission::{Answer, Basis, ClaimInput, Hand, Input, Move, MoveBy};
use kernel::{ClaimId, OfferId, UserId};
use orderlog::{Frontier, Person, PersonKey, Rules, Want};
use serde_json::json;
use uuid::Uuid;

use super::rows::{Column, Mode, RowSet};
use super::sequencer::{Decided, Offer, Refusal, Sealed};
use super::view::{ClaimView, OfferView};
use super::{Admission, Shared, codes};
use crate::db::{DbError, Query, Tx, args};
use crate::http::{IfMatch, Problem};

/// Each further try means that somebody else's change came between; more would keep the caller waiting for nothing.
const HAND_TRIES_MAX: u32 = 20;
/// An answer from memory is never older than this.
const MEMORY_AGE_MAX: Duration = Duration::from_millis(250);

/// What somebody asks for. All that can fail for him alone was checked before.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    pub user: UserId,
    pub want: Want,
    /// `Idempotency-Key` and SHA-256 of the body.
    pub idem: Option<(String, [u8; 32])>,
    /// Carried to the context's row by its [`super::Rows`].
    pub tag: Arc<str>,
    pub received_ms: i64,
}

/// A place, new or had before.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Answer 201: it was made by this request, or by the first one with its idempotency key.
    pub fresh: bool,
    pub claim: ClaimView,
    pub receipt: Option<String>,
    /// Base64 of the key that shows whose pseudonym the leaf holds.
    pub person_key: String,
}

/// A further change of the rules than a [`HandChange`] has fields for.
pub type RulesEdit = Arc<dyn Fn(&mut Rules) + Send + Sync>;

/// A change by the organiser's hand; what is absent stays.
#[derive(Clone, Default)]
pub struct HandChange {
    /// The pool that `capacity` and `held_back` are about.
    pub pool: Option<String>,
    pub capacity: Option<u32>,
    pub held_back: Option<u32>,
    pub paused: Option<bool>,
    /// Not after now closes at once.
    pub closes_ms: Option<i64>,
    /// The version of the rules that the change was made from; refused where they have moved on.
    pub version: Option<i64>,
    /// Further changes of the rules, e.g. a new opening.
    pub edit: Option<RulesEdit>,
}

impl Admission {
    /// Writes a new offer and its first leaf, in the transaction that makes the thing it sells.
    pub async fn create(&self, tx: &Tx, rules: Rules) -> Result<(), Problem> {
        rules.validate().map_err(|error| Problem::new(&codes::RULES).detail(error.to_string()))?;
        let shared = &self.0;
        let offer = rules.offer;
        let (head, leaves) = admission::Head::create(Arc::new(rules), tx.now_ms().await?);
        let lines: Vec<String> = leaves.iter().map(ToString::to_string).collect();
        let (bundle, appended) = super::sequencer::append(Frontier::default(), &lines)?;
        let base = shared.keys.base(OfferId(offer));
        let sql = "INSERT INTO offer (id, base, log_no, rules_sha, paused, closed, opens_ms, closes_ms, line_after_close, next_seq,
                       size, frontier, decided_ms, free_epoch, waiting, refusals, version)
                   VALUES ($1, $2, 1, $3, 0, 0, $4, $5, $6, 1, 1, $7, $8, 0, 0, 0, 1)";
        let rules = head.rules.clone();
        let frontier = appended.frontier().to_bytes();
        let after = i64::from(rules.line_after_close);
        tx.run(
            sql,
            args![
                offer,
                base,
                head.rules_sha.to_vec(),
                rules.opens_ms,
                rules.closes_ms,
                after,
                frontier,
                head.decided_ms
            ],
        )
        .await?;
        let sql = "INSERT INTO log_batch (offer_id, log_no, first_index, count, leaves) VALUES ($1, 1, 0, 1, $2)";
        tx.run(sql, args![offer, bundle]).await?;
        let mut sets = super::store::pool_sets(offer, &[], &head.pools);
        sets.push(super::sequencer::rules_set(offer, &rules));
        for set in sets {
            set.insert(tx).await?;
        }
        Ok(())
    }

    /// Claims units for a person: a place, the one he has, or the problem that says why not.
    pub async fn claim(&self, offer: OfferId, request: ClaimRequest) -> Result<Claimed, Problem> {
        let live = self.0.offer(offer);
        let (person, key) = live.people.derive(request.user.0);
        if let Some(known) = self.remembered(&live, &person, &request).await? {
            return Err(sold_out(Some(known.0), Some(known.1), None));
        }
        let input = input(person, request);
        let decided = self.submit(&live, Input::Claim(input.clone()), Vec::new()).await?;
        self.claimed(offer, &input, &key, decided).await
    }

    /// Places somebody by the organiser's hand; `rows` are written with the audit entry if it takes effect.
    pub async fn assign(
        &self,
        offer: OfferId,
        actor: UserId,
        reason: &str,
        request: ClaimRequest,
        mut rows: Vec<RowSet>,
    ) -> Result<Claimed, Problem> {
        let live = self.0.offer(offer);
        let (person, key) = live.people.derive(request.user.0);
        let input = input(person, request);
        let change = json!({ "user_id": input.user_id, "want": input.want.to_string() });
        rows.push(audit_row(&self.0, offer, actor, "offer.assign", reason, &change));
        let decided = self.submit(&live, Input::Assign { claim: input.clone() }, rows).await?;
        self.claimed(offer, &input, &key, decided).await
    }

    /// Moves a claim; a repeat answers as the first did.
    pub async fn act(&self, offer: OfferId, claim: ClaimId, by: MoveBy, mv: Move) -> Result<ClaimView, Problem> {
        self.act_with(offer, claim, by, mv, Vec::new()).await
    }

    /// Moves a claim and writes `rows` in the same commit, unless it already was where the move leads.
    pub async fn act_with(
        &self,
        offer: OfferId,
        claim: ClaimId,
        by: MoveBy,
        mv: Move,
        rows: Vec<RowSet>,
    ) -> Result<ClaimView, Problem> {
        let live = self.0.offer(offer);
        let decided = self.submit(&live, Input::Move { claim: claim.0, by, mv }, rows).await?;
        match decided.answer {
            Answer::Moved { claim, .. } => Ok(self.view_of(offer, &claim, decided.sealed.as_deref()).await?),
            other => Err(refused(&other)),
        }
    }

    /// Changes the offer itself: each change with its reason, audited, and a leaf of the log.
    pub async fn hand(
        &self,
        offer: OfferId,
        actor: UserId,
        reason: &str,
        change: HandChange,
    ) -> Result<OfferView, Problem> {
        let live = self.0.offer(offer);
        // Why: of two organisers at once in this process, one would be decided for nothing.
        let _turn = live.hand.lock().await;
        for _ in 0..HAND_TRIES_MAX {
            if self.try_hand(&live, offer, actor, reason, &change).await? {
                return self.view(&self.0.db, offer).await;
            }
        }
        Err(Problem::new(&codes::BUSY).retry_after_ms(500))
    }

    /// False when the rules were made from what another process, or an assignment, has changed meanwhile; nothing
    /// was done then.
    async fn try_hand(
        &self,
        live: &Arc<Offer>,
        offer: OfferId,
        actor: UserId,
        reason: &str,
        change: &HandChange,
    ) -> Result<bool, Problem> {
        let now = self.view(&self.0.db, offer).await?;
        IfMatch(change.version).check(now.version)?;
        // Invariant: new rules come first, so that nothing was done yet when they have to be made again.
        for (action, hand, told) in steps(&now, change)? {
            let audit = audit_row(&self.0, offer, actor, action, reason, &told);
            let decided = self.submit(live, Input::Hand(hand), vec![audit]).await?;
            match decided.answer {
                Answer::Hand { .. } => {}
                Answer::MovedOn => return Ok(false),
                other => return Err(refused(&other)),
            }
        }
        Ok(true)
    }

    pub async fn view(&self, query: &impl Query, offer: OfferId) -> Result<OfferView, Problem> {
        let view = super::view::offers(&self.0, query, &[offer]).await?.remove(&offer);
        view.ok_or_else(|| Problem::new(&codes::NOT_FOUND))
    }

    pub async fn views(
        &self,
        query: &impl Query,
        offers: &[OfferId],
    ) -> Result<std::collections::HashMap<OfferId, OfferView>, Problem> {
        Ok(super::view::offers(&self.0, query, offers).await?)
    }

    pub async fn claim_view(&self, claim: ClaimId) -> Result<Option<ClaimView>, Problem> {
        Ok(super::view::claims(&self.0.db, &[claim]).await?.remove(&claim))
    }

    pub async fn claim_views(
        &self,
        claims: &[ClaimId],
    ) -> Result<std::collections::HashMap<ClaimId, ClaimView>, Problem> {
        Ok(super::view::claims(&self.0.db, claims).await?)
    }

    /// The receipt of a leaf against the newest checkpoint.
    pub async fn receipt(&self, offer: OfferId, index: u64) -> Result<Option<String>, Problem> {
        match super::log::head(&self.0, offer.0, None).await? {
            Some(head) => Ok(head.receipt(&self.0, offer.0, index).await?),
            None => Ok(None),
        }
    }

    /// The receipt of a claim's leaf, in whichever log of the offer it was made.
    async fn receipt_of(&self, offer: OfferId, claim: &admission::Claim) -> Result<Option<String>, Problem> {
        let log_no = super::log::of_claim(&self.0.db, offer.0, claim.seq).await?;
        match super::log::head(&self.0, offer.0, Some(log_no)).await? {
            Some(head) => Ok(head.receipt(&self.0, offer.0, claim.log_index).await?),
            None => Ok(None),
        }
    }

    /// The key that shows a person his own pseudonym in an offer, base64.
    pub fn person_key(&self, offer: OfferId, user: UserId) -> String {
        encode_key(&self.0.keys.people(offer).derive(user.0).1)
    }

    async fn submit(&self, live: &Arc<Offer>, input: Input, extra: Vec<RowSet>) -> Result<Decided, Problem> {
        live.submit(&self.0, input, extra).await.map_err(|refusal| match refusal {
            Refusal::Busy(ms) => Problem::new(&codes::BUSY).retry_after_ms(ms.max(200)),
            Refusal::Unavailable => Problem::new(&codes::BUSY).retry_after_ms(1_000),
            Refusal::NoOffer => Problem::new(&codes::NOT_FOUND),
            Refusal::Fault => Problem::new(&crate::http::codes::INTERNAL),
        })
    }

    /// A repeated refusal, answered without the database while nothing has come free.
    async fn remembered(
        &self,
        live: &Arc<Offer>,
        person: &Person,
        request: &ClaimRequest,
    ) -> Result<Option<(u64, u64)>, Problem> {
        let Some(seen) = live.seen.load_full() else { return Ok(None) };
        let mut told = live.repeat(&seen.head, person, &request.want);
        if told.is_none() {
            return Ok(None);
        }
        // Why: a key that made a claim answers with it, also where he was refused since he gave it back.
        if let Some((key, _)) = &request.idem
            && super::store::key_is_known(&self.0.db, live.id, request.user.0, key).await?
        {
            return Ok(None);
        }
        let mut closes_ms = seen.head.rules.closes_ms;
        if seen.at.elapsed() > MEMORY_AGE_MAX {
            // Why: the queue decides without a memory too, and says itself when the database is away.
            let Ok(seen) = live.refresh(&self.0, MEMORY_AGE_MAX).await else { return Ok(None) };
            told = live.repeat(&seen.head, person, &request.want);
            closes_ms = seen.head.rules.closes_ms;
        }
        Ok(told.filter(|_| self.0.db.clock().now_ms() < closes_ms))
    }

    async fn claimed(
        &self,
        offer: OfferId,
        input: &ClaimInput,
        key: &PersonKey,
        decided: Decided,
    ) -> Result<Claimed, Problem> {
        let sealed = decided.sealed.as_deref();
        let (fresh, claim) = match &decided.answer {
            Answer::Placed { claim, .. } => (true, claim),
            Answer::Idempotent { claim } => (true, claim),
            Answer::Has { claim } => (false, claim),
            Answer::Moved { claim, .. } => (false, claim),
            Answer::Refused { seq, index, repeat } => {
                let receipt = index.filter(|_| !repeat).and_then(|index| sealed?.receipt(index));
                return Err(sold_out(*seq, *index, receipt));
            }
            Answer::NotOpen { opens_ms } => {
                let opens_in_ms = (opens_ms - self.0.db.clock().now_ms()).max(1);
                return Err(Problem::new(&codes::NOT_OPEN).with("opens_in_ms", opens_in_ms));
            }
            other => return Err(refused(other)),
        };
        debug_assert_eq!(claim.person, input.person);
        let receipt =
            match sealed.filter(|sealed| sealed.made(claim)).and_then(|sealed| sealed.receipt(claim.log_index)) {
                Some(receipt) => Some(receipt),
                None => self.receipt_of(offer, claim).await?,
            };
        let view = self.view_of(offer, claim, sealed).await?;
        Ok(Claimed { fresh, claim: view, receipt, person_key: encode_key(key) })
    }

    /// The claim as people see it; a batch's own claims need no read.
    async fn view_of(
        &self,
        offer: OfferId,
        claim: &admission::Claim,
        sealed: Option<&Sealed>,
    ) -> Result<ClaimView, DbError> {
        let in_batch = sealed.filter(|sealed| sealed.made(claim));
        let position = match (claim.state, in_batch) {
            (admission::ClaimState::Waitlisted, Some(sealed)) => Some(sealed.position(claim.seq)),
            (admission::ClaimState::Waitlisted, None) => {
                let id = ClaimId(claim.id);
                super::view::claims(&self.0.db, &[id]).await?.remove(&id).and_then(|view| view.position)
            }
            _ => None,
        };
        Ok(ClaimView {
            id: ClaimId(claim.id),
            offer_id: offer,
            user_id: UserId(claim.user_id),
            seq: claim.seq,
            log_index: claim.log_index,
            state: claim.state,
            want: claim.want.clone(),
            hold_until_ms: claim.hold_until_ms,
            confirm_no: claim.confirm_no,
            position,
            replaces: claim.replaces.map(ClaimId),
            replaced_by: None,
            received_ms: claim.received_ms,
            decided_ms: sealed.map_or(claim.received_ms, |sealed| sealed.head.decided_ms),
        })
    }
}

impl Offer {
    /// What the fold alone can tell this person again, as of a head.
    fn repeat(&self, head: &admission::Head, person: &Person, want: &Want) -> Option<(u64, u64)> {
        let fold = self.refusals.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if fold.log_no == head.log_no { fold.refusals.repeat(head, person, want) } else { None }
    }
}

/// What goes into the queue: the request of one who has a pseudonym, with the id his claim will have.
fn input(person: Person, request: ClaimRequest) -> ClaimInput {
    ClaimInput {
        id: Uuid::now_v7(),
        person,
        user_id: request.user.0,
        want: request.want,
        received_ms: request.received_ms,
        idem: request.idem,
        tag: request.tag,
    }
}

/// The leaves a change of the organiser's hand becomes, in order, with what the audit says of each.
fn steps(now: &OfferView, change: &HandChange) -> Result<Vec<(&'static str, Hand, serde_json::Value)>, Problem> {
    let mut steps = Vec::new();
    let close_now = change.closes_ms.is_some_and(|closes_ms| closes_ms <= now.now_ms);
    let mut rules = (*now.rules).clone();
    for rule in &mut rules.pools {
        // Invariant: new rules carry the held-back places that remain, not those the old rules began with.
        rule.held_back =
            now.pool(rule.code.as_str()).map_or(rule.held_back, |pool| u32::try_from(pool.held_back).unwrap_or(0));
        if change.pool.as_deref() == Some(rule.code.as_str()) {
            rule.capacity = change.capacity.unwrap_or(rule.capacity);
            rule.held_back = change.held_back.unwrap_or(rule.held_back);
        }
    }
    if let Some(closes_ms) = change.closes_ms.filter(|_| !close_now) {
        rules.closes_ms = closes_ms;
    }
    if let Some(edit) = &change.edit {
        edit(&mut rules);
    }
    let told = json!({ "pool": change.pool, "capacity": change.capacity, "held_back": change.held_back, "closes_ms": change.closes_ms });
    let counts_asked = change.capacity.is_some() || change.held_back.is_some();
    if rules != *now.rules || counts_asked {
        rules.validate().map_err(|error| Problem::new(&codes::RULES).detail(error.to_string()))?;
        if rules != *now.rules {
            steps.push(("offer.rules", Hand::Edit { rules: Box::new(rules), basis: basis(now) }, told));
        }
    }
    match change.paused {
        Some(true) => steps.push(("offer.pause", Hand::Pause, json!({}))),
        Some(false) => steps.push(("offer.resume", Hand::Resume, json!({}))),
        None => {}
    }
    if close_now {
        steps.push(("offer.close", Hand::Close, json!({})));
    }
    Ok(steps)
}

/// What a view's rules were made from.
fn basis(view: &OfferView) -> Basis {
    let held_back = |pool: &orderlog::PoolRule| {
        let now = view.pool(pool.code.as_str()).map_or(0, |pool| pool.held_back);
        (pool.code, u32::try_from(now).unwrap_or(0))
    };
    Basis { version: view.version.unsigned_abs(), held_back: view.rules.pools.iter().map(held_back).collect() }
}

/// The audit entry that goes with a change, in its transaction.
fn audit_row(
    shared: &Shared,
    offer: OfferId,
    actor: UserId,
    action: &str,
    reason: &str,
    told: &serde_json::Value,
) -> RowSet {
    let text = |value: String| Column::Text(vec![Some(value)]);
    RowSet {
        table: "audit",
        columns: vec![
            ("at_ms", Column::Int(vec![Some(shared.db.clock().now_ms())])),
            ("actor", Column::Uuid(vec![Some(actor.0)])),
            ("action", text(action.to_owned())),
            ("subject", text(offer.to_string())),
            ("reason", text(reason.to_owned())),
            ("after", text(told.to_string())),
        ],
        mode: Mode::Insert,
    }
}

fn sold_out(seq: Option<u64>, index: Option<u64>, receipt: Option<String>) -> Problem {
    let mut problem = Problem::new(&codes::SOLD_OUT);
    problem.extra = vec![("sequence", seq.into()), ("log_index", index.into())];
    problem.extra.extend(receipt.map(|receipt| ("receipt", receipt.into())));
    problem
}

fn refused(answer: &Answer) -> Problem {
    match answer {
        Answer::Closed => Problem::new(&codes::CLOSED),
        Answer::Paused => Problem::new(&codes::PAUSED),
        Answer::Limit => Problem::new(&codes::LIMIT),
        Answer::IdemMismatch => Problem::new(&crate::http::codes::IDEMPOTENCY_MISMATCH),
        Answer::Illegal { state } => Problem::new(&codes::STATE).with("state", state.as_str()),
        Answer::Gone => Problem::new(&codes::NOT_FOUND),
        Answer::BelowTaken { pool } => Problem::new(&codes::BELOW_TAKEN).with("pool", pool.as_str()),
        Answer::BadRules(clash) => Problem::new(&codes::RULES).detail(clash.to_string()),
        Answer::BadWant(error) => Problem::new(&codes::WANT).detail(error.to_string()),
        Answer::NoUnits => Problem::new(&codes::NO_UNITS),
        Answer::NotOpen { .. } | Answer::Refused { .. } | Answer::NextBatch | Answer::MovedOn => {
            Problem::new(&codes::BUSY).retry_after_ms(500)
        }
        Answer::Placed { .. }
        | Answer::Has { .. }
        | Answer::Idempotent { .. }
        | Answer::Moved { .. }
        | Answer::Hand { .. } => Problem::new(&crate::http::codes::INTERNAL),
    }
}

fn encode_key(key: &PersonKey) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(key)
}
