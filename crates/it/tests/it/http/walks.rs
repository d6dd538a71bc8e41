//! Random walks of registrations: whatever people, organisers, holds and the provider do, in whatever order, no claim
//! makes a move that is none, and each one that moves money moves it once.

use std::time::Duration;

use futures::future::join_all;
use kernel::contracts::Event;
use kernel::contracts::admission::ClaimsDecided;
use kernel::contracts::races::RegistrationChanged;
use platform::db::{Db, DbError, Query, args};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use uuid::Uuid;

use super::race;
use super::registration::address;
use crate::support::app::{App, Person};
use crate::support::site::Site;
use crate::support::wait::until_so;

const RUNNERS: usize = 2;
const FEE_WON: i64 = 30_000;
const BACK_PERCENT: i64 = 70;
/// Walks at the same time, each in a race of its own: mostly they wait for the provider.
const ABREAST: usize = 6;
const WITHIN: Duration = Duration::from_secs(60);
/// Outcomes of the sandbox that take a while take this long.
const QUICK: [(&str, &str); 2] =
    [("MADANG__PAYMENTS__SANDBOX__LATE_MS", "60"), ("MADANG__PAYMENTS__SANDBOX__UNKNOWN_MS", "90")];
/// From nothing to a claim, and from state to state; the wait list is off.
const MOVES: [(Option<&str>, &str); 9] = [
    (None, "held"),
    (Some("held"), "held"),
    (Some("held"), "paying"),
    (Some("held"), "expired"),
    (Some("held"), "cancelled"),
    (Some("paying"), "held"),
    (Some("paying"), "confirmed"),
    (Some("paying"), "failed"),
    (Some("confirmed"), "cancelled"),
];

/// Each by one of the runners, with his newest registration.
#[derive(Clone, Debug)]
enum Act {
    Claim(usize),
    /// What the yard says is next.
    Onward(usize),
    Step(usize, &'static str),
    /// At the provider's page.
    Choose(usize, &'static str),
    Confirm(usize),
    Leave(usize),
    Withdraw(usize),
    HoldsEnd,
    CancelRace,
    /// Until the sagas have ended.
    Rest,
}

fn act() -> impl Strategy<Value = Act> {
    let one = 0..RUNNERS;
    let outcomes = ["approve", "approve", "decline", "late", "twice", "wrong_amount", "unknown"];
    prop_oneof![
        4 => one.clone().prop_map(Act::Claim),
        12 => one.clone().prop_map(Act::Onward),
        4 => (one.clone(), prop::sample::select(vec!["terms", "address", "payment"])).prop_map(|(n, step)| Act::Step(n, step)),
        5 => (one.clone(), prop::sample::select(outcomes.to_vec())).prop_map(|(n, outcome)| Act::Choose(n, outcome)),
        5 => one.clone().prop_map(Act::Confirm),
        2 => one.clone().prop_map(Act::Leave),
        1 => one.prop_map(Act::Withdraw),
        1 => Just(Act::HoldsEnd),
        1 => Just(Act::CancelRace),
        2 => Just(Act::Rest),
    ]
}

/// A race and its runners.
struct Walk<'a> {
    app: &'a App,
    organiser: &'a Person,
    sandbox: &'a Db,
    race: String,
    runners: Vec<Person>,
}

impl Walk<'_> {
    async fn act(&self, act: &Act) {
        // What is refused here is refused rightly: only what came of it is looked at.
        match act {
            Act::Claim(n) => drop(race::claim(self.app, &self.race, &self.runners[*n]).await),
            Act::Onward(n) => self.onward(&self.runners[*n]).await,
            Act::Step(n, step) => self.step(&self.runners[*n], step).await,
            Act::Choose(n, outcome) => self.choose(&self.runners[*n], outcome).await,
            Act::Confirm(n) => self.confirm(&self.runners[*n]).await,
            Act::Leave(n) => {
                let Some(now) = self.newest(&self.runners[*n]).await else { return };
                drop(self.app.delete(path_of(&now)).by(&self.runners[*n]).await);
            }
            Act::Withdraw(n) => {
                let Some(now) = self.newest(&self.runners[*n]).await else { return };
                let path = format!("{}/cancellation", path_of(&now));
                drop(self.app.post(path, json!({ "reason": "기록 위조" })).by(self.organiser).await);
            }
            Act::HoldsEnd => self.end_holds().await,
            Act::CancelRace => {
                let path = format!("{}/cancellation", self.race);
                drop(self.app.post(path, json!({ "reason": "태풍" })).by(self.organiser).await);
            }
            Act::Rest => self.rest().await,
        }
    }

