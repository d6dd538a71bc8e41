//! The smallest context that sells: one table beside the claims, filled by its hook.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures::future::join_all;
use kernel::{ClaimId, OfferId, UserId};
use orderlog::{
    ConfirmMode, Eligibility, LogKey, Policy, PoolCode, PoolRule, Receipt, ReturnReason, ReturnTo, Rules, Verified,
    VerifierKey, Want, WantRule, origin,
};
use platform::admission::core::{Decided, Move, MoveBy};
use platform::admission::{
    Admission, ClaimRequest, ClaimView, Claimed, Column, HandChange, Limits, MIGRATION, Mode, OfferKeys, RowSet, Rows,
    log_routes,
};
use platform::db::{Db, Migration};
use platform::http::Problem;
use platform::service::migrate_context;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::site::Site;

/// A tag the schema refuses.
pub const POISON: &str = "poison";
const PREFIX: &str = "/api/v1/things";
const THING: Migration = Migration {
    name: "shop_0001_thing",
    sql: "CREATE TABLE thing (id UUID PRIMARY KEY, tag TEXT NOT NULL CHECK (tag <> 'poison'), state TEXT NOT NULL) STRICT;",
};

/// Patient enough for a crowd on a slow machine.
const PATIENT: Limits = Limits { wait_max: Duration::from_secs(120), queued_max: Duration::from_secs(120) };

struct Things;

impl Rows for Things {
    fn rows(&self, _offer: OfferId, _decided_ms: i64, decided: &[Decided]) -> Vec<RowSet> {
        let (new, old): (Vec<&Decided>, Vec<&Decided>) = decided.iter().partition(|decided| decided.was.is_none());
        let id = |rows: &[&Decided]| ("id", Column::Uuid(rows.iter().map(|row| Some(row.claim.id)).collect()));
        let state = |rows: &[&Decided]| {
            ("state", Column::Text(rows.iter().map(|row| Some(row.claim.state.to_string())).collect()))
        };
        let tag = ("tag", Column::Text(new.iter().map(|row| Some(row.claim.tag.to_string())).collect()));
        vec![
            RowSet { table: "thing", columns: vec![id(&old), state(&old)], mode: Mode::Update { keys: 1 } },
            RowSet { table: "thing", columns: vec![id(&new), tag, state(&new)], mode: Mode::Insert },
        ]
    }
}

/// One process that sells at a site.
#[derive(Clone)]
pub struct Shop {
    pub db: Db,
    pub admission: Admission,
    pub keys: Arc<OfferKeys>,
    pub log: Router,
}

impl Shop {
    pub async fn open(site: &Site) -> Shop {
        Shop::open_with(site, PATIENT).await
    }

    pub async fn open_with(site: &Site, limits: Limits) -> Shop {
        let db = site.open("shop").await;
        migrate_context(&db, &[MIGRATION, THING]).await.unwrap();
        let keys = OfferKeys { log: LogKey::from_seed(&[7; 32]), person_secret: [9; 32], yard: "shop.test".to_owned() };
        let keys = Arc::new(keys);
        let admission = Admission::with_limits(db.clone(), keys.clone(), Arc::new(Things), limits);
        // Here a thing's id is its offer's.
        let log = log_routes(&admission, PREFIX, |id| Box::pin(async move { Ok(Some(OfferId(id))) }));
        Shop { db, admission, keys, log }
    }

    /// Puts an offer up.
    pub async fn sell(&self, rules: Rules) -> OfferId {
        self.try_sell(rules).await.unwrap()
    }

    pub async fn try_sell(&self, rules: Rules) -> Result<OfferId, Problem> {
        let offer = OfferId(rules.offer);
        let admission = self.admission.clone();
        self.db.write(move |tx| Box::pin(async move { admission.create(tx, rules).await })).await?;
        Ok(offer)
    }

    /// One click.
    pub async fn claim(&self, offer: OfferId, user: UserId, want: &str) -> Result<Claimed, Problem> {
        self.admission.claim(offer, self.request(user, want)).await
    }

    /// A click with an idempotency key; `body` stands for what was asked.
    pub async fn claim_keyed(
        &self,
        offer: OfferId,
        user: UserId,
        want: &str,
        key: &str,
        body: u8,
    ) -> Result<Claimed, Problem> {
        let request = ClaimRequest { idem: Some((key.to_owned(), [body; 32])), ..self.request(user, want) };
        self.admission.claim(offer, request).await
    }

    /// All of them at once, answers in the same order.
    pub async fn crowd(&self, offer: OfferId, people: &[UserId], want: &'static str) -> Vec<Result<Claimed, Problem>> {
        let clicks = people.iter().map(|user| {
            let (shop, user) = (self.clone(), *user);
            tokio::spawn(async move { shop.claim(offer, user, want).await })
        });
        join_all(clicks).await.into_iter().map(Result::unwrap).collect()
    }

