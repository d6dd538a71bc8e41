//! Signing in, going on, signing out, and what ends sign-ins.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};

use crate::http::race;
use crate::support::app::{Answer, App, PASSWORD, Person, fresh_name, yards, yards_with};

const ME: &str = "/api/v1/users/me";
const REFRESH: &str = "/api/v1/auth/refresh";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_in_gives_a_pair_of_tokens() {
    yards(async |app| {
        let username = fresh_name("m");
        app.sign_up(&username).await.must(201);
        let mut tokens = app.login(&username, PASSWORD).await.must(200);
        assert_eq!(tokens.header("cache-control"), "no-store");
        for secret in ["access_token", "refresh_token"] {
            assert!(tokens.text(secret).len() >= 40, "{secret}");
            tokens.body[secret] = json!("[secret]");
        }
        insta::allow_duplicates! {
            insta::assert_json_snapshot!(tokens.body, @r#"
            {
              "access_token": "[secret]",
              "expires_in_s": 900,
              "refresh_token": "[secret]",
              "token_type": "Bearer"
            }
            "#);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_works_once_and_its_second_use_ends_the_whole_family() {
    yards(async |app| {
        let first = app.member().await;
        let elsewhere = app.signed_in(&first.username).await;
        let second = app.refreshed(&first).await;
        assert_ne!(second.refresh, first.refresh);
        app.get(ME).by(&first).await.must(200);
        let third = app.refreshed(&second).await;

        refresh(app, &first).await.problem(401, "auth/invalid");
        refresh(app, &third).await.problem(401, "auth/invalid");
        for person in [&first, &second, &third] {
            app.get(ME).by(person).await.problem(401, "auth/revoked");
        }
        app.get(ME).by(&elsewhere).await.must(200);
        app.refreshed(&elsewhere).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_refreshes_at_once_at_most_one_gives_tokens_and_none_lasts() {
    yards(async |app| {
        let person = app.member().await;
        let answers = join_all((0..8).map(|_| refresh(app, &person))).await;
        let given: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!(given.len(), 1);
        // The other seven were a reuse: whoever got the pair cannot go on with it.
        app.get(ME).bearer(&given[0].text("access_token")).await.problem(401, "auth/revoked");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_kind_of_token_is_not_the_other() {
    yards(async |app| {
        let person = app.member().await;
        app.get(ME).bearer(&person.refresh).await.problem(401, "auth/invalid");
        for token in ["", "x", "한글", &"x".repeat(43)] {
            app.post(REFRESH, json!({ "refresh_token": token })).await.problem(401, "auth/invalid");
        }
        app.get(ME).by(&person).await.must(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_ends_this_sign_in_and_no_other() {
    yards(async |app| {
        let here = app.member().await;
        let there = app.signed_in(&here.username).await;
        app.post("/api/v1/auth/logout", json!({})).by(&here).await.must(204);
        app.get(ME).by(&here).await.problem(401, "auth/revoked");
        refresh(app, &here).await.problem(401, "auth/invalid");
        app.post("/api/v1/auth/logout", json!({})).by(&here).await.problem(401, "auth/revoked");
        app.get(ME).by(&there).await.must(200);
        app.refreshed(&there).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_ins_are_listed_and_ended_by_their_owner() {
    yards(async |app| {
        let here = app.member().await;
        let there = app.signed_in(&here.username).await;
        let third = app.signed_in(&here.username).await;
        let list = app.get("/api/v1/users/me/sessions").by(&here).await.must(200);
        let current: Vec<bool> = list.items().iter().map(|item| item["current"].as_bool().unwrap()).collect();
        assert_eq!(current, [false, false, true], "the newest first");

        let id = list.items()[1]["id"].as_str().unwrap();
        app.delete(format!("/api/v1/users/me/sessions/{id}")).by(&here).await.must(204);
        app.get(ME).by(&there).await.problem(401, "auth/revoked");
        app.delete(format!("/api/v1/users/me/sessions/{id}")).by(&here).await.problem(404, "http/not-found");

        app.delete("/api/v1/users/me/sessions").by(&third).await.must(204);
        app.get(ME).by(&here).await.problem(401, "auth/revoked");
        app.get(ME).by(&third).await.problem(401, "auth/revoked");
        let again = app.signed_in(&here.username).await;
        let list = app.get("/api/v1/users/me/sessions").by(&again).await.must(200);
        assert_eq!(list.items().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_ends_every_other_sign_in() {
    const NEW: &str = "달빛 아래 뛰는 밤";
    yards(async |app| {
        let here = app.member().await;
        let there = app.signed_in(&here.username).await;
        let change = |current: &str, new: &str| json!({ "current": current, "new": new });
        let path = "/api/v1/users/me/password";

        app.put(path, change("not it at all", NEW)).by(&here).await.wrong_field("current");
        for bad in [PASSWORD, "short", "password123", &here.username, &"x".repeat(65)] {
            app.put(path, change(PASSWORD, bad)).by(&here).await.wrong_field("new");
        }
        app.get(ME).by(&there).await.must(200);

        app.put(path, change(PASSWORD, NEW)).by(&here).await.must(204);
        app.get(ME).by(&here).await.must(200);
        app.get(ME).by(&there).await.problem(401, "auth/revoked");
        refresh(app, &there).await.problem(401, "auth/invalid");
        app.login(&here.username, PASSWORD).await.problem(401, "identity/credentials");
        app.login(&here.username, NEW).await.must(200);
        app.refreshed(&here).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_tells_whether_an_account_exists() {
    yards(async |app| {
        let person = app.member().await;
        let wrong = app.login(&person.username, "a wrong password").await;
        let unknown = app.login(&fresh_name("n"), "a wrong password").await;
        let no_name_at_all = app.login("한글 이름", "a wrong password").await;
        let without_id = |answer: Answer| {
            let mut body = answer.problem(401, "identity/credentials").body;
            body.as_object_mut().unwrap().remove("request_id");
            body
        };
        let wrong = without_id(wrong);
        assert_eq!(without_id(unknown), wrong);
        assert_eq!(without_id(no_name_at_all), wrong);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_is_slowed_down_for_known_and_unknown_names_alike() {
    yards(async |app| {
        let person = app.member().await;
        slowed_down(app, async || person.username.clone()).await;
        slowed_down(app, async || fresh_name("n")).await;
        app.get(ME).by(&person).await.must(200);
        app.refreshed(&person).await;
    })
    .await;
}

/// After ten wrong passwords even the right one has to wait: who guesses must not learn that he was right.
async fn slowed_down(app: &App, username: impl AsyncFn() -> String) {
    const TRIES: usize = 5;
    for _ in 0..TRIES {
        let username = username().await;
        for _ in 0..9 {
            app.login(&username, "a wrong password").await;
        }
        let tenth = Instant::now();
        app.login(&username, "a wrong password").await;
        let answer = app.login(&username, PASSWORD).await;
        // The first wait is a second: on a machine that needs as long for a login, nothing is seen.
        if answer.status == 429 || tenth.elapsed() < Duration::from_secs(1) {
            let slowed = answer.problem(429, "identity/slow-down");
            assert!(slowed.number("retry_after_ms") <= 90_000, "nobody is locked out: {}", slowed.show());
            return;
        }
    }
    panic!("a login took longer than a second, {TRIES} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_signs_in_only_so_often_and_headers_do_not_help() {
    let settings = [("MADANG__GATEWAY__SIGN_IN_BURST", "3"), ("MADANG__GATEWAY__SIGN_IN_PER_S", "1")];
    yards_with(&settings, async |app| {
        let attempt = || app.post(REFRESH, json!({ "refresh_token": "x" }));
        let mut limited = 0;
        for n in 0..30 {
            let answer = attempt().from("192.0.2.7").header("x-forwarded-for", format!("198.51.100.{n}")).await;
            match answer.status {
                401 => {}
                _ => limited += usize::from(answer.problem(429, "gateway/rate-limited").status == 429),
            }
        }
        assert!(limited >= 15, "only {limited} of 30 were limited");
        attempt().from("192.0.2.8").await.problem(401, "auth/invalid");
        for _ in 0..30 {
            attempt().from("127.0.0.1").await.problem(401, "auth/invalid");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_and_addresses_have_a_measure_of_requests() {
    let settings = [
        ("MADANG__GATEWAY__USER_BURST", "20"),
        ("MADANG__GATEWAY__USER_PER_S", "1"),
        ("MADANG__GATEWAY__ADDRESS_BURST", "10"),
        ("MADANG__GATEWAY__ADDRESS_PER_S", "1"),
        ("MADANG__GATEWAY__CLAIMS_BURST", "5"),
        ("MADANG__GATEWAY__CLAIMS_PER_S", "1"),
    ];
    yards_with(&settings, async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 5, json!({})).await;
        let (one, other) = (app.member().await, app.member().await);

        let clicks = passed(40, async || race::claim(app, &race, &one).from("192.0.2.1").await).await;
        assert!((5..15).contains(&clicks), "{clicks} clicks passed");
        race::claim(app, &race, &other).from("192.0.2.1").await.must(201);

        let requests = passed(60, async || app.get(ME).by(&one).from("192.0.2.1").await).await;
        assert!((15..40).contains(&requests), "{requests} requests passed");
        app.get(ME).by(&other).from("192.0.2.1").await.must(200);

        let anonymous = passed(40, async || app.get("/api/v1/races").from("192.0.2.2").await).await;
        assert!((10..30).contains(&anonymous), "{anonymous} requests passed");
        app.get("/api/v1/races").from("192.0.2.3").await.must(200);
        let local = passed(40, async || app.get("/api/v1/races").from("127.0.0.1").await).await;
        assert_eq!(local, 40, "this machine is exempt");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_that_tokens_are_checked_by_are_public() {
    yards(async |app| {
        let keys = app.get("/.well-known/jwks.json").await.must(200).body;
        let [key, ticket] = keys["keys"].as_array().unwrap().as_slice() else { panic!("{keys}") };
        for public in [key, ticket] {
            let members: HashSet<&str> = public.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(members, HashSet::from(["alg", "crv", "kid", "kty", "use", "x"]), "nothing private");
        }
        assert_eq!((&key["kid"], &key["use"]), (&Value::from(app.token_key.kid()), &Value::from("sig")));
        assert_eq!(ticket["use"], "ticket");
    })
    .await;
}

async fn refresh(app: &App, person: &Person) -> Answer {
    app.post(REFRESH, json!({ "refresh_token": person.refresh })).await
}

/// How many of so many requests were not held back for coming too often.
async fn passed(count: usize, ask: impl AsyncFn() -> Answer) -> usize {
    let mut passed = 0;
    for _ in 0..count {
        let answer = ask().await;
        if answer.status == 429 {
            answer.problem(429, "gateway/rate-limited");
        } else {
            passed += 1;
        }
    }
    passed
}