    async fn newest(&self, runner: &Person) -> Option<Value> {
        let mine = self.app.get("/api/v1/registrations").by(runner).await.must(200);
        mine.items().first().cloned()
    }

    async fn onward(&self, runner: &Person) {
        let Some(now) = self.newest(runner).await else {
            return drop(race::claim(self.app, &self.race, runner).await);
        };
        match now["next_step"].as_str() {
            Some("payment") if now["payment"]["state"] == "ready" => {
                self.choose(runner, "approve").await;
                self.confirm(runner).await;
            }
            Some(step) => self.step(runner, step).await,
            None => {}
        }
    }

    async fn step(&self, runner: &Person, step: &str) {
        let Some(now) = self.newest(runner).await else { return };
        let body = match step {
            "terms" => json!({ "agreed": true, "terms_version": 1 }),
            "address" => address(),
            _ => json!({ "provider": "sandbox" }),
        };
        drop(self.app.put(format!("{}/steps/{step}", path_of(&now)), body).by(runner).await);
    }

    async fn choose(&self, runner: &Person, outcome: &str) {
        let Some(id) = self.payment_of(runner).await else { return };
        drop(self.app.post(format!("/api/v1/sandbox/payments/{id}"), json!({ "outcome": outcome })).await);
    }

    async fn confirm(&self, runner: &Person) {
        let Some(id) = self.payment_of(runner).await else { return };
        drop(self.app.post(format!("/api/v1/payments/{id}/confirm"), json!({})).by(runner).await);
    }

    async fn payment_of(&self, runner: &Person) -> Option<String> {
        Some(self.newest(runner).await?["payment"]["id"].as_str()?.to_owned())
    }

    /// The store doubts a clock that runs ahead: holds are made to end long ago, and the yard's own job returns them.
    async fn end_holds(&self) {
        let race = self.id();
        let sql = "UPDATE claim SET hold_until_ms = 1 WHERE state = 'held'
            AND id IN (SELECT id FROM registration WHERE race_id = $1)";
        let ended = self.db("races").write(move |tx| Box::pin(async move { tx.run(sql, args![race]).await })).await;
        Result::<u64, DbError>::unwrap(ended);
    }

    fn id(&self) -> Uuid {
        self.race.rsplit('/').next().unwrap().parse().unwrap()
    }

    fn db(&self, name: &str) -> &Db {
        db(self.app, name)
    }

    async fn number(&self, name: &str, sql: &str) -> i64 {
        number(self.db(name), sql).await
    }

    async fn rest(&self) {
        until_so("everything has come to its end", WITHIN, async || {
            // Somebody's money first, then what hears of it, then what follows from that.
            let coming = "SELECT count(*) FROM sandbox_payment WHERE state = 'processing'";
            let untold = "SELECT count(*) FROM sandbox_delivery WHERE due_ms IS NOT NULL";
            let undecided = "SELECT (SELECT count(*) FROM payment WHERE state = 'confirming' OR void_due = 1)
                + (SELECT count(*) FROM refund WHERE state = 'pending')
                + (SELECT count(*) FROM webhook WHERE applied_ms IS NULL)";
            for sql in [coming, untold] {
                if number(self.sandbox, sql).await > 0 {
                    return false;
                }
            }
            let cancelled =
                "SELECT count(*) FROM claim c JOIN registration r ON r.id = c.id JOIN race ON race.id = r.race_id
                WHERE race.cancelled_ms IS NOT NULL AND c.ended_ms IS NULL";
            let due = "SELECT count(*) FROM claim WHERE state = 'held' AND hold_until_ms = 1";
            let open = "SELECT count(*) FROM saga WHERE state NOT IN ('completed', 'compensated')";
            self.number("payments", undecided).await == 0
                && self.app.yard.settled().await.unwrap()
                && self.number("races", cancelled).await == 0
                && self.number("races", due).await == 0
                && self.number("races", open).await == 0
        })
        .await;
    }

