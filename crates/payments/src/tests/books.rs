//! The ledger and the comparison of a day.

use kernel::{PaymentId, Role, UserId, Won};
use platform::db::{DbError, Query, args};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{FEE_WON, Person, Yard};
use crate::ledger::{Account, Cause, Transfer, imbalance, post};
use crate::provider::{Named, Order, Provider};
use crate::sandbox::Outcome;

fn capture(payment: u128, won: i64) -> Transfer<'static> {
    Transfer {
        cause: Cause::Capture,
        payment: PaymentId(Uuid::from_u128(payment)),
        debit: Account::Clearing("sandbox"),
        credit: Account::Payable(UserId(Uuid::from_u128(7))),
        amount: Won(won),
    }
}

async fn posted(yard: &Yard, transfers: Vec<Transfer<'static>>) -> Result<usize, DbError> {
    yard.db.write(move |tx| Box::pin(async move { post(tx, &transfers).await })).await
}

async fn run(yard: &Yard, sql: &'static str) {
    let done: Result<u64, DbError> = yard.db.write(move |tx| Box::pin(async move { tx.run(sql, args![]).await })).await;
    done.expect("written");
}

#[tokio::test]
async fn a_cause_moves_money_once() {
    for yard in Yard::all().await {
        assert_eq!(posted(&yard, vec![capture(1, 100), capture(2, 50)]).await.expect("posted"), 2);
        assert_eq!(posted(&yard, vec![capture(2, 50), capture(3, 5)]).await.expect("posted"), 1);
        assert_eq!((yard.balance("payable").await, yard.balance("clearing").await), (155, -155));
        posted(&yard, vec![capture(1, 101), capture(4, 1)]).await.expect_err("another content");
        posted(&yard, vec![capture(5, 0)]).await.expect_err("nothing");
        posted(&yard, vec![capture(5, -1)]).await.expect_err("the wrong way");
        posted(&yard, vec![capture(6, i64::MAX), capture(7, i64::MAX)]).await.expect_err("too much");
        let back = Transfer {
            cause: Cause::Refund(Uuid::now_v7()),
            debit: Account::Payable(UserId(Uuid::from_u128(7))),
            credit: Account::Clearing("sandbox"),
            ..capture(1, 156)
        };
        posted(&yard, vec![back]).await.expect_err("a user's account below zero");
        assert_eq!(yard.balance("payable").await, 155);
        assert_eq!(yard.number("SELECT count(*) FROM ledger_transfer").await, 3);
    }
}

#[tokio::test]
async fn books_that_were_touched_are_found_wrong() {
    for yard in Yard::all().await {
        yard.paid().await;
        for (touch, undo) in [
            (
                "UPDATE ledger_account SET balance = balance + 1 WHERE kind = 'payable'",
                "UPDATE ledger_account SET balance = balance - 1 WHERE kind = 'payable'",
            ),
            ("UPDATE ledger_transfer SET amount = amount + 1", "UPDATE ledger_transfer SET amount = amount - 1"),
        ] {
            run(&yard, touch).await;
            assert!(imbalance(&yard.db).await.expect("a sum") > 0, "{touch}");
            run(&yard, undo).await;
            assert_eq!(imbalance(&yard.db).await.expect("a sum"), 0);
        }
    }
}

/// Compares today.
async fn compare(yard: &Yard, admin: &Person) -> Value {
    let day = crate::reconcile::day_of(yard.db.clock().now_ms(), 9 * 3_600).to_string();
    let body = json!({ "provider": "sandbox", "day": day });
    yard.post(Some(admin), "/api/v1/admin/reconciliations", body).await.must(200).body
}

#[tokio::test]
async fn the_providers_statement_and_ours_agree() {
    for yard in Yard::all().await {
        let admin = Person::new(Role::Admin);
        for _ in 0..3 {
            yard.paid().await;
        }
        let (payer, wrong) = yard.chosen("wrong_amount").await;
        yard.confirm(&payer, &wrong).await.must(200);
        let run = compare(&yard, &admin).await;
        assert_eq!((&run["provider_won"], &run["ledger_won"]), (&json!(3 * FEE_WON), &json!(3 * FEE_WON)));
        assert_eq!((&run["entries"], &run["difference_count"]), (&json!(5), &json!(0)));
        let member = Person::member();
        let body = json!({ "provider": "sandbox" });
        yard.post(Some(&member), "/api/v1/admin/reconciliations", body.clone()).await.fails(403, "auth/role");
        let yesterday = yard.post(Some(&admin), "/api/v1/admin/reconciliations", body).await.must(200).body;
        assert_eq!(yesterday["entries"], 0);
        for (body, status, code) in [
            (json!({ "provider": "toss" }), 422, "payments/provider"),
            (json!({ "provider": "sandbox", "day": "yesterday" }), 422, "http/invalid"),
            (json!({ "provider": "sandbox", "day": "2999-01-01" }), 422, "http/invalid"),
        ] {
            yard.post(Some(&admin), "/api/v1/admin/reconciliations", body).await.fails(status, code);
        }
    }
}

#[tokio::test]
async fn differences_are_listed_the_same_each_time() {
    for yard in Yard::all().await {
        let admin = Person::new(Role::Admin);
        // Captured by the provider for an order that we do not have.
        let order = Order { id: PaymentId::fresh(), amount: Won(700), title: "?".to_owned(), expires_ms: i64::MAX };
        let made = yard.provider.create(&order).await.expect("made");
        yard.provider.choose(&made.key, Outcome::Approve).await.expect("chosen");
        yard.provider.confirm(Named { id: order.id, key: &made.key }, Won(700), None).await.expect("captured");
        // Captured by both, and a part given back on the provider's own page.
        let (_, partly) = yard.paid().await;
        let intent = crate::store::find(&yard.db, partly.payment_id).await.expect("found").expect("there");
        let named = Named { id: intent.id, key: &intent.provider_key };
        yard.provider.cancel(named, "by hand", Won(1_000), "by hand").await.expect("given back");
        // In our ledger alone.
        let (_, ours) = yard.chosen("approve").await;
        posted(&yard, vec![Transfer { payment: ours.payment_id, ..capture(0, 5) }]).await.expect("posted");
        let first = compare(&yard, &admin).await;
        let mut kinds: Vec<_> =
            first["differences"].as_array().expect("a list").iter().map(|one| &one["kind"]).collect();
        kinds.sort_by_key(|kind| kind.to_string());
        assert_eq!(kinds, ["amount", "missing_there", "unknown_here"]);
        let mut second = compare(&yard, &admin).await;
        second["run_at"] = first["run_at"].clone();
        assert_eq!(first, second);
        let list = yard.get(Some(&admin), "/api/v1/admin/reconciliations").await.must(200).body;
        assert_eq!(list["items"].as_array().expect("a list").len(), 1);
        assert_eq!(list["items"][0]["differences"], first["differences"]);
    }
}
