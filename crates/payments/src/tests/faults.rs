//! Every way a payment can go, right and wrong.

use futures::future::join_all;
use kernel::contracts::payments::{OpenPayment, PaymentsOf, SettlePayment};
use kernel::{Role, Won};
use serde_json::json;
use uuid::Uuid;

use super::{FEE_WON, Person, Yard, until, wish};
use crate::provider::{Named, Provider, Standing};

#[tokio::test]
async fn an_approved_payment_is_captured_once() {
    for yard in Yard::all().await {
        let (payer, payment) = yard.chosen("approve").await;
        let first = yard.confirm(&payer, &payment).await.must(200).body;
        assert_eq!((&first["state"], &first["amount_won"]), (&json!("captured"), &json!(FEE_WON)));
        let again = yard.confirm(&payer, &payment).await.must(200).body;
        assert_eq!(first, again);
        let path = format!("/api/v1/payments/{}", payment.payment_id);
        assert_eq!(yard.get(Some(&payer), &path).await.must(200).body, first);
        assert_eq!(yard.told(&payment).await, ["payment.captured"]);
        assert_eq!((yard.balance("clearing").await, yard.balance("payable").await), (-FEE_WON, FEE_WON));
        let standing = yard.peers.call(&wish(&payer, payment.subject.id())).await.expect("an answer");
        assert_eq!(standing, yard.now(&payment).await, "what is paid is not paid again");
    }
}

#[tokio::test]
async fn confirmed_many_times_at_once_it_is_captured_once() {
    for yard in Yard::all().await {
        let (payer, payment) = yard.chosen("approve").await;
        for answer in join_all((0..6).map(|_| yard.confirm(&payer, &payment))).await {
            assert_eq!(answer.must(200).body["state"], "captured");
        }
        assert_eq!(yard.told(&payment).await, ["payment.captured"]);
        assert_eq!(yard.number("SELECT count(*) FROM ledger_transfer").await, 1);
        assert_eq!(yard.balance("clearing").await, -FEE_WON);
    }
}

#[tokio::test]
async fn a_declined_payment_lets_another_be_opened() {
    for yard in Yard::all().await {
        let (payer, payment) = yard.chosen("decline").await;
        let answer = yard.confirm(&payer, &payment).await.must(200).body;
        assert_eq!((&answer["state"], &answer["reason"]), (&json!("declined"), &json!("the payer's bank said no")));
        assert_eq!(yard.told(&payment).await, ["payment.declined"]);
        let next = yard.opened(&payer, payment.subject.id()).await;
        assert_ne!(next.payment_id, payment.payment_id);
        assert_eq!(yard.confirm(&payer, &next).await.must(200).body["reason"], "the payer did not pay");
        assert_eq!(yard.number("SELECT count(*) FROM ledger_transfer").await, 0);
    }
}

#[tokio::test]
async fn what_is_reported_twice_counts_once() {
    for yard in Yard::all().await {
        let (payer, payment) = yard.chosen("twice").await;
        assert_eq!(yard.confirm(&payer, &payment).await.must(200).body["state"], "captured");
        let taken = "SELECT count(*) FROM webhook WHERE applied_ms IS NOT NULL";
        until("both webhooks are taken", async || yard.number(taken).await == 2).await;
        assert_eq!(yard.told(&payment).await, ["payment.captured"]);
        assert_eq!(yard.balance("payable").await, FEE_WON);
    }
}

#[tokio::test]
async fn a_late_provider_is_waited_for() {
    for yard in Yard::all().await {
        let (payer, payment) = yard.chosen("late").await;
        assert_eq!(yard.confirm(&payer, &payment).await.must(200).body["state"], "confirming");
        // No job runs: the webhook alone brings the money to light.
        until("captured", async || yard.state(&payment).await == "captured").await;
        assert_eq!(yard.told(&payment).await, ["payment.unknown", "payment.captured"]);
        assert_eq!(yard.confirm(&payer, &payment).await.must(200).body["state"], "captured");
        assert_eq!(yard.balance("payable").await, FEE_WON);
    }
}

#[tokio::test]
async fn money_that_comes_after_the_end_is_recorded_and_told() {
    for yard in Yard::all().await {
        let (payer, payment) = yard.chosen("late").await;
        assert_eq!(yard.void(&payment).await.expect("a payment").state.as_str(), "voided");
        yard.confirm(&payer, &payment).await.fails(409, "payments/expired");
        until("captured", async || yard.state(&payment).await == "captured").await;
        assert_eq!(yard.told(&payment).await, ["payment.captured"]);
        assert_eq!(yard.balance("payable").await, FEE_WON);
    }
}

