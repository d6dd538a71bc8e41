//! The books of an offer: the log as it is served, and every table that must agree with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use kernel::OfferId;
use kernel::contracts::admission::ClaimsDecided;
use orderlog::check::{Report, Source, verify};
use orderlog::{ConfirmMode, Event, Leaf, Outcome, Person, Rules, Want};
use platform::admission::core::ClaimState;
use platform::db::{Db, Query, args};
use tokio::runtime::Handle;
use tower::ServiceExt;
use uuid::Uuid;

use super::shop::{Shop, want};

/// What the log of an offer says, once everything was found to agree with it.
#[derive(Debug)]
pub struct Books {
    pub report: Report,
    pub leaves: Vec<Leaf>,
    /// Every claim that is no refusal, by its number.
    pub claims: BTreeMap<u64, Told>,
    /// `(seq, index)` of every refusal.
    pub refusals: HashMap<(Person, Want), (u64, u64)>,
}

/// A claim as the log tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub person: Person,
    pub want: Want,
    pub state: ClaimState,
    pub log_index: u64,
    /// End of its hold; none unless held or paying.
    pub hold_until_ms: Option<i64>,
}

impl Books {
    pub fn in_state(&self, state: ClaimState) -> usize {
        self.claims.values().filter(|told| told.state == state).count()
    }

    /// Leaves that say this.
    pub fn count(&self, event: &str) -> usize {
        self.leaves.iter().filter(|leaf| leaf.event.name() == event).count()
    }

    /// The claims that left the line by themselves, in order.
    pub fn grants(&self) -> Vec<u64> {
        self.leaves
            .iter()
            .filter_map(|leaf| if let Event::Grant { seq } = leaf.event { Some(seq) } else { None })
            .collect()
    }
}

/// Reads the whole log, checks it as a stranger would, and compares every table with it. Nobody may write meanwhile.
pub async fn balanced(shop: &Shop, offer: OfferId) -> Books {
    let served = Served::new(shop.log.clone(), shop.log_path(offer, ""));
    let report = tokio::task::block_in_place(|| verify(&served, &[]));
    assert!(report.verified, "the log is not true: {:#?}", report.violations);
    let leaves = read_leaves(&served, report.logs[0].size).await;
    assert!(leaves.is_sorted_by_key(|leaf| leaf.decided_ms), "decided_ms falls");
    let mut books = Books { report, leaves, claims: BTreeMap::new(), refusals: HashMap::new() };
    fold(&mut books, &served).await;
    compare_claims(&shop.db, offer, &books).await;
    compare_head(&shop.db, offer, &books).await;
    compare_things(&shop.db, offer).await;
    compare_events(&shop.db, offer).await;
    books
}

/// A log over its public routes, below a path that ends in `/`.
pub struct Served {
    router: Router,
    prefix: String,
    runtime: Handle,
}

impl Served {
    pub fn new(router: Router, prefix: String) -> Served {
        Served { router, prefix, runtime: Handle::current() }
    }

    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        let request = Request::get(format!("{}{path}", self.prefix)).body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        match response.status() {
            StatusCode::OK => Ok(Some(response.into_body().collect().await.unwrap().to_bytes().to_vec())),
            StatusCode::NOT_FOUND => Ok(None),
            other => Err(format!("{path}: {other}")),
        }
    }
}

impl Source for Served {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        self.runtime.block_on(self.get(path))
    }
}

/// The leaves as the JSON pages show them.
async fn read_leaves(served: &Served, size: u64) -> Vec<Leaf> {
    let mut leaves: Vec<Leaf> = Vec::new();
    while (leaves.len() as u64) < size {
        let after = leaves.last().map_or(-1, |leaf| leaf.index as i64);
        let page = served.get(&format!("log?after={after}&limit=1000")).await.unwrap().unwrap();
        let page: serde_json::Value = serde_json::from_slice(&page).unwrap();
        let items = page["items"].as_array().unwrap();
        assert!(!items.is_empty(), "the log ends at {after}, its checkpoint at {size}");
        for item in items {
            let leaf = Leaf::parse(item["leaf"].as_str().unwrap().as_bytes()).unwrap();
            assert_eq!(leaf.index, leaves.len() as u64);
            leaves.push(leaf);
        }
    }
    leaves
}