    /// By what was told of them, all claims of the race moved as claims may.
    async fn moves_are_moves(&self) {
        let races = self.db("races");
        let sql = "SELECT id, offer_id FROM race WHERE id = $1";
        let (_, offer) = races.one::<(Uuid, Uuid)>(sql, args![self.id()]).await.unwrap().unwrap();
        let sql = "SELECT payload FROM outbox WHERE kind = $1 AND key = $2 ORDER BY id";
        let told = async |kind: &str| {
            races.all::<(String,)>(sql, args![kind, offer.to_string()]).await.unwrap().into_iter().map(|row| row.0)
        };
        let mut states = std::collections::BTreeMap::new();
        for payload in told(ClaimsDecided::KIND).await {
            for claim in serde_json::from_str::<ClaimsDecided>(&payload).unwrap().claims {
                let (was, is) = (claim.was.as_deref(), claim.state.as_str());
                assert!(MOVES.contains(&(was, is)), "{was:?} became {is}");
                assert_eq!(states.insert(claim.claim_id.0, claim.state.clone()), claim.was, "not from where it was");
            }
        }
        let sql = "SELECT c.id, c.state FROM claim c JOIN registration r ON r.id = c.id WHERE r.race_id = $1";
        let now = races.all::<(Uuid, String)>(sql, args![self.id()]).await.unwrap();
        assert_eq!(states, now.into_iter().collect(), "the last move is where it stands");
        for payload in told(RegistrationChanged::KIND).await {
            let changed: RegistrationChanged = serde_json::from_str(&payload).unwrap();
            assert_eq!(
                changed.bib.is_some(),
                changed.state == "confirmed" || changed.was == "confirmed",
                "{changed:?}"
            );
        }
    }

    /// A capture is one transfer in, a refund one transfer out, and nothing else moves money; what is kept is what the
    /// places that each runner has, or gave up, have cost him.
    async fn money_moved_once(&self) {
        let payments = self.db("payments");
        for runner in &self.runners {
            let user: Uuid = runner.id.parse().unwrap();
            let sums = async |sql: &str| {
                let sums = payments.one::<(i64, i64)>(sql, args![user]).await.unwrap();
                sums.unwrap()
            };
            let of = |kind: &str| {
                format!(
                    "SELECT count(*), CAST(coalesce(sum(amount), 0) AS bigint) FROM ledger_transfer t
                     JOIN payment p ON p.id = t.reference WHERE p.payer_id = $1 AND t.kind {kind}"
                )
            };
            let captured = sums(
                "SELECT count(*), CAST(coalesce(sum(amount_won), 0) AS bigint) FROM payment
                 WHERE payer_id = $1 AND state = 'captured'",
            );
            let refunded = sums(
                "SELECT count(*), CAST(coalesce(sum(r.amount_won), 0) AS bigint) FROM refund r
                 JOIN payment p ON p.id = r.payment_id WHERE p.payer_id = $1 AND r.state = 'done'",
            );
            let (captured, refunded) = (captured.await, refunded.await);
            assert_eq!(sums(&of("= 'capture'")).await, captured, "captures and transfers in");
            assert_eq!(sums(&of("= 'refund'")).await, refunded, "refunds and transfers out");
            assert_eq!(sums(&of("NOT IN ('capture', 'refund')")).await, (0, 0), "other transfers");
            let (kept, due) = (captured.1 - refunded.1, self.due_won(user).await);
            assert_eq!(kept, due, "what was kept of {}'s money", runner.username);
        }
    }

