//! Roles, applications and suspensions.

use serde_json::{Value, json};

use crate::http::race::{self, redacted};
use crate::support::app::{Answer, App, PASSWORD, Person, yards};

const ME: &str = "/api/v1/users/me";
const APPLICATIONS: &str = "/api/v1/company-applications";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn approval_counts_from_the_next_refresh_and_ends_the_old_token() {
    yards(async |app| {
        let admin = app.admin().await;
        let applicant = app.member().await;
        app.post("/api/v1/races", race::body(app, 5, json!({}))).by(&applicant).await.problem(403, "auth/role");
        let application = apply(app, &applicant).await.must(201);
        let mut shown = redacted(&application.body);
        shown["username"] = json!("[username]");
        insta::allow_duplicates! {
            insta::assert_json_snapshot!(shown, @r#"
            {
              "created_at": "[time]",
              "decided_at": null,
              "description": "매주 달립니다",
              "id": "[id]",
              "name": "한강러닝클럽",
              "reason": null,
              "state": "pending",
              "user_id": "[id]",
              "username": "[username]"
            }
            "#);
        }
        apply(app, &applicant).await.problem(409, "identity/application-open");
        let id = application.text("id");
        let pending = app.get(format!("{APPLICATIONS}?state=pending")).by(&admin).await.must(200);
        assert_eq!(pending.items()[0]["id"], id.as_str());

        let decided = decide(app, &admin, &id, json!({ "decision": "approved" })).await.must(200);
        assert_eq!(decided.text("state"), "approved");
        app.get(ME).by(&applicant).await.problem(401, "auth/revoked");
        let organiser = app.refreshed(&applicant).await;
        assert_eq!(app.get(ME).by(&organiser).await.must(200).text("role"), "company");
        race::make(app, &organiser, 5, json!({})).await;

        decide(app, &admin, &id, json!({ "decision": "approved" })).await.must(200);
        app.get(ME).by(&organiser).await.must(200);
        let other = decide(app, &admin, &id, json!({ "decision": "rejected" })).await;
        assert_eq!(other.problem(409, "identity/application-decided").text("state"), "approved");
        apply(app, &organiser).await.problem(409, "identity/not-a-member");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_rejected_reads_why_and_may_apply_again() {
    yards(async |app| {
        let admin = app.admin().await;
        let applicant = app.member().await;
        let id = apply(app, &applicant).await.must(201).text("id");
        decide(app, &admin, &id, json!({ "decision": "rejected", "reason": "서류가 부족합니다" })).await.must(200);
        let mine = app.get("/api/v1/users/me/company-applications").by(&applicant).await.must(200);
        assert_eq!(mine.items()[0]["state"], "rejected");
        assert_eq!(mine.items()[0]["reason"], "서류가 부족합니다");
        apply(app, &applicant).await.must(201);
        for bad in [json!({}), json!({ "decision": "maybe" }), json!({ "decision": "approved", "reason": "" })] {
            decide(app, &admin, &id, bad).await.problem(422, "http/invalid");
        }
        let nobodys = "0190b2a4-0000-7000-8000-000000000000";
        decide(app, &admin, nobodys, json!({ "decision": "approved" })).await.problem(404, "http/not-found");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_is_sent_once_under_a_key() {
    yards(async |app| {
        let applicant = app.member().await;
        let send = |key: &str, name: &str| {
            let body = json!({ "name": name, "description": "달립니다" });
            app.post(APPLICATIONS, body).by(&applicant).header("idempotency-key", key)
        };
        let first = send("k-1", "한강").await.must(201);
        assert_eq!(send("k-1", "한강").await.must(201).body, first.body);
        send("k-1", "금강").await.problem(422, "idempotency/mismatch");
        send("k-2", "한강").await.problem(409, "identity/application-open");
        let mine = app.get("/api/v1/users/me/company-applications").by(&applicant).await.must(200);
        assert_eq!(mine.items().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_come_from_admins_and_never_from_oneself() {
    yards(async |app| {
        let admin = app.admin().await;
        let member = app.member().await;
        let give =
            |person: &Person, role: &str| app.put(format!("/api/v1/users/{}/role", person.id), json!({ "role": role }));
        give(&admin, "member").by(&admin).await.problem(403, "identity/own-account");
        give(&member, "king").by(&admin).await.problem(422, "http/invalid");
        let given = give(&member, "manager").by(&admin).header("if-match", "1").await.must(200);
        assert_eq!(given.text("role"), "manager");
        give(&member, "company").by(&admin).header("if-match", "1").await.problem(412, "http/version");

        app.get(ME).by(&member).await.problem(401, "auth/revoked");
        let manager = app.refreshed(&member).await;
        give(&admin, "member").by(&manager).await.problem(403, "auth/role");
        // The role is back at member: the token that says manager does not count any more.
        give(&manager, "member").by(&admin).await.must(200);
        app.get("/api/v1/users").by(&manager).await.problem(401, "auth/revoked");
        let member = app.refreshed(&manager).await;
        app.get("/api/v1/users").by(&member).await.problem(403, "auth/role");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_ends_every_sign_in_at_once() {
    yards(async |app| {
        let admin = app.admin().await;
        let (manager, colleague) = (app.in_role(&admin, "manager").await, app.in_role(&admin, "manager").await);
        let member = app.member().await;
        let elsewhere = app.signed_in(&member.username).await;
        let ban = |person: &Person, body: Value| app.put(format!("/api/v1/users/{}/ban", person.id), body);
        let banned = || json!({ "banned": true, "reason": "spam" });

        ban(&member, json!({ "banned": true })).by(&manager).await.wrong_field("reason");
        ban(&manager, banned()).by(&manager).await.problem(403, "identity/own-account");
        ban(&colleague, banned()).by(&manager).await.problem(403, "identity/rank");
        ban(&admin, banned()).by(&manager).await.problem(403, "identity/rank");

        let answer = ban(&member, banned()).by(&manager).await.must(200);
        assert_eq!((answer.text("state"), answer.text("ban_reason")), ("banned".to_owned(), "spam".to_owned()));
        for token in [&member, &elsewhere] {
            app.get(ME).by(token).await.problem(401, "auth/revoked");
            let refresh = json!({ "refresh_token": token.refresh });
            app.post("/api/v1/auth/refresh", refresh).await.problem(401, "auth/invalid");
        }
        app.login(&member.username, PASSWORD).await.problem(403, "identity/banned");
        // Only who knows the password hears of the ban.
        app.login(&member.username, "a wrong password").await.problem(401, "identity/credentials");

        ban(&member, json!({ "banned": false })).by(&manager).await.must(200);
        let again = app.signed_in(&member.username).await;
        app.get(ME).by(&again).await.must(200);
        app.get(ME).by(&member).await.problem(401, "auth/revoked");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_ends_somebodys_sign_ins() {
    yards(async |app| {
        let (admin, member) = (app.admin().await, app.member().await);
        let path = format!("/api/v1/users/{}/sessions", member.id);
        app.delete(path.clone()).by(&admin).await.must(204);
        app.get(ME).by(&member).await.problem(401, "auth/revoked");
        app.signed_in(&member.username).await;
        app.delete(path.replace(&member.id, "0190b2a4-0000-7000-8000-000000000000"))
            .by(&admin)
            .await
            .problem(404, "http/not-found");
    })
    .await;
}

async fn apply(app: &App, person: &Person) -> Answer {
    let body = json!({ "name": "한강러닝클럽", "description": "매주 달립니다" });
    app.post(APPLICATIONS, body).by(person).await
}

async fn decide(app: &App, admin: &Person, id: &str, body: Value) -> Answer {
    app.put(format!("{APPLICATIONS}/{id}/decision"), body).by(admin).await
}