    pub async fn leave(&self, offer: OfferId, user: UserId, claim: ClaimId) -> Result<ClaimView, Problem> {
        self.admission.act(offer, claim, MoveBy::Owner(user.0), Move::Return(ReturnReason::Released)).await
    }

    pub async fn system(&self, offer: OfferId, claim: ClaimId, mv: Move) -> Result<ClaimView, Problem> {
        self.admission.act(offer, claim, MoveBy::System, mv).await
    }

    pub async fn assign(&self, offer: OfferId, user: UserId, want: &str) -> Result<Claimed, Problem> {
        self.admission.assign(offer, organiser(), "a guest", self.request(user, want), Vec::new()).await
    }

    pub async fn hand(&self, offer: OfferId, change: HandChange) -> Result<platform::admission::OfferView, Problem> {
        self.admission.hand(offer, organiser(), "a test", change).await
    }

    pub async fn view(&self, claim: ClaimId) -> ClaimView {
        self.admission.claim_view(claim).await.unwrap().unwrap()
    }

    pub fn request(&self, user: UserId, want: &str) -> ClaimRequest {
        let tag = "plain".into();
        ClaimRequest { user, want: self::want(want), idem: None, tag, received_ms: self.db.clock().now_ms() }
    }

    /// Reads a receipt as its owner would, and checks it.
    pub fn read_receipt(&self, offer: OfferId, text: &str) -> Receipt {
        let key = self.keys.log.verifier_key(&origin(&self.keys.base(offer), 1));
        let receipt = Receipt::parse(text).unwrap();
        receipt.verify(&VerifierKey::parse(&key).unwrap()).unwrap();
        receipt
    }

    /// Where the log of an offer is served.
    pub fn log_path(&self, offer: OfferId, path: &str) -> String {
        format!("{PREFIX}/{offer}/offer/{path}")
    }

    /// Runs the jobs of the offers until [`Upkeep::stop`].
    pub fn upkeep(&self) -> Upkeep {
        let stop = CancellationToken::new();
        let jobs = self.admission.jobs().into_iter().map(|job| tokio::spawn(job.run(stop.clone()))).collect();
        Upkeep { stop, jobs }
    }
}

/// Running jobs.
pub struct Upkeep {
    stop: CancellationToken,
    jobs: Vec<JoinHandle<()>>,
}

impl Upkeep {
    pub async fn stop(self) {
        self.stop.cancel();
        join_all(self.jobs).await.into_iter().for_each(Result::unwrap);
    }
}

pub fn organiser() -> UserId {
    UserId(Uuid::from_u128(1))
}

pub fn people(count: usize) -> Vec<UserId> {
    std::iter::repeat_with(UserId::fresh).take(count).collect()
}

pub fn want(text: &str) -> Want {
    text.parse().unwrap()
}

/// Rules of an offer that has just opened: pools of one group, of which one is wanted; nobody waits.
pub fn rules(shop: &Shop, pools: &[(&str, u32)]) -> Rules {
    let now_ms = shop.db.clock().now_ms();
    let mut pools: Vec<PoolRule> = pools
        .iter()
        .map(|(code, capacity)| PoolRule {
            code: PoolCode::new(code).unwrap(),
            label: (*code).to_owned(),
            group: "course".to_owned(),
            capacity: *capacity,
            held_back: 0,
        })
        .collect();
    pools.sort_by_key(|pool| pool.code);
    Rules {
        format: 1,
        offer: Uuid::now_v7(),
        opens_ms: now_ms - 1_000,
        closes_ms: now_ms + 3_600_000,
        policy: Policy::FirstCome,
        hold_s: 600,
        waitlist: false,
        waitlist_hold_s: 600,
        line_after_close: false,
        return_to: ReturnTo::Line,
        confirm: ConfirmMode::Later,
        per_person: 1,
        units_max: 1,
        paying_max_s: 1_800,
        refusals_logged_max: 1_000_000,
        eligibility: Eligibility { account_before_ms: None, verified: Verified::None, age_min: None, age_max: None },
        pools,
        want: vec![WantRule { group: "course".to_owned(), min: 1, max: 1 }],
    }
}

/// The code of the problem that an answer must be.
pub fn code<T: std::fmt::Debug>(answer: Result<T, Problem>) -> &'static str {
    answer.unwrap_err().code.code
}

/// The number and the place in the log that a refusal told.
pub fn told(problem: &Problem) -> (Option<u64>, Option<u64>) {
    assert_eq!(problem.code.code, "admission/sold-out", "{problem:?}");
    (problem.get("sequence").unwrap().as_u64(), problem.get("log_index").unwrap().as_u64())
}