#[tokio::test]
async fn a_wrong_amount_goes_back() {
    for yard in Yard::all().await {
        let (payer, payment) = yard.chosen("wrong_amount").await;
        let answer = yard.confirm(&payer, &payment).await.must(200).body;
        assert_eq!((&answer["state"], &answer["reason"]), (&json!("declined"), &json!("wrong_amount")));
        let intent = crate::store::find(&yard.db, payment.payment_id).await.expect("found").expect("there");
        let named = Named { id: intent.id, key: &intent.provider_key };
        let there = yard.provider.fetch(named).await.expect("the provider's word");
        assert_eq!((there.standing, there.captured), (Standing::Closed, there.cancelled));
        assert_eq!(there.captured, Won(FEE_WON + 1_000));
        assert_eq!(yard.told(&payment).await, ["payment.declined"]);
        assert_eq!(yard.number("SELECT count(*) FROM ledger_transfer").await, 0);
    }
}

#[tokio::test]
async fn a_provider_that_does_not_say_is_asked_until_it_does() {
    for yard in Yard::all().await {
        for (choice, end) in [("approve", "captured"), ("decline", "declined")] {
            let (payer, payment) = yard.chosen(choice).await;
            yard.choose(&payment, "unknown").await.must(200);
            assert_eq!(yard.confirm(&payer, &payment).await.must(200).body["state"], "confirming");
            assert_eq!(yard.confirm(&payer, &payment).await.must(200).body["state"], "confirming");
            yard.choose(&payment, "approve").await.fails(409, "payments/decided");
            let asked = SettlePayment { payment_id: payment.payment_id };
            until(end, async || {
                yard.peers.call(&asked).await.expect("an answer").expect("a payment").state.as_str() == end
            })
            .await;
            let told = ["payment.unknown".to_owned(), format!("payment.{end}")];
            assert_eq!(yard.told(&payment).await, told);
        }
        assert_eq!(yard.balance("payable").await, FEE_WON);
    }
}

#[tokio::test]
async fn a_provider_that_is_away_is_asked_again() {
    for yard in Yard::all().await {
        let (payer, payment) = yard.chosen("approve").await;
        yard.close_sandbox().await;
        let answer = yard.confirm(&payer, &payment).await.fails(503, "payments/provider-away");
        assert!(answer.headers.contains_key("retry-after"));
        assert_eq!(yard.state(&payment).await, "confirming");
        let fresh = wish(&payer, Uuid::now_v7());
        let refused = yard.peers.call(&fresh).await.expect_err("no provider");
        assert_eq!(refused.code.code, "payments/provider-away");
        yard.open_sandbox().await;
        yard.until_state(&payment, "captured").await;
        assert_eq!(yard.told(&payment).await, ["payment.unknown", "payment.captured"]);
    }
}

#[tokio::test]
async fn the_sandbox_goes_on_after_a_restart() {
    for yard in Yard::all().await {
        let (_, payment) = yard.chosen("late").await;
        yard.close_sandbox().await;
        assert_eq!(yard.state(&payment).await, "ready");
        yard.open_sandbox().await;
        until("captured by its webhook", async || yard.state(&payment).await == "captured").await;
    }
}

/// In a yard of one process the port is a free one, and another after each start.
#[tokio::test]
async fn what_was_paid_while_the_yard_was_down_is_told_on_its_next_port() {
    for yard in Yard::all().await {
        yard.chosen("late").await;
        yard.close_sandbox().await;
        let heard = async || yard.number("SELECT count(*) FROM webhook").await;
        assert_eq!(heard().await, 0);
        yard.open_sandbox_at(0).await;
        until("the webhook came", async || heard().await == 1).await;
    }
}

#[tokio::test]
async fn nothing_is_captured_for_a_place_that_is_gone() {
    for yard in Yard::all().await {
        let (payer, payment) = yard.chosen("approve").await;
        yard.races.take(&payment, "expired");
        for _ in 0..2 {
            let answer = yard.confirm(&payer, &payment).await.fails(409, "payments/expired");
            assert_eq!((&answer.body["state"], &answer.body["next_step"]), (&json!("expired"), &json!("claim_again")));
        }
        let open = "SELECT count(*) FROM payment WHERE void_due = 1";
        until("closed at the provider", async || {
            yard.run_jobs().await;
            yard.number(open).await == 0
        })
        .await;
        yard.choose(&payment, "approve").await.fails(409, "payments/decided");
        assert_eq!(yard.number("SELECT count(*) FROM ledger_transfer").await, 0);
        assert!(yard.told(&payment).await.is_empty());
    }
}

