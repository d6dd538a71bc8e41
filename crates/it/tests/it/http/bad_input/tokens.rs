//! Tokens and headers that somebody forged.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::{Role, UserId};
use platform::token::TokenKey;
use serde_json::{Value, json};

use crate::http::race;
use crate::support::app::yards;

const ME: &str = "/api/v1/users/me";
const USERS: &str = "/api/v1/users";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_token_makes_nobody() {
    yards(async |app| {
        let member = app.member().await;
        let [header, payload, signature]: [&str; 3] = member.access.split('.').collect::<Vec<_>>().try_into().unwrap();
        let decode = |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let with = |part: &str, name: &str, value: Value| {
            let mut changed = decode(part);
            changed[name] = value;
            encode(&changed)
        };
        let as_admin = with(payload, "role", json!("admin"));
        let stranger = TokenKey::from_seed([3; 32]);
        let mut tokens = vec![
            format!("{header}.{as_admin}.{signature}"),
            format!("{header}.{}.{signature}", with(payload, "exp", json!(9_999_999_999_i64))),
            format!("{header}.{}.{signature}", with(payload, "sub", json!("0190b2a4-0000-7000-8000-000000000000"))),
            format!("{header}.{as_admin}."),
            format!("{header}.{payload}"),
            format!("{header}.{payload}.{signature}."),
            format!("{header}.{payload}.{}", &signature[..signature.len() - 2]),
            format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
            stranger.sign(&app.claims(Role::Admin)),
            ".".to_owned(),
            "..".to_owned(),
            "null".to_owned(),
            "a".repeat(2_049),
            format!("{}{}", member.access, "A".repeat(3_000)),
        ];
        for alg in ["none", "None", "NONE", "HS256", "RS256", "ES256", ""] {
            let header = with(header, "alg", json!(alg));
            tokens.push(format!("{header}.{as_admin}."));
            tokens.push(format!("{header}.{as_admin}.{signature}"));
            tokens.push(format!("{header}.{payload}.{signature}"));
        }
        for (name, value) in [("kid", json!("00000000")), ("typ", json!("JWT")), ("crit", json!(["exp"]))] {
            tokens.push(format!("{}.{payload}.{signature}", with(header, name, value)));
        }
        for token in tokens {
            app.get(ME).bearer(&token).await.problem(401, "auth/invalid");
        }
        app.get(ME).by(&member).await.must(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_ends_when_it_says() {
    yards(async |app| {
        let now_s = app.yard.clock().now_ms() / 1_000;
        let member = app.member().await;
        let mut claims = app.claims(Role::Member);
        claims.sub = UserId(member.id.parse().unwrap());
        for ago_s in [0, 1, 900, 1_000_000_000] {
            claims.exp = now_s - ago_s;
            app.get(ME).bearer(&app.token_key.sign(&claims)).await.problem(401, "auth/expired");
        }
        for exp in [i64::MIN, 0] {
            claims.exp = exp;
            app.get(ME).bearer(&app.token_key.sign(&claims)).await.problem(401, "auth/expired");
        }
        claims.exp = now_s + 60;
        app.get(ME).bearer(&app.token_key.sign(&claims)).await.must(200);
        // Of an account that is gone, or never was.
        app.get(ME).by(&app.crowd(1)[0]).await.problem(401, "auth/revoked");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_one_bearer_header_is_read() {
    yards(async |app| {
        let member = app.member().await;
        for value in ["", "Bearer", "Bearer ", "Basic bWU6bWU=", "bearer", "Token x", "Bearer a b", "\u{1F600}"] {
            app.get(ME).header("authorization", value).await.problem(401, "auth/invalid");
        }
        app.get(ME).by(&member).by(&member).await.problem(401, "auth/invalid");
        app.get(ME).header("authorization", format!("bEARER {}", member.access)).await.must(200);
        // Neither the address nor a cookie signs anybody in.
        app.get(format!("{ME}?access_token={}", member.access)).await.problem(401, "auth/required");
        app.get(ME).header("cookie", format!("access_token={}", member.access)).await.problem(401, "auth/required");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_header_makes_a_caller() {
    const FORGED: [&str; 9] = [
        "x-user-id",
        "x-user-role",
        "x-user-name",
        "X-USER-ROLE",
        "x_user_role",
        "x-madang-user",
        "x-madang-role",
        "x-madang-caller",
        "x-forwarded-user",
    ];
    yards(async |app| {
        let (organiser, admin) = app.organiser().await;
        let member = app.member().await;
        let race = race::open(app, &organiser, 1, json!({})).await;
        for header in FORGED {
            for value in ["admin", &admin.id, "{\"role\":\"admin\"}"] {
                app.get(ME).header(header, value).await.problem(401, "auth/required");
                app.get(USERS).by(&member).header(header, value).await.problem(403, "auth/role");
                app.delete(race.clone()).by(&member).header(header, value).await.problem(403, "auth/role");
                let me = app.get(ME).by(&member).header(header, value).await.must(200);
                assert_eq!(me.text("id"), member.id);
            }
        }
        app.get(race).await.must(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ids_of_others_open_nothing() {
    yards(async |app| {
        let (organiser, admin) = app.organiser().await;
        let other = app.in_role(&admin, "company").await;
        let member = app.member().await;
        let race = race::open(app, &organiser, 2, json!({})).await;
        let mine = race::claim(app, &race, &member).await.must(201).text("id");
        let stranger = app.member().await;
        for path in [format!("/api/v1/registrations/{mine}"), format!("/api/v1/registrations/{}", mine.to_uppercase())]
        {
            app.get(path.clone()).by(&stranger).await.problem(404, "http/not-found");
            app.get(path.clone()).by(&other).await.problem(404, "http/not-found");
            app.delete(path.clone()).by(&stranger).await.problem(404, "http/not-found");
            // Who organises sees it, but gives up nobody's place.
            app.get(path.clone()).by(&organiser).await.must(200);
            app.delete(path).by(&organiser).await.problem(404, "http/not-found");
        }
        assert_eq!(app.get(format!("/api/v1/registrations/{mine}")).by(&member).await.must(200).text("state"), "held");
    })
    .await;
}
