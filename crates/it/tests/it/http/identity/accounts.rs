//! Making an account, looking at it, changing it.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::http::race::redacted;
use crate::support::app::{App, PASSWORD, fresh_name, yards};

const USERS: &str = "/api/v1/users";
const ME: &str = "/api/v1/users/me";

/// A sign-up that would do, with `changes` over it.
fn sign_up(changes: &Value) -> Value {
    let username = fresh_name("m");
    let mut body = json!({
        "username": username, "password": PASSWORD, "name": "김하늘", "nickname": username, "email": "haneul@example.com",
    });
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_up_makes_a_member() {
    yards(async |app| {
        let answer =
            app.post(USERS, sign_up(&json!({ "username": "haneul01", "nickname": "하늘달리기" }))).await.must(201);
        insta::allow_duplicates! {
            insta::assert_json_snapshot!(redacted(&answer.body), @r#"
            {
              "birth_date": null,
              "created_at": "[time]",
              "email": "haneul@example.com",
              "email_verified": false,
              "id": "[id]",
              "identity_verified": false,
              "language": "ko",
              "name": "김하늘",
              "nickname": "하늘달리기",
              "phone": null,
              "phone_verified": false,
              "role": "member",
              "username": "haneul01",
              "version": 1
            }
            "#);
        }
        let person = app.signed_in("haneul01").await;
        assert_eq!(app.get(ME).by(&person).await.must(200).body, answer.body);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gives_himself_more_than_a_member_has() {
    yards(async |app| {
        for (field, value) in [
            ("role", json!("admin")),
            ("email_verified", json!(true)),
            ("id", json!("0190b2a4-0000-7000-8000-000000000000")),
            ("banned_ms", json!(null)),
        ] {
            let body = sign_up(&json!({ field: value }));
            app.post(USERS, body.clone()).await.problem(422, "http/invalid");
            app.login(body["username"].as_str().unwrap(), PASSWORD).await.problem(401, "identity/credentials");
        }
        let person = app.member().await;
        for change in [json!({ "role": "admin" }), json!({ "username": "another1" }), json!({ "email_verified": true })]
        {
            app.patch(ME, change).by(&person).await.problem(422, "http/invalid");
        }
        assert_eq!(app.get(ME).by(&person).await.must(200).text("role"), "member");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_up_names_every_wrong_field() {
    yards(async |app| {
        let long = "가".repeat(65);
        let wrong: [(&str, Vec<&str>); 5] = [
            ("username", vec!["", "abc", "Haneul01", "haneul 1", "하늘하늘", "a-b-c-d", "abcdefghijklmnopqrstu"]),
            ("password", vec!["", "1234567", "password123", &long]),
            ("name", vec!["", "  ", "\n", &long]),
            ("nickname", vec!["", "가", " 하늘", "하늘\u{202e}달", &long]),
            ("email", vec!["", "haneul", "a@b", "a b@example.com", "@example.com", "a@exa\u{0}mple.com"]),
        ];
        for (field, values) in wrong {
            for value in values {
                let answer = app.post(USERS, sign_up(&json!({ field: value }))).await;
                // A NUL is refused for the whole body, before anybody knows which field it is in.
                if value.contains('\u{0}') {
                    answer.wrong_field("")
                } else {
                    answer.wrong_field(field)
                };
            }
        }
        let all = json!({ "username": "A", "password": "x", "name": "", "nickname": "", "email": "" });
        let answer = app.post(USERS, sign_up(&all)).await.problem(422, "http/invalid");
        assert_eq!(answer.body["errors"].as_array().map(Vec::len), Some(5), "all at once: {}", answer.show());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_want_one_name_one_gets_it() {
    yards(async |app| {
        let username = fresh_name("m");
        let tries = (0..4).map(|_| app.sign_up(&username));
        let mut statuses: Vec<u16> = join_all(tries).await.into_iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409, 409]);

        let mut taken = sign_up(&json!({ "username": username }));
        app.post(USERS, taken.clone()).await.problem(409, "identity/username-taken");
        // Two nicknames that look the same are the same: other case, decomposed.
        app.post(USERS, sign_up(&json!({ "nickname": "Café런" }))).await.must(201);
        for same in ["CAFÉ런", "cafe\u{301}런"] {
            taken = sign_up(&json!({ "nickname": same }));
            app.post(USERS, taken.clone()).await.problem(409, "identity/nickname-taken");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn availability_is_asked_without_an_account() {
    yards(async |app| {
        let person = app.member().await;
        let ask = |query: String| app.get(format!("/api/v1/users/availability?{query}"));
        let taken = ask(format!("username={}", person.username)).await.must(200);
        assert_eq!(taken.body, json!({ "username_available": false, "nickname_available": null }));
        let free = ask(format!("username={}&nickname=%EB%8B%AC%EB%B9%9B", fresh_name("n"))).await.must(200);
        assert_eq!(free.body, json!({ "username_available": true, "nickname_available": true }));
        let broken = ask("username=A&nickname=x".to_owned()).await.must(200);
        assert_eq!(broken.body, json!({ "username_available": false, "nickname_available": false }));
        ask(String::new()).await.wrong_field("username");
        ask("name=x".to_owned()).await.problem(422, "http/invalid");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_is_edited_over_the_version_that_was_seen() {
    yards(async |app| {
        let person = app.member().await;
        let other = app.member().await;
        let edit = |change: Value| app.patch(ME, change).by(&person);

        let change =
            json!({ "name": "이바람", "phone": "010-1234-5678", "birth_date": "1990-05-17", "language": "en" });
        let edited = edit(change).header("if-match", "\"1\"").await.must(200);
        assert_eq!(edited.number("version"), 2);
        assert_eq!((edited.text("name"), edited.text("birth_date")), ("이바람".to_owned(), "1990-05-17".to_owned()));

        let stale = edit(json!({ "name": "x" })).header("if-match", "1").await.problem(412, "http/version");
        assert_eq!(stale.number("version"), 2);
        let gone = edit(json!({ "phone": null })).header("if-match", "*").await.must(200);
        assert_eq!(gone.body["phone"], Value::Null);
        assert_eq!(gone.text("name"), "이바람", "what is absent stays");
        assert_eq!(edit(json!({})).await.must(200).number("version"), 3, "nothing to change changes nothing");

        edit(json!({ "nickname": other.username.to_uppercase() })).await.problem(409, "identity/nickname-taken");
        for (field, value) in [
            ("birth_date", json!("2999-01-01")),
            ("birth_date", json!("1990-02-30")),
            ("birth_date", json!(19_900_517)),
            ("phone", json!("call me")),
            ("language", json!("fr")),
            ("email", json!("nobody")),
        ] {
            edit(json!({ field: value })).await.wrong_field(field);
        }
        assert_eq!(app.get(ME).by(&person).await.must(200).body, gone.body);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn managers_find_people_and_others_do_not() {
    yards(async |app| {
        let admin = app.admin().await;
        let manager = app.in_role(&admin, "manager").await;
        for (username, name) in [("search01", "남궁하늘"), ("search02", "제갈하늘"), ("search03", "황보바다")]
        {
            app.post(USERS, sign_up(&json!({ "username": username, "nickname": username, "name": name })))
                .await
                .must(201);
        }
        let found = async |query: &str| names(app, &manager.access, query).await;
        assert_eq!(
            found("q=%ED%95%98%EB%8A%98%20search0").await,
            ["search02", "search01"],
            "하늘 search0, the newest first"
        );
        assert_eq!(found("q=arch03").await, ["search03"]);
        assert_eq!(found("q=search0&limit=2").await, ["search03", "search02"]);
        assert_eq!(found("role=manager").await, [manager.username.as_str()]);
        assert_eq!(found("state=banned").await, [""; 0]);
        app.get("/api/v1/users?role=king").by(&manager).await.problem(422, "http/invalid");
    })
    .await;
}

async fn names(app: &App, token: &str, query: &str) -> Vec<String> {
    let found = app.get(format!("/api/v1/users?{query}")).bearer(token).await.must(200);
    found.items().iter().map(|item| item["username"].as_str().unwrap().to_owned()).collect()
}
