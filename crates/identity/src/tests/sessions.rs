//! Signing in, going on, and ending.

use axum::http::Method;
use futures::future::join_all;
use serde_json::json;
use uuid::Uuid;

use super::{PASSWORD, Yard, request, tokens};
use crate::Config;

const ME: &str = "/api/v1/users/me";
const SESSIONS: &str = "/api/v1/users/me/sessions";

#[tokio::test]
async fn a_refresh_token_works_once_and_its_second_use_ends_the_session() {
    for yard in Yard::all().await {
        let (_, first) = yard.member("haneul01").await;
        let other = yard.login("haneul01").await;
        let second = tokens(&yard.refresh(&first.refresh).await.must(200));
        assert_ne!(first.refresh, second.refresh);
        yard.get(ME, &first.access).await.must(200);
        yard.get(ME, &second.access).await.must(200);

        let answer = yard.refresh(&first.refresh).await.must(401);
        assert_eq!(answer.code(), "auth/invalid");
        for access in [&first.access, &second.access] {
            assert_eq!(yard.get(ME, access).await.must(401).code(), "auth/revoked");
        }
        assert_eq!(yard.refresh(&second.refresh).await.must(401).code(), "auth/invalid");
        yard.get(ME, &other.access).await.must(200);
        yard.refresh(&other.refresh).await.must(200);
    }
}

#[tokio::test]
async fn of_many_refreshes_at_once_one_wins_and_the_session_ends() {
    for yard in Yard::all().await {
        let (_, first) = yard.member("haneul01").await;
        let answers = join_all((0..5).map(|_| yard.refresh(&first.refresh))).await;
        let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).map(tokens).collect();
        assert_eq!(won.len(), 1);
        assert!(answers.iter().all(|answer| answer.status == 200 || answer.code() == "auth/invalid"));
        yard.refresh(&won[0].refresh).await.must(401);
        assert_eq!(yard.get(ME, &won[0].access).await.must(401).code(), "auth/revoked");
    }
}

#[tokio::test]
async fn one_kind_of_token_is_not_the_other() {
    for yard in Yard::all().await {
        let (_, mine) = yard.member("haneul01").await;
        assert_eq!(yard.get(ME, &mine.refresh).await.must(401).code(), "auth/invalid");
        yard.refresh(&"a".repeat(43)).await.must(401);
        yard.refresh("").await.must(401);
        // A JWT is longer than any refresh token.
        yard.refresh(&mine.access).await.must(422);
        yard.refresh(&mine.access[..200]).await.must(401);
        yard.get(ME, &mine.access).await.must(200);
    }
}

#[tokio::test]
async fn an_expired_refresh_token_says_so_and_is_cleared_away() {
    for yard in Yard::all_with(Config { refresh_token_s: 0, ..Config::default() }).await {
        let (_, mine) = yard.member("haneul01").await;
        assert_eq!(yard.refresh(&mine.refresh).await.must(401).code(), "auth/expired");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while yard.count("session").await > 0 || yard.count("refresh_token").await > 0 {
            assert!(std::time::Instant::now() < deadline, "expired sessions stay");
            yard.run_jobs().await;
        }
        assert_eq!(yard.refresh(&mine.refresh).await.must(401).code(), "auth/invalid");
        assert_eq!(yard.count("account").await, 1);
    }
}

