//! What an operator asks, and what a yard answers when something is away.

use std::collections::BTreeSet;
use std::time::Duration;

use platform::db::{Query, args};
use serde_json::json;

use super::race;
use crate::support::app::{App, PASSWORD, fresh_name, yards};
use crate::support::site::databases;
use crate::support::wait::until_so;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yard_that_is_well_says_so() {
    yards(async |app| {
        assert_eq!(app.get("/health/live").await.must(200).body, json!({ "status": "live" }));
        assert_eq!(app.get("/health/ready").await.must(200).body, json!({ "status": "ready" }));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yard_names_what_is_away_and_takes_nothing_meanwhile() {
    databases(async |site| {
        let app = App::open(site, &[]).await;
        let (organiser, _) = app.organiser().await;
        let race = race::open(&app, &organiser, 5, json!({})).await;
        let member = app.member().await;
        app.settled().await;
        let [identity, races, payments, notify] = app.yard.databases() else { panic!("one per context") };
        assert_eq!(
            [identity, races, payments, notify].map(|db| db.name()),
            ["identity", "races", "payments", "notify"]
        );

        races.close().await;
        let ready = app.get("/health/ready").header("accept-language", "en").await.problem(503, "http/unavailable");
        assert_eq!(ready.body["failing"], json!(["database races"]));
        assert_eq!(ready.text("detail"), "not ready: database races");
        app.get(race.clone()).await.problem(503, "http/unavailable");
        app.get(format!("{race}/offer/checkpoint")).await.problem(503, "http/unavailable");
        race::claim(&app, &race, &member).await.must(503);
        app.post("/api/v1/races", race::body(&app, 5, json!({}))).by(&organiser).await.problem(503, "http/unavailable");
        app.get("/api/v1/users/me").by(&member).await.must(200);

        identity.close().await;
        let ready = app.get("/health/ready").await.problem(503, "http/unavailable");
        assert_eq!(ready.body["failing"], json!(["database identity", "database races"]));
        app.sign_up(&fresh_name("m")).await.problem(503, "http/unavailable");
        app.login(&member.username, PASSWORD).await.problem(503, "http/unavailable");
        // Who cannot learn which sign-ins ended lets nobody in after a while, and says that too.
        until_so("sign-ins are refused", Duration::from_secs(15), async || {
            app.get("/api/v1/users/me").by(&member).await.code() == "auth/unavailable"
        })
        .await;
        let ready = app.get("/health/ready").await.problem(503, "http/unavailable");
        assert_eq!(ready.body["failing"], json!(["database identity", "database races", "revocations"]));
        app.get("/health/live").await.must(200);
        app.get("/openapi.json").await.must(200);
        app.yard.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[should_panic(expected = "races failed jobs")]
async fn a_test_whose_yard_ends_with_a_failed_job_fails() {
    yards(async |app| {
        let sql = "INSERT INTO job (name, due_ms, last_started_ms, last_ended_ms, last_error, runs)
                   VALUES ('a job', 9000000000000, 1, 2, 'it broke', 1)";
        write(app, sql).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[should_panic(expected = "races parked events")]
async fn a_test_whose_yard_ends_with_a_parked_event_fails() {
    yards(async |app| {
        let id = app.yard.databases()[1].pick("randomblob(16)", "gen_random_uuid()");
        let values = format!("('races people', {id}, 'k', '{{}}', 'it was poisonous', 1)");
        write(app, &format!("INSERT INTO parked (consumer, event_id, key, event, reason, parked_ms) VALUES {values}"))
            .await;
    })
    .await;
}

/// Changes the database of races behind the yard's back.
async fn write(app: &App, sql: &str) {
    let sql = sql.to_owned();
    let races = app.yard.databases()[1].clone();
    races.write(move |tx| Box::pin(async move { tx.run(&sql, args![]).await })).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_count_what_happens() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 1, json!({})).await;
        for person in app.crowd(3) {
            race::claim(app, &race, &person).await;
        }
        app.get("/api/v1/nothing").await.must(404);
        app.get("/api/v1/users/me").bearer("x").await.must(401);
        app.settled().await;
        let metrics = app.get("/metrics").await.must(200);
        assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        let text = String::from_utf8(metrics.bytes.to_vec()).unwrap();
        let named = |line: &str| line.split(['{', ' ']).next().unwrap_or_default().to_owned();
        let series: BTreeSet<String> = text.lines().filter(|line| !line.starts_with('#')).map(named).collect();
        for name in [
            "madang_http_requests_total",
            "madang_http_request_seconds_bucket",
            "madang_db_write_seconds_bucket",
            "madang_gateway_tokens_refused_total",
            "madang_gateway_tokens_cached",
            "madang_gateway_revocations",
            "madang_gateway_callers_counted",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_threads",
            "process_start_time_seconds",
        ] {
            assert!(series.contains(name), "no {name} among {series:?}");
        }
        assert!(series.iter().any(|name| name.starts_with("madang_admission")), "{series:?}");
        // Routes are counted by their pattern: no id and no invented address makes a series of its own.
        let id = race.rsplit('/').next().unwrap();
        assert!(!text.contains(id) && !text.contains("/api/v1/nothing"));
        assert!(text.contains("route=\"/api/v1/races/{id}/registrations\""));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsals_tokens_are_its_creators() {
    yards(async |app| {
        let (organiser, admin) = app.organiser().await;
        let begin = |body: serde_json::Value| app.post("/api/v1/admin/rehearsals", body).by(&organiser);
        for (field, body) in [
            ("people", json!({ "people": 0, "capacity": 1 })),
            ("people", json!({ "people": 100_001, "capacity": 1 })),
            ("capacity", json!({ "people": 1, "capacity": 0 })),
            ("ttl_s", json!({ "people": 1, "capacity": 1, "ttl_s": 59 })),
            ("ttl_s", json!({ "people": 1, "capacity": 1, "ttl_s": 86_401 })),
        ] {
            begin(body).await.wrong_field(field);
        }
        let body = json!({ "people": 1_200, "capacity": 3, "ttl_s": 600 });
        let begun = begin(body.clone()).header("idempotency-key", "k").await.must(201);
        assert_eq!(begin(body).header("idempotency-key", "k").await.must(201).body, begun.body);

        let tokens = app.get(begun.text("token_url")).by(&organiser).await.must(200);
        assert_eq!(tokens.header("content-type"), "application/x-ndjson");
        let lines: Vec<serde_json::Value> = tokens
            .bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        let people: BTreeSet<&str> = lines.iter().map(|line| line["user_id"].as_str().unwrap()).collect();
        assert_eq!((lines.len(), people.len()), (1_200, 1_200), "across chunks nobody is left out or told twice");
        app.get(begun.text("token_url")).by(&admin).await.must(200);

        let race = format!("/api/v1/races/{}", begun.text("race_id"));
        for (line, status) in lines.iter().zip([201, 201, 201, 409]) {
            let click = app.post(format!("{race}/registrations"), json!({}));
            let answer = click.bearer(line["token"].as_str().unwrap()).await.must(status);
            assert!(answer.number("sequence") >= 1);
        }
        let offer = app.get(format!("{race}/offer")).await.must(200);
        assert_eq!((offer.number("size"), offer.text("state")), (5, "sold_out".to_owned()));
    })
    .await;
}
