//! Signing up, the profile, and what may be asked without signing in.

use std::collections::HashSet;

use axum::http::Method;
use futures::future::join_all;
use platform::http::ClientAddress;
use serde_json::json;

use super::{PASSWORD, Yard, new_user, request};

#[tokio::test]
async fn sign_up_makes_a_member() {
    for yard in Yard::all().await {
        let me = yard.sign_up("haneul01").await.must(201);
        assert_eq!(me.body["role"], "member");
        assert_eq!(me.body["version"], 1);
        assert_eq!(me.body["email_verified"], false);
        let tokens = yard.login("haneul01").await;
        assert_eq!(yard.get("/api/v1/users/me", &tokens.access).await.must(200).body, me.body);
        let told = yard.events("user.saved").await;
        let saved = json!({
            "user_id": me.body["id"], "username": "haneul01", "name": "김하늘", "nickname": "n-haneul01", "version": 1,
            "language": "ko", "email": "haneul01@example.com", "role": "member",
        });
        assert_eq!(told, [saved]);
    }
}

#[tokio::test]
async fn sign_up_refuses_what_breaks_a_rule() {
    for yard in Yard::all().await {
        for (field, value) in [
            ("role", json!("admin")),
            ("is_admin", json!(true)),
            ("username", json!("Haneul01")),
            ("username", json!(null)),
            ("username", json!("a' OR 1=1")),
            ("password", json!("short")),
            ("password", json!("Password123")),
            ("password", json!("x".repeat(65))),
            ("name", json!("")),
            ("name", json!("x".repeat(41))),
            ("nickname", json!("a")),
            ("nickname", json!("nul\u{0}")),
            ("email", json!("nowhere")),
            ("email", json!(["a@b.co"])),
        ] {
            let mut body = new_user("haneul01");
            body[field] = value;
            let answer = yard.post("/api/v1/users", None, body.clone()).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (422, "http/invalid"), "{body}");
        }
        let mut body = new_user("haneulhaneul");
        body["password"] = json!("HaneulHaneul");
        yard.post("/api/v1/users", None, body).await.must(422);
        assert_eq!(yard.count("account").await, 0);
        assert_eq!(yard.count("outbox").await, 0);
    }
}

#[tokio::test]
async fn names_are_had_once() {
    for yard in Yard::all().await {
        let mut first = new_user("haneul01");
        first["nickname"] = json!("Åria");
        yard.post("/api/v1/users", None, first.clone()).await.must(201);
        let answer = yard.post("/api/v1/users", None, first.clone()).await.must(409);
        assert_eq!(answer.code(), "identity/username-taken");
        first["username"] = json!("haneul02");
        first["nickname"] = json!("A\u{30a}RIA");
        let answer = yard.post("/api/v1/users", None, first).await.must(409);
        assert_eq!(answer.code(), "identity/nickname-taken");
        let path = "/api/v1/users/availability?username=haneul01&nickname=%C3%A5ria";
        let answer = yard.call(Method::GET, path, None, None).await.must(200);
        assert_eq!(answer.body, json!({"username_available": false, "nickname_available": false}));
        let path = "/api/v1/users/availability?username=haneul02";
        let answer = yard.call(Method::GET, path, None, None).await.must(200);
        assert_eq!(answer.body, json!({"username_available": true, "nickname_available": null}));
        let answer = yard.call(Method::GET, "/api/v1/users/availability?nickname=a", None, None).await.must(200);
        assert_eq!(answer.body["nickname_available"], false);
        yard.call(Method::GET, "/api/v1/users/availability", None, None).await.must(422);
    }
}

#[tokio::test]
async fn of_many_who_want_one_name_at_once_one_gets_it() {
    for yard in Yard::all().await {
        let answers = join_all((0..6).map(|_| yard.sign_up("haneul01"))).await;
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| [201, 409].contains(status)), "{statuses:?}");
        assert_eq!(yard.count("account").await, 1);
        assert_eq!(yard.count("outbox").await, 1);
    }
}

#[tokio::test]
async fn a_profile_is_edited_by_its_owner() {
    for yard in Yard::all().await {
        yard.sign_up("somebody").await.must(201);
        let (_, tokens) = yard.member("haneul01").await;
        let change = json!({"name": "이하늘", "phone": "010-1234-5678", "birth_date": "1990-05-17", "language": "en"});
        let me = yard.call(Method::PATCH, "/api/v1/users/me", Some(&tokens.access), Some(change)).await.must(200);
        assert_eq!(
            (&me.body["name"], &me.body["phone"], &me.body["version"]),
            (&json!("이하늘"), &json!("010-1234-5678"), &json!(2))
        );
        assert_eq!(yard.get("/api/v1/users/me", &tokens.access).await.body, me.body);

        let edit = |body, version: &'static str| {
            yard.send(request(
                Method::PATCH,
                "/api/v1/users/me",
                Some(&tokens.access),
                Some(body),
                &[("if-match", version)],
            ))
        };
        let answer = edit(json!({"name": "박하늘"}), "\"1\"").await.must(412);
        assert_eq!(answer.body["version"], 2);
        let me = edit(json!({"phone": null, "email": "new@example.com"}), "2").await.must(200);
        assert_eq!(
            (&me.body["phone"], &me.body["email"], &me.body["birth_date"]),
            (&json!(null), &json!("new@example.com"), &json!("1990-05-17"))
        );
        assert_eq!(edit(json!({}), "3").await.must(200).body["version"], 3, "nothing changed");
        edit(json!({}), "three").await.must(400);

        assert_eq!(edit(json!({"nickname": "N-SOMEBODY"}), "3").await.must(409).code(), "identity/nickname-taken");
        for change in [
            json!({"role": "admin"}),
            json!({"username": "another1"}),
            json!({"email_verified": true}),
            json!({"birth_date": "2999-01-01"}),
            json!({"birth_date": "1990-5-17"}),
            json!({"phone": "call me"}),
            json!({"language": "fr"}),
            json!({"version": 9}),
        ] {
            yard.call(Method::PATCH, "/api/v1/users/me", Some(&tokens.access), Some(change.clone())).await.must(422);
        }
        assert_eq!(yard.get("/api/v1/users/me", &tokens.access).await.body["version"], 3);
        let versions: Vec<i64> = yard
            .events("user.saved")
            .await
            .iter()
            .filter(|event| event["username"] == "haneul01")
            .filter_map(|event| event["version"].as_i64())
            .collect();
        assert_eq!(versions, [1, 2, 3]);
    }
}