#[tokio::test]
async fn logging_out_ends_the_callers_session_and_no_other() {
    for yard in Yard::all().await {
        let (_, one) = yard.member("haneul01").await;
        let other = yard.login("haneul01").await;
        let answer = yard.call(Method::POST, "/api/v1/auth/logout", Some(&one.access), None).await.must(204);
        assert!(answer.body.is_null());
        assert_eq!(yard.get(ME, &one.access).await.must(401).code(), "auth/revoked");
        assert_eq!(yard.refresh(&one.refresh).await.must(401).code(), "auth/invalid");
        yard.get(ME, &other.access).await.must(200);
        yard.call(Method::POST, "/api/v1/auth/logout", None, None).await.must(401);
    }
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_their_owner() {
    for yard in Yard::all().await {
        let (_, stranger) = yard.member("stranger").await;
        yard.sign_up("haneul01").await.must(201);
        let login = json!({"username": "haneul01", "password": PASSWORD});
        let phone = request(Method::POST, "/api/v1/auth/login", None, Some(login), &[("user-agent", "phone")]);
        let phone = tokens(&yard.send(phone).await.must(200));
        let here = yard.login("haneul01").await;
        let third = yard.login("haneul01").await;
        let page = yard.get(&format!("{SESSIONS}?limit=2"), &here.access).await.must(200).body;
        assert_eq!(page["items"].as_array().map(Vec::len), Some(2));
        assert_eq!(page["items"][1]["current"], true);
        let cursor = page["next_cursor"].as_str().expect("a further page");
        let rest = yard.get(&format!("{SESSIONS}?cursor={cursor}"), &here.access).await.must(200).body;
        assert_eq!((&rest["items"][0]["user_agent"], &rest["next_cursor"]), (&json!("phone"), &json!(null)));
        let phone_session = rest["items"][0]["id"].as_str().expect("an id");

        yard.delete(&format!("{SESSIONS}/{phone_session}"), &stranger.access).await.must(404);
        yard.delete(&format!("{SESSIONS}/{}", Uuid::now_v7()), &here.access).await.must(404);
        yard.delete(&format!("{SESSIONS}/nonsense"), &here.access).await.must(404);
        yard.get(ME, &phone.access).await.must(200);
        yard.delete(&format!("{SESSIONS}/{phone_session}"), &here.access).await.must(204);
        yard.delete(&format!("{SESSIONS}/{phone_session}"), &here.access).await.must(404);
        yard.get(ME, &phone.access).await.must(401);

        yard.delete(SESSIONS, &here.access).await.must(204);
        for tokens in [&here, &third] {
            assert_eq!(yard.get(ME, &tokens.access).await.must(401).code(), "auth/revoked");
            yard.refresh(&tokens.refresh).await.must(401);
        }
        yard.get(ME, &stranger.access).await.must(200);
        yard.get(ME, &yard.login("haneul01").await.access).await.must(200);
    }
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    for yard in Yard::all().await {
        let (_, here) = yard.member("haneul01").await;
        let elsewhere = yard.login("haneul01").await;
        let put = |current: &str, new: &str| {
            let body = json!({"current": current, "new": new});
            let access = here.access.clone();
            let yard = &yard;
            async move { yard.put("/api/v1/users/me/password", &access, body).await }
        };
        assert_eq!(put("wrong password", "snow on Friday").await.must(422).body["errors"][0]["field"], "current");
        assert_eq!(put(PASSWORD, PASSWORD).await.must(422).body["errors"][0]["field"], "new");
        put(PASSWORD, "password1").await.must(422);
        put(PASSWORD, "short").await.must(422);
        yard.get(ME, &elsewhere.access).await.must(200);

        put(PASSWORD, "snow on Friday").await.must(204);
        assert_eq!(yard.get(ME, &elsewhere.access).await.must(401).code(), "auth/revoked");
        yard.refresh(&elsewhere.refresh).await.must(401);
        yard.get(ME, &here.access).await.must(200);
        yard.refresh(&here.refresh).await.must(200);
        yard.try_login("haneul01", PASSWORD).await.must(401);
        yard.try_login("haneul01", "snow on Friday").await.must(200);
    }
}

#[tokio::test]
async fn of_two_new_passwords_at_once_one_is_set() {
    for yard in Yard::all().await {
        let (_, here) = yard.member("haneul01").await;
        let new = ["snow on Friday", "fog on Sunday"];
        let put =
            |new: &str| yard.put("/api/v1/users/me/password", &here.access, json!({"current": PASSWORD, "new": new}));
        let (one, two) = tokio::join!(put(new[0]), put(new[1]));
        let statuses = [one.status.as_u16(), two.status.as_u16()];
        assert!(statuses == [204, 422] || statuses == [422, 204], "{statuses:?}");
        let set = if statuses[0] == 204 { new[0] } else { new[1] };
        yard.try_login("haneul01", set).await.must(200);
    }
}