#[tokio::test]
async fn a_crash_before_the_outcome_is_settled_by_the_job() {
    for yard in Yard::all().await {
        let (_, before) = yard.chosen("approve").await;
        let (_, after) = yard.chosen("approve").await;
        let intent = crate::store::find(&yard.db, after.payment_id).await.expect("found").expect("there");
        // The one stopped before the provider heard of it, the other after.
        let named = Named { id: intent.id, key: &intent.provider_key };
        let confirmed = "UPDATE payment SET state = 'confirming'";
        platform_write(&yard, confirmed).await;
        yard.provider.confirm(named, intent.amount, None).await.expect("captured there");
        for payment in [&before, &after] {
            yard.until_state(payment, "captured").await;
            assert_eq!(yard.told(payment).await, ["payment.captured"]);
        }
        assert_eq!(yard.balance("payable").await, 2 * FEE_WON);
    }
}

async fn platform_write(yard: &Yard, sql: &'static str) {
    use platform::db::{DbError, Query, args};
    let done = yard.db.write(move |tx| Box::pin(async move { tx.run(sql, args![]).await }));
    Result::<u64, DbError>::expect(done.await, "written");
}

#[tokio::test]
async fn a_payment_nobody_makes_expires() {
    for yard in Yard::all().await {
        let payer = Person::member();
        let asked = OpenPayment { expires_ms: 1_000, ..wish(&payer, Uuid::now_v7()) };
        let payment = yard.peers.call(&asked).await.expect("it opens");
        yard.choose(&payment, "approve").await.fails(409, "payments/decided");
        yard.until_state(&payment, "expired").await;
        yard.confirm(&payer, &payment).await.fails(409, "payments/expired");
        assert!(yard.told(&payment).await.is_empty());
    }
}

#[tokio::test]
async fn one_intent_is_open_at_a_time() {
    for yard in Yard::all().await {
        let (payer, registration) = (Person::member(), Uuid::now_v7());
        let asked = wish(&payer, registration);
        let opened = join_all((0..4).map(|_| yard.peers.call(&asked))).await;
        let ids: Vec<_> = opened.into_iter().map(|one| one.expect("it opens").payment_id).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        let dearer = OpenPayment { amount_won: Won(FEE_WON + 1), ..asked.clone() };
        let next = yard.peers.call(&dearer).await.expect("it is replaced");
        assert_ne!(next.payment_id, ids[0]);
        assert_eq!(yard.number("SELECT count(*) FROM payment WHERE state = 'voided'").await, 1);
        let unknown = OpenPayment { provider: "toss".to_owned(), ..asked.clone() };
        assert_eq!(yard.peers.call(&unknown).await.expect_err("not offered").code.code, "payments/provider");
        let free = OpenPayment { amount_won: Won(0), ..asked };
        assert_eq!(yard.peers.call(&free).await.expect_err("nothing to pay").code.code, "http/invalid");
        let none = PaymentsOf { subjects: Vec::new() };
        assert!(yard.peers.call(&none).await.expect("an answer").is_empty());
    }
}

#[tokio::test]
async fn a_payment_is_its_payers() {
    for yard in Yard::all().await {
        let (payer, payment) = yard.chosen("approve").await;
        let stranger = Person::member();
        yard.confirm(&stranger, &payment).await.fails(404, "http/not-found");
        let path = format!("/api/v1/payments/{}", payment.payment_id);
        yard.get(Some(&stranger), &path).await.fails(404, "http/not-found");
        yard.get(None, &path).await.fails(401, "auth/required");
        yard.get(Some(&Person::new(Role::Manager)), &path).await.must(200);
        yard.confirm(&Person::new(Role::Admin), &payment).await.fails(404, "http/not-found");
        let confirm = format!("{path}/confirm");
        for body in [
            json!({ "amount_won": 1 }),
            json!({ "state": "captured" }),
            json!({ "provider_payload": { "amount_won": 1 } }),
            json!({ "provider_payload": { "payment_key": "" } }),
        ] {
            yard.post(Some(&payer), &confirm, body).await.fails(422, "http/invalid");
        }
        yard.post(None, &payment.checkout_url, json!({ "outcome": "free" })).await.fails(422, "http/invalid");
        assert_eq!(yard.state(&payment).await, "ready");
        let page = yard.get(None, &payment.checkout_url).await.must(200).body;
        assert_eq!((&page["amount_won"], &page["state"]), (&json!(FEE_WON), &json!("ready")));
        let nothing = format!("/api/v1/sandbox/payments/{}", Uuid::now_v7());
        yard.get(None, &nothing).await.fails(404, "http/not-found");
    }
}
