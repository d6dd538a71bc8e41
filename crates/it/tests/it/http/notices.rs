//! What people are told: inbox, texts, wishes and streams.

use std::time::{Duration, Instant};

use kernel::contracts::sagas::SagaStuck;
use platform::db::{Db, DbError, Kind, Query, args};
use platform::events::publish;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::race::{self, claim};
use super::registration::confirmed;
use crate::support::app::{App, PASSWORD, Person, fresh_name, yards};
use crate::support::site::databases;
use crate::support::wait::until;

const WITHIN: Duration = Duration::from_secs(20);
const INBOX: &str = "/api/v1/notifications";
const STREAM: &str = "/api/v1/notifications/stream";

async fn inbox(app: &App, person: &Person) -> Vec<Value> {
    app.get(INBOX).by(person).await.must(200).items().to_vec()
}

/// Waits for a notice of a kind.
pub async fn until_told(app: &App, person: &Person, kind: &str) -> Value {
    until(kind, WITHIN, async || inbox(app, person).await.into_iter().find(|notice| notice["kind"] == kind)).await
}

async fn unread(app: &App, person: &Person) -> i64 {
    app.get(format!("{INBOX}/unread-count")).by(person).await.must(200).number("unread")
}

fn notify(app: &App) -> &Db {
    app.yard.databases().iter().find(|db| db.name() == "notify").unwrap()
}

async fn count(app: &App, table: &str) -> i64 {
    notify(app).one::<(i64,)>(&format!("SELECT count(*) FROM {table}"), args![]).await.unwrap().unwrap().0
}

async fn run(db: &Db, sql: &'static str) {
    db.write(|tx| Box::pin(async move { tx.run(sql, args![]).await })).await.map_err(|e: DbError| e).unwrap();
}

