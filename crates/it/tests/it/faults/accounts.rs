//! The books behind the runners: sagas, places, payments, the ledger and the provider's own statement, all of which
//! must tell the same. Read from the tables, beside the yard that runs on them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use platform::db::{Clock, Db, DbError, DbOptions, Query, args, open};
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::process::{Home, Serving};
use super::runners::{BACK_PERCENT, Ending, FEE_WON, Runners};
use crate::support::site::Site;
use crate::support::wait::until_so;

/// What a restart may take to bring every saga to its end.
const SAGAS_MAX: Duration = Duration::from_secs(30);
/// A payment that no saga waits for may wait for the lease of a job that was killed while it ran.
const JOBS_MAX: Duration = Duration::from_secs(75);
const OPEN_SAGAS: &str = "SELECT name, state || ' ' || step || ': ' || coalesce(last_error, '')
    FROM saga WHERE state NOT IN ('completed', 'compensated') ORDER BY id";

/// Connections for one look; none is open while a yard is killed, so that its restart is like any other.
pub struct Accounts {
    races: Db,
    payments: Db,
    sandbox: Db,
}

struct Claim {
    state: String,
    bib: Option<i64>,
    ended_by: Option<String>,
    was_confirmed: bool,
}

impl Accounts {
    /// `sandbox` is the directory of the provider's file.
    pub async fn open(site: &Site, home: &Home, sandbox: &Path) -> Accounts {
        let options = match site.options() {
            DbOptions::Sqlite { .. } => DbOptions::Sqlite { dir: home.data().to_owned() },
            postgres => postgres.clone(),
        };
        let stranger = DbOptions::Sqlite { dir: sandbox.to_owned() };
        let open = async |name, options| open(name, options, &Clock::default()).await.unwrap();
        Accounts {
            races: open("races", &options).await,
            payments: open("payments", &options).await,
            sandbox: open("sandbox", &stranger).await,
        }
    }

    /// The race gives a part of the fee back. Why here: a rehearsal's race gives nothing, and its sale is open already.
    pub async fn give_back(self) {
        let rules = json!([{ "until_ms": 4_000_000_000_000_i64, "percent": BACK_PERCENT }]).to_string();
        let sql = "UPDATE race SET refund_rules = $1";
        let written = self.races.write(move |tx| Box::pin(async move { tx.run(sql, args![rules]).await })).await;
        assert_eq!(Result::<u64, DbError>::unwrap(written), 1);
        self.close().await;
    }

    async fn close(self) {
        for db in [self.races, self.payments, self.sandbox] {
            db.close().await;
        }
    }

    /// Nobody asks for anything any more: everything comes to its end by itself, and then all the books are right.
    pub async fn settle(self, yard: &Serving, admin: &str, runners: &Runners) {
        self.sagas_end().await;
        until_so("every payment has its outcome", JOBS_MAX, async || self.undecided().await == 0).await;
        // What was decided last may have begun a saga.
        self.sagas_end().await;
        self.ledger_is_right().await;
        self.provider_agrees().await;
        self.everybody_has_his_due(runners).await;
        self.bibs_have_no_gap(runners).await;
        runners.verify(yard).await;
        reconcile(yard, admin).await;
        self.close().await;
    }