#[tokio::test]
async fn a_profile_edited_twice_at_once_keeps_both_changes() {
    for yard in Yard::all().await {
        let (_, tokens) = yard.member("haneul01").await;
        let changes = (0..5).map(|n| json!({ "name": format!("이름{n}") })).chain([json!({"phone": "01012345678"})]);
        let edits =
            changes.map(|change| yard.call(Method::PATCH, "/api/v1/users/me", Some(&tokens.access), Some(change)));
        let versions: HashSet<i64> =
            join_all(edits).await.into_iter().filter_map(|answer| answer.must(200).body["version"].as_i64()).collect();
        assert_eq!(versions, (2..=7).collect());
        assert_eq!(yard.get("/api/v1/users/me", &tokens.access).await.body["phone"], "01012345678");
    }
}

#[tokio::test]
async fn nobody_is_told_which_accounts_exist() {
    for yard in Yard::all().await {
        yard.sign_up("haneul01").await.must(201);
        let unknown = yard.try_login("nobody01", PASSWORD).await.must(401);
        let wrong = yard.try_login("haneul01", "wrong password").await.must(401);
        let absurd = yard.try_login("'; DROP TABLE account --", "").await.must(401);
        for answer in [&unknown, &wrong, &absurd] {
            assert_eq!(answer.code(), "identity/credentials");
            assert_eq!(answer.body["title"], unknown.body["title"]);
        }
    }
}

#[tokio::test]
async fn guessing_is_slowed_down_for_known_and_unknown_names_alike() {
    for yard in Yard::all().await {
        yard.sign_up("haneul01").await.must(201);
        for username in ["haneul01", "nobody01"] {
            for _ in 0..10 {
                yard.try_login(username, "wrong password").await.must(401);
            }
            let answer = yard.try_login(username, PASSWORD).await.must(429);
            assert_eq!(answer.code(), "identity/slow-down");
            let seconds: u64 = answer.retry_after.as_deref().expect("Retry-After").parse().expect("seconds");
            assert!((1..=3).contains(&seconds), "{seconds}");
        }
        yard.gate.clock.shift_ms(1_500);
        yard.login("haneul01").await;
        yard.try_login("haneul01", "wrong password").await.must(401);
        yard.login("haneul01").await;
    }
}

#[tokio::test]
async fn guessing_from_one_address_is_slowed_down_whatever_the_account() {
    for yard in Yard::all().await {
        yard.sign_up("haneul01").await.must(201);
        let login = async |username: &str, password: &str, address: [u8; 4]| {
            let body = json!({"username": username, "password": password});
            let mut login = request(Method::POST, "/api/v1/auth/login", None, Some(body), &[]);
            login.extensions_mut().insert(ClientAddress(address.into()));
            yard.send(login).await
        };
        for n in 0..10 {
            login(&format!("guess{n}"), PASSWORD, [192, 0, 2, 1]).await.must(401);
            login(&format!("local{n}"), PASSWORD, [127, 0, 0, 1]).await.must(401);
        }
        assert_eq!(login("haneul01", PASSWORD, [192, 0, 2, 1]).await.must(429).code(), "identity/slow-down");
        login("haneul01", PASSWORD, [192, 0, 2, 2]).await.must(200);
        login("haneul01", PASSWORD, [127, 0, 0, 1]).await.must(200);
    }
}

#[tokio::test]
async fn the_first_admin_comes_from_the_command_line() {
    for yard in Yard::all().await {
        let body = json!({"username": "operator", "password": PASSWORD, "email": "op@example.com"});
        let admin = yard.command("/identity/admin", body.clone()).await.must(201);
        assert_eq!((&admin.body["role"], &admin.body["nickname"]), (&json!("admin"), &json!("operator")));
        assert_eq!(yard.count("audit").await, 1, "a right that was given is on record");
        yard.sign_up("haneul01").await.must(201);
        assert_eq!(yard.count("audit").await, 1);
        assert_eq!(yard.command("/identity/admin", body).await.must(409).code(), "identity/username-taken");
        yard.command("/identity/admin", json!({"username": "operator2", "password": "password1"})).await.must(422);
        yard.post("/identity/admin", None, json!({"username": "operator3", "password": PASSWORD})).await.must(404);
        let tokens = yard.login("operator").await;
        yard.get("/api/v1/users", &tokens.access).await.must(200);
    }
}

#[tokio::test]
async fn the_key_set_holds_the_public_key_only() {
    for yard in Yard::all().await {
        let answer = yard.call(Method::GET, "/.well-known/jwks.json", None, None).await.must(200);
        let key = &answer.body["keys"][0];
        assert_eq!((&key["kty"], &key["crv"], &key["alg"]), (&json!("OKP"), &json!("Ed25519"), &json!("EdDSA")));
        assert!(key.get("d").is_none());
    }
}