/// What the claims must be, by the leaves alone.
async fn fold(books: &mut Books, served: &Served) {
    let mut rules: Option<Arc<Rules>> = None;
    for leaf in &books.leaves {
        if let Event::Rules { sha } = &leaf.event {
            let path = format!("rules/{}", sha.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
            let bytes = served.get(&path).await.unwrap().unwrap();
            rules = Some(Arc::new(Rules::parse(&bytes).unwrap()));
        }
        let rules = rules.as_deref().unwrap();
        let end = |hold_s: u32| Some(leaf.decided_ms + i64::from(hold_s) * 1_000);
        match &leaf.event {
            Event::Claim { seq, person, want, outcome: Outcome::Refused, .. } => {
                let before = books.refusals.insert((*person, want.clone()), (*seq, leaf.index));
                assert_eq!(before, None, "{person} was refused {want} twice");
            }
            Event::Claim { seq, person, want, outcome, .. } => {
                let (state, hold_until_ms) = match outcome {
                    Outcome::Confirmed => (ClaimState::Confirmed, None),
                    Outcome::Waitlisted => (ClaimState::Waitlisted, None),
                    Outcome::Assigned => (ClaimState::Held, end(rules.waitlist_hold_s)),
                    _ => (ClaimState::Held, end(rules.hold_s)),
                };
                let told = Told { person: *person, want: want.clone(), state, log_index: leaf.index, hold_until_ms };
                assert_eq!(books.claims.insert(*seq, told), None, "number {seq} twice");
            }
            event => {
                let Some(seq) = event.seq() else { continue };
                let claim = books.claims.get_mut(&seq).unwrap();
                match event {
                    Event::Pay { .. } => claim.state = ClaimState::Paying,
                    Event::Hold { .. } => claim.state = ClaimState::Held,
                    Event::Confirm { .. } => claim.state = ClaimState::Confirmed,
                    Event::Amend { want, .. } => claim.want = want.clone(),
                    Event::Return { reason, .. } => claim.state = ClaimState::after(*reason),
                    Event::Grant { .. } if rules.confirm == ConfirmMode::AtOnce => claim.state = ClaimState::Confirmed,
                    _ => (claim.state, claim.hold_until_ms) = (ClaimState::Held, end(rules.waitlist_hold_s)),
                }
            }
        }
    }
    for claim in books.claims.values_mut() {
        if !matches!(claim.state, ClaimState::Held | ClaimState::Paying) {
            claim.hold_until_ms = None;
        }
    }
}

async fn compare_claims(db: &Db, offer: OfferId, books: &Books) {
    let sql = "SELECT seq, person, want, state, log_index FROM claim WHERE offer_id = $1";
    let rows = db.all::<(i64, Uuid, String, String, i64)>(sql, args![offer.0]).await.unwrap();
    let sql = "SELECT seq, hold_until_ms FROM claim WHERE offer_id = $1";
    let holds: HashMap<i64, Option<i64>> =
        db.all::<(i64, Option<i64>)>(sql, args![offer.0]).await.unwrap().into_iter().collect();
    let stored: BTreeMap<u64, Told> = rows
        .into_iter()
        .map(|(seq, person, text, state, log_index)| {
            let told = Told {
                person: Person(person.into_bytes()),
                want: want(&text),
                state: state.parse().unwrap(),
                log_index: log_index as u64,
                hold_until_ms: holds[&seq],
            };
            (seq as u64, told)
        })
        .collect();
    let seqs: BTreeSet<u64> = stored.keys().chain(books.claims.keys()).copied().collect();
    for seq in seqs {
        assert_eq!(stored.get(&seq), books.claims.get(&seq), "the row of claim {seq} is not what the log says");
    }
}

async fn compare_head(db: &Db, offer: OfferId, books: &Books) {
    let sql = "SELECT next_seq, size, waiting, refusals, decided_ms FROM offer WHERE id = $1";
    let head = db.one::<(i64, i64, i64, i64, i64)>(sql, args![offer.0]).await.unwrap().unwrap();
    let numbers = books.claims.len() + books.refusals.len();
    let newest_ms = books.leaves.last().unwrap().decided_ms;
    let waiting = books.in_state(ClaimState::Waitlisted);
    let told = (numbers as i64 + 1, books.leaves.len() as i64, waiting as i64, books.refusals.len() as i64, newest_ms);
    assert_eq!(head, told, "the head is not what the log says");

    let sql = "SELECT code, capacity, held_back, taken FROM offer_pool WHERE offer_id = $1 ORDER BY code";
    let stored = db.all::<(String, i64, i64, i64)>(sql, args![offer.0]).await.unwrap();
    let number = |count: u64| i64::try_from(count).unwrap();
    let told = books
        .report
        .pools
        .iter()
        .map(|pool| (pool.code.to_string(), number(pool.capacity), number(pool.held_back), number(pool.taken)));
    assert_eq!(stored, told.collect::<Vec<_>>(), "the pools are not what the log says");
    for (code, capacity, held_back, taken) in stored {
        let holding = books.claims.values().filter(|told| told.state.holding());
        let held: i64 = holding.map(|told| i64::from(told.want.of(&code))).sum();
        assert_eq!(taken, held, "taken of pool {code}");
        assert!(taken + held_back <= capacity, "pool {code} has {capacity}, {taken} taken, {held_back} held back");
    }
}

/// The hook's rows are those of the claims, in their states.
async fn compare_things(db: &Db, offer: OfferId) {
    let sql = "SELECT count(*) FROM claim c LEFT JOIN thing t ON t.id = c.id AND t.state = c.state WHERE c.offer_id = $1 AND t.id IS NULL";
    let missing = db.one::<(i64,)>(sql, args![offer.0]).await.unwrap().unwrap();
    assert_eq!(missing.0, 0, "claims without a right row of the shop's");
    let strays = db
        .one::<(i64,)>("SELECT count(*) FROM thing t LEFT JOIN claim c ON c.id = t.id WHERE c.id IS NULL", args![])
        .await;
    assert_eq!(strays.unwrap().unwrap().0, 0, "rows of the shop's without a claim");
}

/// Who follows the events knows every claim in its state.
async fn compare_events(db: &Db, offer: OfferId) {
    let sql = "SELECT payload FROM outbox WHERE key = $1 ORDER BY id";
    let mut told = BTreeMap::new();
    for (payload,) in db.all::<(String,)>(sql, args![offer.to_string()]).await.unwrap() {
        let event: ClaimsDecided = serde_json::from_str(&payload).unwrap();
        for claim in event.claims {
            let before = told.insert(claim.claim_id.0, claim.state);
            assert_eq!(before, claim.was, "an event does not follow the one before");
        }
    }
    let rows =
        db.all::<(Uuid, String)>("SELECT id, state FROM claim WHERE offer_id = $1", args![offer.0]).await.unwrap();
    assert_eq!(told, rows.into_iter().collect(), "the events are not what the claims are");
}