    async fn sagas_end(&self) {
        let open = async || self.races.all::<(String, String)>(OPEN_SAGAS, args![]).await.unwrap();
        let deadline = std::time::Instant::now() + SAGAS_MAX;
        loop {
            let left = open().await;
            if left.is_empty() {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "sagas did not end by themselves: {left:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What payments and the provider still owe each other or somebody else a word about.
    async fn undecided(&self) -> i64 {
        let ours = "SELECT (SELECT count(*) FROM payment WHERE state = 'confirming' OR void_due = 1)
            + (SELECT count(*) FROM refund WHERE state = 'pending')
            + (SELECT count(*) FROM webhook WHERE applied_ms IS NULL)";
        let theirs = "SELECT count(*) FROM sandbox_payment WHERE state = 'processing'";
        // Money that a provider took and nobody has noticed.
        let captured = "SELECT count(*) FROM sandbox_payment WHERE state = 'captured'";
        let known = "SELECT count(*) FROM payment WHERE state = 'captured' AND refunded_won < amount_won";
        let unheard = number(&self.sandbox, captured).await - number(&self.payments, known).await;
        number(&self.payments, ours).await + number(&self.sandbox, theirs).await + unheard.abs() + self.untold().await
    }

    /// Events of payments that races has not taken.
    async fn untold(&self) -> i64 {
        if self.payments.kind() == platform::db::Kind::Postgres {
            return number(&self.payments, "SELECT count(*) FROM outbox WHERE sent_ms IS NULL").await;
        }
        let taken = "SELECT coalesce(max(last_id), 0) FROM outbox_cursor WHERE consumer = 'races payments' AND source = 'payments'";
        number(&self.payments, "SELECT coalesce(max(id), 0) FROM outbox").await - number(&self.races, taken).await
    }

    async fn ledger_is_right(&self) {
        let sum = "SELECT CAST(coalesce(sum(balance), 0) AS bigint) FROM ledger_account";
        assert_eq!(number(&self.payments, sum).await, 0, "the ledger does not sum to zero");
        let off = "SELECT count(*) FROM ledger_account a WHERE balance <>
            coalesce((SELECT CAST(sum(CASE WHEN t.credit = a.id THEN t.amount ELSE -t.amount END) AS bigint)
                FROM ledger_transfer t WHERE t.credit = a.id OR t.debit = a.id), 0)";
        assert_eq!(number(&self.payments, off).await, 0, "balances that are not the sum of their transfers");
        for (kind, told) in [
            ("capture", "SELECT id, amount_won FROM payment WHERE state = 'captured'"),
            ("refund", "SELECT payment_id, amount_won FROM refund WHERE state = 'done'"),
        ] {
            let sql = format!("SELECT reference, amount FROM ledger_transfer WHERE kind = '{kind}'");
            let sorted = async |sql: &str| {
                let mut rows = self.payments.all::<(Uuid, i64)>(sql, args![]).await.unwrap();
                rows.sort_unstable();
                rows
            };
            assert_eq!(sorted(&sql).await, sorted(told).await, "one transfer for each {kind}");
        }
    }

    /// Payment by payment what the provider's statement says is what our ledger says.
    async fn provider_agrees(&self) {
        let theirs = "SELECT order_id, CAST(sum(amount_won) AS bigint) FROM sandbox_entry GROUP BY order_id";
        let ours = "SELECT reference, CAST(sum(CASE WHEN kind = 'capture' THEN amount ELSE -amount END) AS bigint)
            FROM ledger_transfer GROUP BY reference";
        let sums = async |db: &Db, sql: &str| {
            let mut rows = db.all::<(Uuid, i64)>(sql, args![]).await.unwrap();
            // A wrong amount that went back whole never was ours.
            rows.retain(|(_, won)| *won != 0);
            rows.into_iter().collect::<BTreeMap<_, _>>()
        };
        assert_eq!(
            sums(&self.sandbox, theirs).await,
            sums(&self.payments, ours).await,
            "the provider's books and ours"
        );
    }

    /// Who paid has a place or his money; who was told of a bib has it unless its end was asked for.
    async fn everybody_has_his_due(&self, runners: &Runners) {
        let sql = "SELECT c.id, c.state, coalesce(r.ended_by, '') FROM claim c JOIN registration r ON r.id = c.id";
        let rows = self.races.all::<(Uuid, String, String)>(sql, args![]).await.unwrap();
        let sql = "SELECT c.id, c.confirm_no, r.confirmed_ms FROM claim c JOIN registration r ON r.id = c.id";
        let numbers = self.races.all::<(Uuid, Option<i64>, Option<i64>)>(sql, args![]).await.unwrap();
        let mut numbers: HashMap<Uuid, _> = numbers.into_iter().map(|(id, bib, ms)| (id, (bib, ms))).collect();
        let claims: HashMap<Uuid, Claim> = rows
            .into_iter()
            .map(|(id, state, by)| {
                let (bib, confirmed_ms) = numbers.remove(&id).unwrap();
                let ended_by = Some(by).filter(|by| !by.is_empty());
                (id, Claim { state, bib, ended_by, was_confirmed: confirmed_ms.is_some() })
            })
            .collect();
        let sql = "SELECT subject_id, CAST(sum(amount_won - refunded_won) AS bigint) FROM payment
            WHERE state = 'captured' GROUP BY subject_id";
        let kept: HashMap<Uuid, i64> =
            self.payments.all::<(Uuid, i64)>(sql, args![]).await.unwrap().into_iter().collect();
        for (id, claim) in &claims {
            let due_won = match (claim.state.as_str(), claim.ended_by.as_deref()) {
                ("confirmed", _) => FEE_WON,
                (_, Some("released")) if claim.was_confirmed => FEE_WON - FEE_WON * BACK_PERCENT / 100,
                ("held" | "cancelled", _) => 0,
                (state, by) => panic!("{id} is {state}, ended by {by:?}"),
            };
            assert_eq!(kept.get(id).copied().unwrap_or(0), due_won, "{id} is {}", claim.state);
        }
        assert!(kept.keys().all(|id| claims.contains_key(id)), "money for registrations that are not there");
        for (ending, memory) in runners.told() {
            let claim = claims.get(&memory.place.unwrap()).expect("a place that somebody was told of");
            let Some(bib) = memory.bib else { continue };
            assert_eq!(claim.bib, Some(bib), "{memory:?}");
            let ended = match ending {
                Ending::Leaves => "released",
                Ending::IsWithdrawn => "cancelled",
                Ending::Stays => "",
            };
            match &claim.ended_by {
                None => assert_eq!(claim.state, "confirmed", "{memory:?} lost his place"),
                Some(by) => assert!(memory.asked_to_end && by == ended, "{memory:?} lost his place: {by}"),
            }
        }
    }

    async fn bibs_have_no_gap(&self, runners: &Runners) {
        let sql = "SELECT confirm_no FROM claim WHERE confirm_no IS NOT NULL ORDER BY confirm_no";
        let bibs: Vec<i64> =
            self.races.all::<(i64,)>(sql, args![]).await.unwrap().into_iter().map(|row| row.0).collect();
        assert_eq!(bibs, (1..).take(bibs.len()).collect::<Vec<_>>(), "a gap or a double");
        let taken = "SELECT CAST(sum(taken) AS bigint) FROM offer_pool";
        let placed = "SELECT count(*) FROM claim WHERE state IN ('held', 'paying', 'confirmed')";
        let (taken, placed) = (number(&self.races, taken).await, number(&self.races, placed).await);
        assert_eq!(taken, placed, "places taken and registrations that have them");
        assert!(placed <= i64::from(runners.capacity), "{placed} have a place of {}", runners.capacity);
    }
}

/// The yard's own comparison of its ledger, its payments and the provider's statement.
async fn reconcile(yard: &Serving, admin: &str) {
    let body = json!({ "provider": "sandbox", "day": today() });
    let answer = yard.post("/api/v1/admin/reconciliations", &body).bearer_auth(admin).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let run: Value = answer.json().await.unwrap();
    assert_eq!(run["difference_count"], 0, "{run}");
}

/// The day in Korea, where a yard is unless it is told otherwise.
fn today() -> String {
    const OFFSET_S: u64 = 9 * 3_600;
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + OFFSET_S;
    kernel::UtcTime(i64::try_from(now_s * 1_000).unwrap()).to_string()[..10].to_owned()
}

async fn number(db: &Db, sql: &str) -> i64 {
    db.one::<(i64,)>(sql, args![]).await.unwrap().unwrap().0
}
