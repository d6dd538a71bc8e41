//! Money that goes back.

use futures::future::join_all;
use kernel::Won;
use kernel::contracts::payments::{Payment, Refund, RefundPayment};
use uuid::Uuid;

use super::{FEE_WON, Yard, until};

fn back(payment: &Payment, key: Uuid, won: i64) -> RefundPayment {
    RefundPayment { key, payment_id: payment.payment_id, amount_won: Won(won), reason: "cancelled".to_owned() }
}

async fn ask(yard: &Yard, payment: &Payment, key: Uuid, won: i64) -> Refund {
    yard.peers.call(&back(payment, key, won)).await.expect("an answer")
}

#[tokio::test]
async fn a_key_gives_back_once() {
    for yard in Yard::all().await {
        let (_, payment) = yard.paid().await;
        let key = Uuid::now_v7();
        for refund in join_all((0..4).map(|_| ask(&yard, &payment, key, 10_000))).await {
            assert_eq!(refund, Refund::Done { refunded_won: Won(10_000) });
        }
        assert_eq!(yard.now(&payment).await.refunded_won, Won(10_000));
        assert_eq!(yard.balance("payable").await, FEE_WON - 10_000);
        let other = yard.peers.call(&back(&payment, key, 9_999)).await.expect_err("another amount");
        assert_eq!(other.code.code, "payments/refund-key");
        assert_eq!(ask(&yard, &payment, Uuid::now_v7(), 20_000).await, Refund::Done { refunded_won: Won(20_000) });
        assert_eq!(yard.told(&payment).await, ["payment.captured", "payment.refunded", "payment.refunded"]);
        assert_eq!((yard.balance("payable").await, yard.balance("clearing").await), (0, 0));
    }
}

#[tokio::test]
async fn no_more_goes_back_than_came() {
    for yard in Yard::all().await {
        let (_, payment) = yard.paid().await;
        let keys: Vec<Uuid> = (0..5).map(|_| Uuid::now_v7()).collect();
        let answers = join_all(keys.iter().map(|key| ask(&yard, &payment, *key, 9_000))).await;
        let done = answers.iter().filter(|one| matches!(one, Refund::Done { .. })).count();
        assert_eq!(done, 3, "{answers:?}");
        for (key, answer) in keys.iter().zip(&answers) {
            assert_eq!(ask(&yard, &payment, *key, 9_000).await, *answer, "the same answer again");
        }
        let sum = "SELECT CAST(sum(refunded_won) AS bigint) FROM payment";
        assert_eq!(yard.number(sum).await, 27_000);
        assert_eq!(yard.balance("payable").await, FEE_WON - 27_000);
        let beyond = "UPDATE payment SET refunded_won = amount_won + 1";
        assert!(run(&yard, beyond).await.is_err(), "the schema itself refuses it");
    }
}

#[tokio::test]
async fn what_was_not_captured_is_not_given_back() {
    for yard in Yard::all().await {
        let (_, payment) = yard.chosen("approve").await;
        assert!(matches!(ask(&yard, &payment, Uuid::now_v7(), 1).await, Refund::Refused { .. }));
        let nothing = Payment { payment_id: kernel::PaymentId::fresh(), ..payment.clone() };
        assert!(matches!(ask(&yard, &nothing, Uuid::now_v7(), 1).await, Refund::Refused { .. }));
        run(&yard, "UPDATE payment SET state = 'confirming'").await.expect("written");
        assert!(matches!(ask(&yard, &payment, Uuid::now_v7(), 1).await, Refund::Unknown { .. }));
        assert_eq!(yard.number("SELECT count(*) FROM ledger_transfer").await, 0);
    }
}

#[tokio::test]
async fn a_refund_without_an_outcome_is_finished_by_the_job() {
    for yard in Yard::all().await {
        let (_, payment) = yard.paid().await;
        yard.close_sandbox().await;
        let key = Uuid::now_v7();
        assert!(matches!(ask(&yard, &payment, key, FEE_WON).await, Refund::Unknown { .. }));
        assert!(matches!(ask(&yard, &payment, Uuid::now_v7(), 1).await, Refund::Refused { .. }), "all of it is kept");
        yard.open_sandbox().await;
        until("given back", async || {
            yard.run_jobs().await;
            yard.now(&payment).await.refunded_won == Won(FEE_WON)
        })
        .await;
        assert_eq!(ask(&yard, &payment, key, FEE_WON).await, Refund::Done { refunded_won: Won(FEE_WON) });
        assert_eq!(yard.told(&payment).await, ["payment.captured", "payment.refunded"]);
        assert_eq!(yard.balance("clearing").await, 0);
    }
}

async fn run(yard: &Yard, sql: &'static str) -> Result<u64, platform::db::DbError> {
    use platform::db::{Query, args};
    yard.db.write(move |tx| Box::pin(async move { tx.run(sql, args![]).await })).await
}
