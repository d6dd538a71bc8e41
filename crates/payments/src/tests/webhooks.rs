//! Webhooks that are forged, repeated, out of order, foreign, or lie.

use axum::body::Body;
use axum::http::Request;
use hmac::Mac;
use kernel::contracts::payments::Payment;
use serde_json::json;

use super::{Answer, FEE_WON, KEY, Yard, until};
use crate::signature::{ID, SIGNATURE, TIMESTAMP, WebhookKey, hmac};

const PATH: &str = "/api/v1/payments/webhooks/sandbox";

/// The key both sides make of theirs, made here once more.
fn key() -> WebhookKey {
    WebhookKey::new(hmac(KEY, &[b"madang sandbox webhook"]).finalize().into_bytes().into())
}

async fn provider_key(yard: &Yard, payment: &Payment) -> String {
    crate::store::find(&yard.db, payment.payment_id).await.expect("found").expect("there").provider_key
}

fn saying(key: &str, state: &str) -> String {
    json!({ "type": "payment.changed", "data": { "payment_id": key, "state": state } }).to_string()
}

async fn send(yard: &Yard, id: &str, at_s: i64, signature: &str, body: &str) -> Answer {
    let request = Request::post(PATH).header(ID, id).header(TIMESTAMP, at_s).header(SIGNATURE, signature);
    yard.send(None, request.body(Body::from(body.to_owned())).expect("a request")).await
}

/// As the provider would send it.
async fn signed(yard: &Yard, id: &str, body: &str) -> Answer {
    let at_s = yard.db.clock().now_ms() / 1_000;
    send(yard, id, at_s, &key().sign(id, at_s, body.as_bytes()), body).await
}

#[tokio::test]
async fn what_the_provider_did_not_sign_changes_nothing() {
    for yard in Yard::all().await {
        let (_, payment) = yard.chosen("approve").await;
        let body = saying(&provider_key(&yard, &payment).await, "captured");
        let at_s = yard.db.clock().now_ms() / 1_000;
        let stranger = WebhookKey::new([1; 32]);
        send(&yard, "e1", at_s, &stranger.sign("e1", at_s, body.as_bytes()), &body)
            .await
            .fails(401, "payments/webhook");
        send(&yard, "e1", at_s, "", &body).await.fails(401, "payments/webhook");
        let old_s = at_s - 301;
        send(&yard, "e1", old_s, &key().sign("e1", old_s, body.as_bytes()), &body).await.fails(401, "payments/webhook");
        let good = key().sign("e1", at_s, body.as_bytes());
        send(&yard, "e1", at_s, &good, &body.replace("captured", "declined")).await.fails(401, "payments/webhook");
        send(&yard, "e2", at_s, &good, &body).await.fails(401, "payments/webhook");
        signed(&yard, "e3", "{}").await.fails(401, "payments/webhook");
        send(&yard, "e1", at_s, &good, &"x".repeat(65 * 1_024)).await.fails(413, "http/too-large");
        let elsewhere = yard.post(None, "/api/v1/payments/webhooks/toss", json!({})).await;
        elsewhere.fails(404, "http/not-found");
        assert_eq!(yard.number("SELECT count(*) FROM webhook").await, 0);
        assert_eq!(yard.state(&payment).await, "ready");
    }
}

#[tokio::test]
async fn what_a_webhook_says_does_not_count() {
    for yard in Yard::all().await {
        let (payer, payment) = yard.chosen("approve").await;
        let key = provider_key(&yard, &payment).await;
        signed(&yard, "e1", &saying(&key, "captured")).await.must(204);
        assert_eq!(yard.state(&payment).await, "ready", "the provider knows of no money");
        yard.confirm(&payer, &payment).await.must(200);
        signed(&yard, "e2", &saying(&key, "declined")).await.must(204);
        assert_eq!(yard.state(&payment).await, "captured");
        assert_eq!(yard.told(&payment).await, ["payment.captured"]);
    }
}

#[tokio::test]
async fn repeated_and_foreign_webhooks_are_acknowledged_only() {
    for yard in Yard::all().await {
        let (_, payment) = yard.chosen("late").await;
        let key = provider_key(&yard, &payment).await;
        until("captured", async || yard.state(&payment).await == "captured").await;
        let taken = yard.number("SELECT count(*) FROM webhook").await;
        for _ in 0..3 {
            signed(&yard, "again", &saying(&key, "captured")).await.must(204);
        }
        signed(&yard, "foreign", &saying("sbx_of_somebody_else", "captured")).await.must(204);
        assert_eq!(yard.number("SELECT count(*) FROM webhook WHERE applied_ms IS NOT NULL").await, taken + 2);
        assert_eq!(yard.told(&payment).await, ["payment.captured"]);
        assert_eq!(yard.balance("payable").await, FEE_WON);
    }
}

#[tokio::test]
async fn a_webhook_waits_for_a_provider_that_is_away() {
    for yard in Yard::all().await {
        let (_, payment) = yard.chosen("late").await;
        let key = provider_key(&yard, &payment).await;
        yard.close_sandbox().await;
        signed(&yard, "early", &saying(&key, "captured")).await.must(204);
        assert_eq!(yard.number("SELECT count(*) FROM webhook WHERE applied_ms IS NULL").await, 1);
        yard.open_sandbox().await;
        until("applied", async || {
            yard.run_jobs().await;
            yard.number("SELECT count(*) FROM webhook WHERE applied_ms IS NULL").await == 0
        })
        .await;
        until("captured", async || yard.state(&payment).await == "captured").await;
        assert_eq!(yard.told(&payment).await, ["payment.captured"]);
    }
}
