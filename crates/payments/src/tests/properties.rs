//! Whatever people, parts and providers do, in whatever order: the books are right, and each outcome counts once.

use kernel::contracts::payments::{Payment, RefundPayment};
use kernel::{Role, Won};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use uuid::Uuid;

use super::{Person, Yard, until};

/// Each names one of a few payments.
#[derive(Clone, Debug)]
enum Act {
    Choose(usize, &'static str),
    Confirm(usize),
    Void(usize),
    TakePlace(usize),
    Refund(usize, i64, u8),
    Jobs,
}

const PAYMENTS: usize = 3;
const CASES: u32 = 12;

fn act() -> impl Strategy<Value = Act> {
    let one = 0..PAYMENTS;
    let outcomes = ["approve", "approve", "decline", "late", "twice", "wrong_amount", "unknown"];
    prop_oneof![
        4 => (one.clone(), prop::sample::select(outcomes.to_vec())).prop_map(|(n, outcome)| Act::Choose(n, outcome)),
        6 => one.clone().prop_map(Act::Confirm),
        1 => one.clone().prop_map(Act::Void),
        1 => one.clone().prop_map(Act::TakePlace),
        3 => (one, 1..20_000i64, 0..3u8).prop_map(|(n, won, key)| Act::Refund(n, won, key)),
        1 => Just(Act::Jobs),
    ]
}

async fn play(yard: &Yard, acts: &[Act]) {
    let payer = Person::member();
    let mut payments: Vec<Payment> = Vec::new();
    for _ in 0..PAYMENTS {
        payments.push(yard.opened(&payer, Uuid::now_v7()).await);
    }
    for act in acts {
        // What is refused here is refused rightly: only what came of it is looked at.
        match act {
            Act::Choose(n, outcome) => drop(yard.choose(&payments[*n], outcome).await),
            Act::Confirm(n) => drop(yard.confirm(&payer, &payments[*n]).await),
            Act::Void(n) => drop(yard.void(&payments[*n]).await),
            Act::TakePlace(n) => yard.races.take(&payments[*n], "expired"),
            Act::Refund(n, won, key) => {
                let key = Uuid::from_u128(u128::from(*key) + 1 + payments[*n].payment_id.0.as_u128());
                let reason = "because".to_owned();
                let asked = RefundPayment { key, payment_id: payments[*n].payment_id, amount_won: Won(*won), reason };
                drop(yard.peers.call(&asked).await);
            }
            Act::Jobs => yard.run_jobs().await,
        }
        assert_eq!(crate::ledger::imbalance(&yard.db).await.expect("a sum"), 0);
    }
    let open = "SELECT (SELECT count(*) FROM payment WHERE state = 'confirming' OR void_due = 1)
        + (SELECT count(*) FROM refund WHERE state = 'pending') + (SELECT count(*) FROM webhook WHERE applied_ms IS NULL)";
    until("everything has its outcome", async || {
        yard.run_jobs().await;
        yard.number(open).await == 0
    })
    .await;
    judge(yard, &payments).await;
}

async fn judge(yard: &Yard, payments: &[Payment]) {
    let count = async |sql: &str| yard.number(sql).await;
    let captured = count("SELECT count(*) FROM payment WHERE state = 'captured'").await;
    assert_eq!(count("SELECT count(*) FROM ledger_transfer WHERE kind = 'capture'").await, captured);
    assert_eq!(count("SELECT count(*) FROM outbox WHERE kind = 'payment.captured'").await, captured);
    let done = count("SELECT count(*) FROM refund WHERE state = 'done'").await;
    assert_eq!(count("SELECT count(*) FROM ledger_transfer WHERE kind = 'refund'").await, done);
    assert_eq!(count("SELECT count(*) FROM outbox WHERE kind = 'payment.refunded'").await, done);
    for payment in payments {
        let told = yard.told(payment).await;
        let times = |kind: &str| told.iter().filter(|one| *one == kind).count();
        assert!(times("payment.captured") + times("payment.declined") <= 1, "{told:?}");
        assert!(times("payment.unknown") <= 1, "{told:?}");
    }
    let left =
        "SELECT CAST(coalesce(sum(amount_won - refunded_won), 0) AS bigint) FROM payment WHERE state = 'captured'";
    assert_eq!(yard.balance("payable").await, count(left).await);
    let admin = Person::new(Role::Admin);
    let day = crate::reconcile::day_of(yard.db.clock().now_ms(), 9 * 3_600).to_string();
    let body = json!({ "provider": "sandbox", "day": day });
    let run = yard.post(Some(&admin), "/api/v1/admin/reconciliations", body).await.must(200).body;
    assert_eq!(run["difference_count"], 0, "{run}");
}

#[test]
fn the_books_are_right_whatever_happens() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let played = runner.run(&prop::collection::vec(act(), 1..24), |acts| {
        runtime.block_on(async {
            for yard in Yard::all().await {
                play(&yard, &acts).await;
            }
        });
        Ok(())
    });
    played.expect("true of every sequence");
}