    async fn due_won(&self, user: Uuid) -> i64 {
        let sql = "SELECT c.state || ' ' || coalesce(r.ended_by, '') || CASE WHEN r.confirmed_ms IS NULL THEN '' ELSE ' paid' END,
                CASE WHEN p.terms_version IS NOT NULL AND p.address IS NOT NULL AND p.payment_state = 'captured'
                    AND c.confirm_no IS NOT NULL THEN 1 ELSE 0 END
            FROM claim c JOIN registration r ON r.id = c.id LEFT JOIN registration_progress p ON p.registration_id = c.id
            WHERE c.user_id = $1";
        let rows = self.db("races").all::<(String, i64)>(sql, args![user]).await.unwrap();
        let due = rows.iter().map(|(ended, complete)| match ended.as_str() {
            "confirmed  paid" => {
                assert_eq!(*complete, 1, "confirmed without a step, a payment or a bib");
                FEE_WON
            }
            "cancelled released paid" => FEE_WON - FEE_WON * BACK_PERCENT / 100,
            "cancelled cancelled paid"
            | "cancelled cancelled"
            | "cancelled released"
            | "expired expired"
            | "failed failed"
            | "held " => 0,
            other => panic!("at rest and {other}"),
        });
        due.sum()
    }
}

fn path_of(registration: &Value) -> String {
    format!("/api/v1/registrations/{}", registration["id"].as_str().unwrap())
}

async fn walk(app: &App, organiser: &Person, sandbox: &Db, acts: &[Act]) {
    let rules = json!([{ "until": race::in_s(app, 86_400), "percent": BACK_PERCENT }]);
    // One place for two: whose hold ends may lose it to the other.
    let race = race::open(app, organiser, 1, json!({ "refund_rules": rules })).await;
    let walk = Walk { app, organiser, sandbox, race, runners: app.crowd(RUNNERS) };
    for act in acts {
        walk.act(act).await;
    }
    walk.rest().await;
    walk.moves_are_moves().await;
    walk.money_moved_once().await;
}

fn db<'a>(app: &'a App, name: &str) -> &'a Db {
    app.yard.databases().iter().find(|known| known.name() == name).unwrap()
}

async fn number(db: &Db, sql: &str) -> i64 {
    db.one::<(i64,)>(sql, args![]).await.unwrap().unwrap().0
}

async fn balance(app: &App) -> i64 {
    number(db(app, "payments"), "SELECT CAST(coalesce(sum(balance), 0) AS bigint) FROM ledger_account").await
}

async fn transfers(app: &App, kind: &str) -> i64 {
    number(db(app, "payments"), &format!("SELECT count(*) FROM ledger_transfer WHERE kind = '{kind}'")).await
}

#[test]
fn whatever_happens_a_registration_moves_as_it_may_and_its_money_once() {
    let cases = if std::env::var_os("MADANG_TEST_LONG").is_some() { 150 } else { 5 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let site = Site::sqlite();
    let app = runtime.block_on(App::open(&site, &QUICK));
    let (organiser, sandbox) = runtime.block_on(async { (app.organiser().await.0, site.open("sandbox").await) });
    let walks = prop::collection::vec(prop::collection::vec(act(), 10..40), ABREAST);
    let config = Config { cases, max_shrink_iters: 40, failure_persistence: None, ..Config::default() };
    let walked = TestRunner::new(config).run(&walks, |walks| {
        runtime.block_on(join_all(walks.iter().map(|acts| walk(&app, &organiser, &sandbox, acts))));
        prop_assert_eq!(runtime.block_on(balance(&app)), 0);
        Ok(())
    });
    walked.expect("true of every walk");
    runtime.block_on(async {
        for kind in ["capture", "refund"] {
            assert!(transfers(&app, kind).await > 0, "no walk came as far as a {kind}");
        }
        sandbox.close().await;
        app.end().await;
    });
}
