//! Payments as a client of the yard makes them, in the sandbox that runs beside it.

use std::time::Duration;

use kernel::contracts::payments::{OpenPayment, Payment, SettlePayment, Subject};
use kernel::{UserId, Won};
use serde_json::json;
use uuid::Uuid;

use crate::support::app::{App, Person, yards, yards_with};
use crate::support::wait::until_so;

const FEE_WON: i64 = 30_000;

fn wish(payer: &Person, registration: &str) -> OpenPayment {
    OpenPayment {
        subject: Subject::Registration(registration.parse().unwrap()),
        payer: UserId(payer.id.parse().unwrap()),
        payee: UserId::fresh(),
        amount_won: Won(FEE_WON),
        provider: "sandbox".to_owned(),
        title: "한강 마라톤 10 km".to_owned(),
        expires_ms: 4_000_000_000_000,
    }
}

/// Opens a payment as the registration's part would.
pub async fn open(app: &App, payer: &Person, registration: &str) -> Payment {
    app.yard.peers().call(&wish(payer, registration)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_payers_page_says_what_is_to_be_paid() {
    yards(async |app| {
        let payer = app.member().await;
        let payment = open(app, &payer, &Uuid::now_v7().to_string()).await;
        let path = payment.checkout_url.clone();
        assert_eq!(app.get(path.clone()).await.must(200).number("amount_won"), FEE_WON);
        for outcome in ["approve", "decline", "twice", "wrong_amount", "unknown", "late"] {
            app.post(path.clone(), json!({ "outcome": outcome })).await.must(200);
        }
        // The sandbox takes the late money by itself and tells by a webhook over its own port.
        until_so("the money is there", Duration::from_secs(20), async || {
            let asked = SettlePayment { payment_id: payment.payment_id };
            app.yard.peers().call(&asked).await.unwrap().unwrap().state.as_str() == "captured"
        })
        .await;
        app.post(path, json!({ "outcome": "approve" })).await.problem(409, "payments/decided");
        let seen = app.get(format!("/api/v1/payments/{}", payment.payment_id)).by(&payer).await.must(200);
        assert_eq!(seen.text("state"), "captured");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_sandbox_nothing_can_be_paid_by_it() {
    yards_with(&[("MADANG__PAYMENTS__SANDBOX__ENABLED", "false")], async |app| {
        let payer = app.member().await;
        let id = Uuid::now_v7().to_string();
        let refused = app.yard.peers().call(&wish(&payer, &id)).await.unwrap_err();
        assert_eq!(refused.code.code, "payments/provider");
        let page = format!("/api/v1/sandbox/payments/{id}");
        app.get(page.clone()).await.problem(404, "http/not-found");
        app.post(page, json!({ "outcome": "approve" })).await.problem(404, "http/not-found");
        app.post("/api/v1/payments/webhooks/sandbox", json!({})).await.problem(404, "http/not-found");
    })
    .await;
}