fn path(notice: &Value) -> String {
    format!("{INBOX}/{}", notice["id"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_is_read_filtered_and_emptied_by_its_owner() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let (runner, other) = (app.member().await, app.member().await);
        for title in ["하나", "둘", "셋"] {
            let race = race::open(app, &organiser, 1, json!({ "title": title })).await;
            claim(app, &race, &runner).await.must(201);
            claim(app, &race, &other).await.must(409);
        }
        until("three notices", WITHIN, async || (unread(app, &runner).await == 3).then_some(())).await;
        let notices = inbox(app, &runner).await;
        assert_eq!(notices[0]["title"], "자리를 잡았습니다: 셋", "newest first: {notices:?}");
        assert!(notices[0]["link"].as_str().unwrap().starts_with("/registrations/"));
        let page = app.get(format!("{INBOX}?limit=2")).by(&runner).await.must(200);
        let next = format!("{INBOX}?limit=2&cursor={}", page.text("next_cursor"));
        let rest = app.get(next).by(&runner).await.must(200);
        assert_eq!((page.items().len(), rest.items(), &rest.body["next_cursor"]), (2, &notices[2..], &Value::Null));
        app.put(format!("{}/read", path(&notices[0])), json!({})).by(&other).await.problem(404, "http/not-found");
        app.delete(path(&notices[0])).by(&other).await.problem(404, "http/not-found");
        app.put(format!("{}/read", path(&notices[0])), json!({})).by(&runner).await.must(204);
        app.put(format!("{}/read", path(&notices[0])), json!({})).by(&runner).await.must(204);
        let only = async |query: &str| app.get(format!("{INBOX}?{query}")).by(&runner).await.must(200).items().len();
        assert_eq!((only("read=true").await, only("read=false").await, unread(app, &runner).await), (1, 2, 2));
        assert_eq!((only("kind=place_held").await, only("kind=confirmed").await), (3, 0));
        app.get(format!("{INBOX}?kind=nothing")).by(&runner).await.wrong_field("kind");
        app.delete(path(&notices[1])).by(&runner).await.must(204);
        app.delete(path(&notices[1])).by(&runner).await.problem(404, "http/not-found");
        app.put(format!("{INBOX}/read"), json!({})).by(&runner).await.must(204);
        assert_eq!((unread(app, &runner).await, inbox(app, &runner).await.len()), (0, 2));
        let mine = json!({ "language": "en" });
        app.patch("/api/v1/users/me", mine).by(&runner).await.must(200);
        app.settled().await;
        assert_eq!(inbox(app, &runner).await[0]["title"], "You have a place: 셋");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_hears_of_every_step_once() {
    yards(async |app| {
        let (organiser, admin) = app.organiser().await;
        let race = race::open(app, &organiser, 1, json!({ "waitlist": true })).await;
        let (runner, next, last) = (app.member().await, app.member().await, app.member().await);
        let registration = confirmed(app, &race, &runner).await;
        claim(app, &race, &next).await.must(201);
        claim(app, &race, &last).await.must(201);
        assert!(until_told(app, &runner, "paid").await["body"].as_str().unwrap().contains("30,000"));
        assert!(until_told(app, &runner, "confirmed").await["body"].as_str().unwrap().contains("1번"));
        until_told(app, &next, "waitlisted").await;
        let message = json!({ "title": "집결지 변경", "body": "동문 앞 {bib}", "states": ["confirmed"] });
        app.post(format!("{race}/messages"), message).by(&organiser).await.must(201);
        let told = until_told(app, &runner, "organiser_message").await;
        assert!(told["title"].as_str().unwrap().ends_with(": 집결지 변경"), "{told}");
        assert_eq!(told["body"], "동문 앞 {bib}", "what people write is no template");
        let withdraw = format!("/api/v1/registrations/{registration}/cancellation");
        app.post(withdraw, json!({ "reason": "부상" })).by(&organiser).await.must(200);
        until_told(app, &runner, "cancelled_by_organiser").await;
        until_told(app, &runner, "refunded").await;
        until_told(app, &next, "granted").await;
        app.settled().await;
        assert!(inbox(app, &next).await.iter().all(|notice| notice["kind"] != "organiser_message"));
        let before = count(app, "notice").await;
        // Everything is delivered once more, and nothing remembers that it was.
        let db = notify(app);
        run(db, "DELETE FROM inbox").await;
        match db.kind() {
            Kind::Sqlite => run(db, "UPDATE outbox_cursor SET last_id = 0").await,
            Kind::Postgres => {
                for source in app.yard.databases() {
                    run(source, "UPDATE outbox SET sent_ms = NULL").await;
                }
            }
        }
        app.settled().await;
        assert_eq!(count(app, "notice").await, before);
        app.post(format!("{race}/cancellation"), json!({ "reason": "태풍" })).by(&organiser).await.must(200);
        until_told(app, &next, "race_cancelled").await;
        until_told(app, &last, "race_cancelled").await;
        assert!(inbox(app, &admin).await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_a_place_hears_once_that_it_ends() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 2, json!({})).await;
        let (slow, gone) = (app.member().await, app.member().await);
        claim(app, &race, &slow).await.must(201);
        let left = claim(app, &race, &gone).await.must(201).text("id");
        app.settled().await;
        assert_eq!(count(app, "hold").await, 2);
        app.delete(format!("/api/v1/registrations/{left}")).by(&gone).await.must(200);
        app.settled().await;
        run(notify(app), "UPDATE hold SET remind_ms = 0").await;
        until_told(app, &slow, "hold_ending").await;
        until_told(app, &gone, "cancelled").await;
        assert_eq!(count(app, "hold").await, 0);
        assert_eq!(count(app, "notice WHERE kind = 'hold_ending'").await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_rehearsal_nobody_hears() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let rehearsal = json!({ "people": 1, "capacity": 1 });
        let rehearsal = app.post("/api/v1/admin/rehearsals", rehearsal).by(&organiser).await.must(201);
        let tokens = app.get(rehearsal.text("token_url")).by(&organiser).await.must(200);
        let race = format!("/api/v1/races/{}/registrations", rehearsal.text("race_id"));
        let placed = app.post(race, json!({})).bearer(&tokens.text("token")).await.must(201);
        let path = format!("/api/v1/registrations/{}", placed.text("id"));
        app.delete(path).bearer(&tokens.text("token")).await.must(200);
        app.settled().await;
        assert_eq!((count(app, "notice").await, count(app, "hold").await), (0, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admins_hear_of_a_saga_that_is_stuck_and_applicants_of_the_decision() {
    yards(async |app| {
        let (organiser, admin) = app.organiser().await;
        let applicant = app.member().await;
        let application = json!({ "name": "한강러닝클럽", "description": "달립니다" });
        let id = app.post("/api/v1/company-applications", application).by(&applicant).await.must(201).text("id");
        let decision = json!({ "decision": "rejected", "reason": "소개가 짧습니다" });
        app.put(format!("/api/v1/company-applications/{id}/decision"), decision).by(&admin).await.must(200);
        assert_eq!(until_told(app, &applicant, "application_rejected").await["body"], "소개가 짧습니다");
        let stuck = SagaStuck {
            saga_id: Uuid::now_v7(),
            part: "races".to_owned(),
            name: "cancellation".to_owned(),
            step: "refund".to_owned(),
            reason: "the provider is away".to_owned(),
        };
        let races = app.yard.databases().iter().find(|db| db.name() == "races").unwrap();
        let told = races.write(move |tx| Box::pin(async move { publish(tx, &stuck, None).await }));
        told.await.unwrap();
        let alarm = until_told(app, &admin, "saga_stuck").await;
        assert!(alarm["body"].as_str().unwrap().contains("the provider is away"), "{alarm}");
        assert!(inbox(app, &organiser).await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admins_change_texts_and_people_choose_what_they_hear() {
    yards(async |app| {
        let (organiser, admin) = app.organiser().await;
        let (runner, quiet) = (app.member().await, app.member().await);
        let wish = |kind: &str, inbox: bool| json!({ "items": [{ "kind": kind, "inbox": inbox, "email": true }] });
        let preferences = "/api/v1/notification-preferences";
        app.put(preferences, wish("place_held", false)).by(&quiet).await.must(200);
        app.put(preferences, wish("confirmed", false)).by(&quiet).await.wrong_field("items[0].inbox");
        app.put(preferences, wish("nothing", false)).by(&quiet).await.wrong_field("items[0].kind");
        let now = app.get(preferences).by(&quiet).await.must(200);
        let held = now.items().iter().find(|item| item["kind"] == "place_held").unwrap();
        let wanted = json!({ "kind": "place_held", "optional": true, "inbox": false, "email": true, "slack": false });
        assert_eq!(*held, wanted);
        let race = race::open(app, &organiser, 2, json!({ "title": "달빛" })).await;
        claim(app, &race, &runner).await.must(201);
        claim(app, &race, &quiet).await.must(201);
        until_told(app, &runner, "place_held").await;
        app.settled().await;
        assert!(inbox(app, &quiet).await.is_empty());
        let kind = "/api/v1/admin/notice-kinds/place_held";
        let text = |title: &str| json!({ "ko": { "title": title, "body": "" }, "en": null });
        app.put(kind, text("{rase}")).by(&admin).await.wrong_field("ko.title");
        app.put("/api/v1/admin/notice-kinds/nothing", text("x")).by(&admin).await.problem(404, "http/not-found");
        let preview = app.post(format!("{kind}/preview"), text("와! {race}")).by(&admin).await.must(200);
        assert_eq!(preview.body["ko"]["title"], "와! 한강 달빛 마라톤");
        assert_eq!(preview.body["en"]["title"], "You have a place: 한강 달빛 마라톤");
        assert_eq!(inbox(app, &runner).await[0]["title"], "자리를 잡았습니다: 달빛", "a preview changes nothing");
        let changed = app.put(kind, text("와! {race}")).by(&admin).await.must(200);
        assert!(changed.body["ko"]["changed_at"].is_string() && changed.body["en"]["changed_at"].is_null());
        assert_eq!(inbox(app, &runner).await[0]["title"], "와! 달빛");
        app.put(kind, json!({})).by(&admin).await.must(200);
        let kinds = app.get("/api/v1/admin/notice-kinds").by(&admin).await.must(200);
        assert!(kinds.items().iter().all(|kind| kind["ko"]["changed_at"].is_null()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_tells_what_comes_and_resumes_without_a_gap() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let runner = app.member().await;
        let mut first = app.stream(STREAM, Some(&runner), None).await;
        let begin = first.next().await.unwrap();
        assert_eq!((begin.name.as_str(), &begin.data), ("unread", &json!({ "unread": 0 })));
        assert_eq!(begin.id, Uuid::nil().to_string());
        let held = async |title: &str| {
            let race = race::open(app, &organiser, 1, json!({ "title": title })).await;
            claim(app, &race, &runner).await.must(201);
        };
        held("하나").await;
        let one = first.next().await.unwrap();
        assert_eq!((one.name.as_str(), &one.data["title"]), ("notification", &json!("자리를 잡았습니다: 하나")));
        let now = first.next().await.unwrap();
        assert_eq!((&now.data, &now.id), (&json!({ "unread": 1 }), &one.id));
        drop(first);
        held("둘").await;
        held("셋").await;
        until("three notices", WITHIN, async || (unread(app, &runner).await == 3).then_some(())).await;
        let mut again = app.stream(STREAM, Some(&runner), Some(&one.id)).await;
        let (two, three, now) = (again.next().await, again.next().await, again.next().await);
        let title = |event: Option<crate::support::sse::Event>| event.unwrap().data["title"].clone();
        assert_eq!((title(two), title(three)), (json!("자리를 잡았습니다: 둘"), json!("자리를 잡았습니다: 셋")));
        assert_eq!(now.unwrap().data, json!({ "unread": 3 }));
        let mut whole = app.stream(STREAM, Some(&runner), Some(&begin.id)).await;
        for _ in 0..3 {
            assert_eq!(whole.next().await.unwrap().name, "notification");
        }
        app.put(format!("{INBOX}/read"), json!({})).by(&runner).await.must(204);
        again.until("all are read", |event| event.data == json!({ "unread": 0 })).await;
        app.post("/api/v1/auth/logout", json!({})).by(&runner).await.must(204);
        assert!(again.next().await.is_none(), "a stream ends with its session");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_tells_within_a_second() {
    databases(async |site| {
        if site.dir.is_some() {
            return;
        }
        let (here, there) = (App::open(site, &[]).await, App::open(site, &[]).await);
        let (organiser, _) = here.organiser().await;
        let runner = here.member().await;
        let race = race::open(&here, &organiser, 1, json!({})).await;
        let mut stream = there.stream(STREAM, Some(&runner), None).await;
        let mut watched = there.stream(&format!("{race}/stream"), None, None).await;
        stream.next().await.unwrap();
        watched.until("a place", |event| event.data["remaining"] == 1).await;
        let claimed = Instant::now();
        claim(&here, &race, &runner).await.must(201);
        watched.until("no place", |event| event.data["remaining"] == 0).await;
        assert!(claimed.elapsed() < Duration::from_secs(1), "{:?}", claimed.elapsed());
        until_told(&here, &runner, "place_held").await;
        let written = Instant::now();
        stream.until("the notice", |event| event.name == "notification").await;
        assert!(written.elapsed() < Duration::from_secs(1), "{:?}", written.elapsed());
        drop((stream, watched));
        here.yard.stop().await;
        there.yard.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_watch_a_race_and_each_sees_its_last_state() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 40, json!({})).await;
        app.get("/api/v1/races/01890000-0000-7000-8000-000000000000/stream").await.problem(404, "http/not-found");
        let mut watchers = Vec::new();
        for _ in 0..2_000 {
            watchers.push(app.stream(&format!("{race}/stream"), None, None).await);
        }
        let first = watchers[0].next().await.unwrap();
        let courses = json!([{ "code": "km10", "remaining": 40 }]);
        assert_eq!(first.data, json!({ "state": "open", "remaining": 40, "waiting": 0, "courses": courses }));
        for person in app.crowd(40) {
            claim(app, &race, &person).await.must(201);
        }
        let sold_out = Instant::now();
        for watcher in &mut watchers {
            watcher.until("sold out", |event| event.data["state"] == "sold_out").await;
        }
        assert!(sold_out.elapsed() < Duration::from_secs(2), "{:?}", sold_out.elapsed());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_streams_do_not_hold_up_a_stop() {
    databases(async |site| {
        let app = App::open(site, &[]).await;
        let listener = platform::http::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let serving = tokio::spawn(app.yard.serve(listener, stop.clone()));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::new();
        let name = fresh_name("m");
        let account = json!({
            "username": name, "password": PASSWORD, "name": "김하늘", "nickname": name, "email": "a@example.com",
        });
        http.post(format!("{base}/api/v1/users")).json(&account).send().await.unwrap().error_for_status().unwrap();
        let login = json!({ "username": name, "password": PASSWORD });
        let login = http.post(format!("{base}/api/v1/auth/login")).json(&login).send().await.unwrap();
        let token = login.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
        let mut open = http.get(format!("{base}{STREAM}")).bearer_auth(token).send().await.unwrap();
        assert!(open.chunk().await.unwrap().is_some());
        let stopped = Instant::now();
        stop.cancel();
        while let Ok(Some(_)) = open.chunk().await {}
        serving.await.unwrap().unwrap();
        assert!(stopped.elapsed() < Duration::from_secs(5), "{:?}", stopped.elapsed());
    })
    .await;
}
