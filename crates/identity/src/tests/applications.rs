//! From member to organiser.

use axum::http::Method;
use futures::future::join_all;
use serde_json::json;

use super::{Answer, Yard, request, tokens};

const APPLICATIONS: &str = "/api/v1/company-applications";

async fn apply(yard: &Yard, access: &str, key: Option<&str>, name: &str) -> Answer {
    let body = json!({"name": name, "description": "We run by the river."});
    let headers: Vec<(&str, &str)> = key.map(|key| ("idempotency-key", key)).into_iter().collect();
    yard.send(request(Method::POST, APPLICATIONS, Some(access), Some(body), &headers)).await
}

#[tokio::test]
async fn approval_makes_an_organiser_with_the_next_refresh() {
    for yard in Yard::all().await {
        let (_, admin) = yard.admin("operator").await;
        let (user_id, mine) = yard.member("haneul01").await;
        let sent = apply(&yard, &mine.access, None, "한강러닝클럽").await.must(201);
        assert_eq!((&sent.body["state"], &sent.body["user_id"]), (&json!("pending"), &json!(user_id)));
        let decision = format!("{APPLICATIONS}/{}/decision", sent.text("id"));
        yard.put(&decision, &mine.access, json!({"decision": "approved"})).await.must(403);
        yard.put(&decision, &admin.access, json!({"decision": "pending"})).await.must(422);

        let decided = yard.put(&decision, &admin.access, json!({"decision": "approved"})).await.must(200);
        assert_eq!(decided.body["state"], "approved");
        assert_eq!(yard.get("/api/v1/users/me", &mine.access).await.must(401).code(), "auth/revoked");
        let mine = tokens(&yard.refresh(&mine.refresh).await.must(200));
        assert_eq!(yard.get("/api/v1/users/me", &mine.access).await.must(200).body["role"], "company");

        let again =
            yard.put(&decision, &admin.access, json!({"decision": "approved", "reason": "again"})).await.must(200);
        assert_eq!(again.body, decided.body);
        let other = yard.put(&decision, &admin.access, json!({"decision": "rejected"})).await.must(409);
        assert_eq!((other.code(), &other.body["state"]), ("identity/application-decided", &json!("approved")));
        yard.get("/api/v1/users/me", &mine.access).await.must(200);
        assert_eq!(apply(&yard, &mine.access, None, "another").await.must(409).code(), "identity/not-a-member");
        assert_eq!(yard.events("company_application.decided").await.len(), 1);
        assert_eq!(yard.events("user.role_changed").await, [json!({"user_id": user_id, "role": "company"})]);
    }
}

#[tokio::test]
async fn who_was_rejected_may_apply_again() {
    for yard in Yard::all().await {
        let (_, admin) = yard.admin("operator").await;
        let (_, mine) = yard.member("haneul01").await;
        let first = apply(&yard, &mine.access, None, "한강").await.must(201).text("id");
        let open = apply(&yard, &mine.access, None, "한강").await.must(409);
        assert_eq!((open.code(), open.text("id")), ("identity/application-open", first.clone()));
        let body = json!({"decision": "rejected", "reason": "Tell us more."});
        yard.put(&format!("{APPLICATIONS}/{first}/decision"), &admin.access, body).await.must(200);
        yard.get("/api/v1/users/me", &mine.access).await.must(200);
        let second = apply(&yard, &mine.access, None, "한강").await.must(201).text("id");

        let list = yard.get("/api/v1/users/me/company-applications", &mine.access).await.must(200).body;
        assert_eq!((&list["items"][0]["id"], &list["items"][1]["reason"]), (&json!(second), &json!("Tell us more.")));
        let (_, other) = yard.member("somebody").await;
        let list = yard.get("/api/v1/users/me/company-applications", &other.access).await.must(200).body;
        assert_eq!(list["items"], json!([]));
        yard.get(APPLICATIONS, &mine.access).await.must(403);
        let open = yard.get(&format!("{APPLICATIONS}?state=pending"), &admin.access).await.must(200).body;
        assert_eq!(open["items"].as_array().map(Vec::len), Some(1));
        assert_eq!(open["items"][0]["id"], json!(second));
    }
}

#[tokio::test]
async fn the_same_key_gets_the_same_answer() {
    for yard in Yard::all().await {
        let (_, mine) = yard.member("haneul01").await;
        let answers = join_all((0..4).map(|_| apply(&yard, &mine.access, Some("k-1"), "한강"))).await;
        for answer in &answers {
            assert_eq!((answer.status.as_u16(), &answer.body), (201, &answers[0].body));
        }
        assert_eq!(yard.count("company_application").await, 1);
        let other = apply(&yard, &mine.access, Some("k-1"), "다른 이름").await.must(422);
        assert_eq!(other.code(), "idempotency/mismatch");
        let (_, somebody) = yard.member("somebody").await;
        let theirs = apply(&yard, &somebody.access, Some("k-1"), "한강").await.must(201);
        assert_ne!(theirs.body["id"], answers[0].body["id"]);
    }
}
