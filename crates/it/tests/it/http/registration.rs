//! From a place to a bib, paid in the sandbox, undone and refunded: as a runner and an organiser go through it.

use std::time::Duration;

use platform::db::{Query, args};
use serde_json::{Value, json};

use super::race::{self, claim, in_s};
use crate::support::app::{Answer, App, Person, yards, yards_with};
use crate::support::wait::{until, until_so};

const WITHIN: Duration = Duration::from_secs(30);
const FEE_WON: i64 = 30_000;
/// Outcomes of the sandbox that take a while take this long.
const QUICK: [(&str, &str); 2] =
    [("MADANG__PAYMENTS__SANDBOX__LATE_MS", "300"), ("MADANG__PAYMENTS__SANDBOX__UNKNOWN_MS", "400")];

fn registration(id: &str) -> String {
    format!("/api/v1/registrations/{id}")
}

fn step(id: &str, name: &str) -> String {
    format!("/api/v1/registrations/{id}/steps/{name}")
}

pub fn address() -> Value {
    json!({ "recipient": "김하늘", "phone": "010-1234-5678", "postcode": "07345", "line1": "서울 여의대로 1", "line2": "" })
}

/// Claims a place; answers the registration's id.
async fn placed(app: &App, race: &str, person: &Person) -> String {
    claim(app, race, person).await.must(201).text("id")
}

/// Goes through terms and address.
async fn filled_in(app: &App, race: &str, person: &Person) -> String {
    let id = placed(app, race, person).await;
    let terms = json!({ "agreed": true, "terms_version": 1 });
    app.put(step(&id, "terms"), terms).by(person).await.must(200);
    app.put(step(&id, "address"), address()).by(person).await.must(200);
    id
}

/// Opens the payment, chooses what the sandbox does with it, and confirms it.
async fn pay(app: &App, person: &Person, id: &str, outcome: &str) -> Answer {
    let opened = app.put(step(id, "payment"), json!({ "provider": "sandbox" })).by(person).await.must(200);
    let payment = &opened.body["payment"];
    assert_eq!(payment["state"], "ready", "{}", opened.show());
    let page = payment["checkout_url"].as_str().unwrap().to_owned();
    app.post(page, json!({ "outcome": outcome })).await.must(200);
    let path = format!("/api/v1/payments/{}/confirm", payment["id"].as_str().unwrap());
    app.post(path, json!({})).by(person).await
}

async fn now(app: &App, person: &Person, id: &str) -> Answer {
    app.get(registration(id)).by(person).await.must(200)
}

async fn until_state(app: &App, person: &Person, id: &str, state: &str) -> Answer {
    until(state, WITHIN, async || {
        let answer = now(app, person, id).await;
        (answer.body["state"] == state).then_some(answer)
    })
    .await
}

/// Goes all the way; answers the registration's id.
pub async fn confirmed(app: &App, race: &str, person: &Person) -> String {
    let id = filled_in(app, race, person).await;
    pay(app, person, &id, "approve").await.must(200);
    until_state(app, person, &id, "confirmed").await;
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_funnel_and_the_csv_say_how_far_everybody_came() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 3, json!({})).await;
        let (first, second, third) = (app.member().await, app.member().await, app.member().await);
        confirmed(app, &race, &first).await;
        filled_in(app, &race, &second).await;
        placed(app, &race, &third).await;
        at_rest(app).await;
        let funnel = app.get(format!("{race}/funnel")).by(&organiser).await.must(200);
        assert_eq!(funnel.number("started"), 3);
        let reached = |step: &str| {
            let steps = funnel.body["steps"].as_array().unwrap();
            steps.iter().find(|one| one["step"] == step).unwrap()["reached"].as_i64().unwrap()
        };
        let names = ["terms", "souvenir", "address", "payment", "paid", "confirmed"];
        assert_eq!(names.map(reached), [2, 0, 2, 1, 1, 1]);
        let started: i64 =
            funnel.body["intake"].as_array().unwrap().iter().map(|one| one["started"].as_i64().unwrap()).sum();
        assert_eq!(started, 3);
        app.get(format!("{race}/funnel?hours=0")).by(&organiser).await.wrong_field("hours");
        let path = format!("{race}/registrations");
        let csv = app.get(path).header("accept", "text/csv").by(&organiser).await.must(200);
        let csv = String::from_utf8(csv.bytes.to_vec()).unwrap();
        assert!(csv.contains("confirmed,1,,captured,30000,0,김하늘,010-1234-5678,07345"), "{csv}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_show_the_funnel() {
    const STEPS: &str = "madang_registration_steps_total";
    const SECONDS: &str = "madang_registration_step_seconds_count";
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 3, json!({})).await;
        let (first, second) = (app.member().await, app.member().await);
        let before = scrape(app).await;
        confirmed(app, &race, &first).await;
        let id = placed(app, &race, &second).await;
        app.put(step(&id, "address"), address()).by(&second).await.problem(409, "registration/step");
        at_rest(app).await;
        let after = scrape(app).await;
        // Other yards of this process count in the same place.
        let grew = |name: &str, labels: &[&str]| {
            let by = series(&after, name, labels).unwrap() - series(&before, name, labels).unwrap_or(0.0);
            assert!(by >= 1.0, "{name} {labels:?} grew by {by}");
        };
        for step in ["terms", "address", "payment", "confirmed"] {
            let step = format!("step=\"{step}\"");
            grew(STEPS, &[&step, "outcome=\"done\""]);
            grew(SECONDS, &[&step]);
        }
        grew(STEPS, &["step=\"address\"", "outcome=\"refused\""]);
        grew("madang_saga_ended_total", &["saga=\"registration\"", "state=\"completed\""]);
        for state in ["compensated", "stuck"] {
            let labels = ["saga=\"registration\"", &format!("state=\"{state}\"")];
            series(&before, "madang_saga_ended_total", &labels).expect("a zero before the first one");
        }
        // People take minutes, not milliseconds.
        series(&after, "madang_registration_step_seconds_bucket", &["step=\"terms\"", "le=\"600\""]).unwrap();
    })
    .await;
}

async fn scrape(app: &App) -> String {
    String::from_utf8(app.get("/metrics").await.must(200).bytes.to_vec()).unwrap()
}

/// The sum of the series of this name that have these labels; none where there is no such series.
fn series(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let of_it = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'))
            && labels.iter().all(|label| line.contains(label))
    };
    let values: Vec<f64> =
        text.lines().filter(of_it).map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

/// No saga is open or stuck, and the books are right.
async fn at_rest(app: &App) {
    until_so("every saga has ended", WITHIN, async || {
        app.settled().await;
        number(app, "races", "SELECT count(*) FROM saga WHERE ended_ms IS NULL").await == 0
    })
    .await;
    assert_eq!(
        number(app, "payments", "SELECT CAST(coalesce(sum(balance), 0) AS bigint) FROM ledger_account").await,
        0
    );
}

async fn number(app: &App, db: &str, sql: &str) -> i64 {
    let db = app.yard.databases().iter().find(|known| known.name() == db).unwrap();
    db.one::<(i64,)>(sql, args![]).await.unwrap().unwrap().0
}

/// What is owed to organisers: all that was captured and has not gone back.
async fn kept_won(app: &App) -> i64 {
    let sql = "SELECT CAST(coalesce(sum(balance), 0) AS bigint) FROM ledger_account WHERE kind = 'payable'";
    number(app, "payments", sql).await.abs()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_becomes_a_bib_and_a_ticket() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 2, json!({ "terms": "비를 맞을 수 있습니다" })).await;
        let runner = app.member().await;
        let id = placed(app, &race, &runner).await;
        let early = app.put(step(&id, "address"), address()).by(&runner).await.problem(409, "registration/step");
        assert_eq!((&early.body["state"], &early.body["next_step"]), (&json!("held"), &json!("terms")));
        let old = json!({ "agreed": true, "terms_version": 7 });
        let changed = app.put(step(&id, "terms"), old).by(&runner).await.problem(409, "registration/terms-changed");
        assert_eq!(changed.body["terms_version"], 1);
        app.put(step(&id, "terms"), json!({ "agreed": false, "terms_version": 1 }))
            .by(&runner)
            .await
            .wrong_field("agreed");
        let terms = json!({ "agreed": true, "terms_version": 1 });
        let agreed = app.put(step(&id, "terms"), terms.clone()).by(&runner).await.must(200);
        assert_eq!((&agreed.body["next_step"], &agreed.body["terms_version"]), (&json!("address"), &json!(1)));
        let filled = app.put(step(&id, "address"), address()).by(&runner).await.must(200);
        assert_eq!((&filled.body["next_step"], &filled.body["address"]), (&json!("payment"), &address()));
        // Back to change, and the same again.
        for _ in 0..2 {
            let again = app.put(step(&id, "terms"), terms.clone()).by(&runner).await.must(200);
            assert_eq!(again.body["next_step"], "payment");
        }
        app.get(format!("{}/qr.png", registration(&id))).by(&runner).await.problem(409, "registration/no-ticket");
        let paid = pay(app, &runner, &id, "approve").await.must(200);
        assert_eq!(paid.text("state"), "captured");
        let done = until_state(app, &runner, &id, "confirmed").await;
        assert_eq!(
            (&done.body["bib"], &done.body["next_step"], &done.body["hold_expires_at"]),
            (&json!(1), &Value::Null, &Value::Null)
        );
        until_so("the payment shows", WITHIN, async || {
            now(app, &runner, &id).await.body["payment"]["state"] == "captured"
        })
        .await;
        // A repeat of a step is answered the same; another one is too late.
        app.put(step(&id, "address"), address()).by(&runner).await.must(200);
        let late = json!({ "course": "half" });
        app.put(step(&id, "course"), late).by(&runner).await.problem(409, "registration/step");
        let image = app.get(format!("{}/qr.png", registration(&id))).by(&runner).await.must(200);
        assert!(image.bytes.starts_with(b"\x89PNG"));
        let calendar = app.get(format!("{}/calendar.ics", registration(&id))).by(&runner).await.must(200);
        let file = String::from_utf8(calendar.bytes.to_vec()).unwrap();
        assert!(file.starts_with("BEGIN:VCALENDAR\r\n") && file.contains("SUMMARY:한강 달빛 마라톤"), "{file}");
        app.get(format!("{}/qr.png", registration(&id))).by(&organiser).await.problem(404, "http/not-found");
        at_rest(app).await;
        let told = "SELECT count(*) FROM outbox WHERE kind = 'registration.changed' AND payload LIKE '%\"confirmed\"%'";
        assert_eq!(number(app, "races", told).await, 1);
        let keys = app.get("/.well-known/jwks.json").await.must(200);
        assert!(keys.body["keys"].as_array().unwrap().iter().any(|key| key["use"] == "ticket"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_free_race_confirms_with_its_last_step() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 2, json!({ "fee_won": 0 })).await;
        let runner = app.member().await;
        let id = filled_in(app, &race, &runner).await;
        let done = now(app, &runner, &id).await;
        assert_eq!((&done.body["state"], &done.body["bib"]), (&json!("confirmed"), &json!(1)));
        assert_eq!(done.body["payment"], Value::Null);
        let pay = json!({ "provider": "sandbox" });
        app.put(step(&id, "payment"), pay).by(&runner).await.problem(409, "registration/step");
        let left = app.delete(registration(&id)).by(&runner).await.must(200);
        assert_eq!((&left.body["state"], &left.body["refund"]), (&json!("cancelled"), &Value::Null));
        at_rest(app).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declined_payment_leaves_the_place_held_for_another() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 1, json!({})).await;
        let runner = app.member().await;
        let id = filled_in(app, &race, &runner).await;
        let answer = pay(app, &runner, &id, "decline").await.must(200);
        assert_eq!(answer.text("state"), "declined");
        let held = until_state(app, &runner, &id, "held").await;
        assert_eq!(held.body["next_step"], "payment");
        assert!(held.body["hold_expires_at"].is_string());
        at_rest(app).await;
        pay(app, &runner, &id, "approve").await.must(200);
        until_state(app, &runner, &id, "confirmed").await;
        at_rest(app).await;
        assert_eq!(kept_won(app).await, FEE_WON);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_comes_late_keeps_the_pinned_place() {
    yards_with(&QUICK, async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 3, json!({})).await;
        for outcome in ["late", "unknown", "twice"] {
            let runner = app.member().await;
            let id = filled_in(app, &race, &runner).await;
            let _ = pay(app, &runner, &id, outcome).await;
            let seen = now(app, &runner, &id).await;
            assert!(matches!(seen.body["state"].as_str(), Some("paying" | "confirmed" | "held")), "{}", seen.show());
            until_so("it is decided", WITHIN, async || {
                let state = now(app, &runner, &id).await.text("state");
                state == "confirmed" || (outcome == "unknown" && state == "held")
            })
            .await;
        }
        at_rest(app).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_amount_goes_back_whole() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 1, json!({})).await;
        let runner = app.member().await;
        let id = filled_in(app, &race, &runner).await;
        let _ = pay(app, &runner, &id, "wrong_amount").await;
        until_state(app, &runner, &id, "held").await;
        at_rest(app).await;
        assert_eq!(kept_won(app).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaving_gives_back_what_the_rules_say_and_the_organiser_gives_back_all() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let rules = json!([{ "until": in_s(app, 3_600), "percent": 70 }, { "until": in_s(app, 7_200), "percent": 30 }]);
        let race = race::open(app, &organiser, 2, json!({ "refund_rules": rules })).await;
        let (leaver, other) = (app.member().await, app.member().await);
        let id = confirmed(app, &race, &leaver).await;
        at_rest(app).await;
        let quote = app.get(format!("{}/refund-quote", registration(&id))).by(&leaver).await.must(200);
        assert_eq!((quote.number("amount_won"), quote.number("percent")), (21_000, 70));
        assert!(quote.body["rule_until"].is_string());
        let left = app.delete(registration(&id)).by(&leaver).await.must(200);
        assert_eq!((&left.body["state"], &left.body["ended_by"]), (&json!("cancelled"), &json!("released")));
        assert_eq!(left.body["refund"]["amount_won"], 21_000);
        let again = app.delete(registration(&id)).by(&leaver).await.must(200);
        assert_eq!(again.body["refund"]["amount_won"], 21_000);
        at_rest(app).await;
        assert_eq!(now(app, &leaver, &id).await.body["refund"]["refunded_won"], 21_000);
        assert_eq!(kept_won(app).await, 9_000);
        let id = confirmed(app, &race, &other).await;
        let path = format!("{}/cancellation", registration(&id));
        app.post(path.clone(), json!({ "reason": "번복" })).by(&leaver).await.problem(403, "auth/role");
        app.post(path.clone(), json!({ "reason": "" })).by(&organiser).await.wrong_field("reason");
        for _ in 0..2 {
            let ended = app.post(path.clone(), json!({ "reason": "기록 위조" })).by(&organiser).await.must(200);
            assert_eq!((&ended.body["state"], &ended.body["ended_by"]), (&json!("cancelled"), &json!("cancelled")));
        }
        at_rest(app).await;
        assert_eq!(now(app, &other, &id).await.body["refund"]["refunded_won"], FEE_WON);
        assert_eq!(kept_won(app).await, 9_000);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_race_refunds_everybody() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 3, json!({})).await;
        let (paid, held) = (app.member().await, app.member().await);
        let id = confirmed(app, &race, &paid).await;
        let other = placed(app, &race, &held).await;
        app.post(format!("{race}/cancellation"), json!({ "reason": "태풍" })).by(&organiser).await.must(200);
        until_state(app, &paid, &id, "cancelled").await;
        until_state(app, &held, &other, "cancelled").await;
        at_rest(app).await;
        assert_eq!(now(app, &paid, &id).await.body["refund"]["refunded_won"], FEE_WON);
        assert_eq!(kept_won(app).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_course_at_another_fee_needs_another_payment() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let courses = json!([
            { "code": "10k", "type": "km10", "capacity": 1, "fee_won": 30_000 },
            { "code": "half", "type": "half", "capacity": 1, "fee_won": 50_000 },
        ]);
        let changes = json!({ "type": null, "capacity": null, "fee_won": null, "courses": courses });
        let race = race::open(app, &organiser, 1, changes).await;
        let runner = app.member().await;
        let path = format!("{race}/registrations");
        let id = app.post(path.clone(), json!({ "course": "10k" })).by(&runner).await.must(201).text("id");
        app.put(step(&id, "terms"), json!({ "agreed": true, "terms_version": 1 })).by(&runner).await.must(200);
        app.put(step(&id, "address"), address()).by(&runner).await.must(200);
        let opened = app.put(step(&id, "payment"), json!({ "provider": "sandbox" })).by(&runner).await.must(200);
        let first = opened.body["payment"].clone();
        assert_eq!(first["amount_won"], 30_000);
        let moved = app.put(step(&id, "course"), json!({ "course": "half" })).by(&runner).await.must(200);
        assert_eq!((&moved.body["course"], &moved.body["payment"]), (&json!("half"), &Value::Null));
        // The old intent buys nothing any more.
        let page = first["checkout_url"].as_str().unwrap();
        app.post(page, json!({ "outcome": "approve" })).await.must(200);
        let old = format!("/api/v1/payments/{}/confirm", first["id"].as_str().unwrap());
        app.post(old, json!({})).by(&runner).await.problem(409, "payments/expired");
        assert_eq!(now(app, &runner, &id).await.body["state"], "held");
        pay(app, &runner, &id, "approve").await.must(200);
        let done = until_state(app, &runner, &id, "confirmed").await;
        assert_eq!((&done.body["course"], &done.body["bib"]), (&json!("half"), &json!(1)));
        at_rest(app).await;
        assert_eq!(kept_won(app).await, 50_000);
        let full = app.member().await;
        let other = app.post(path, json!({ "course": "10k" })).by(&full).await.must(201).text("id");
        app.put(step(&other, "course"), json!({ "course": "half" })).by(&full).await.problem(409, "admission/no-units");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_souvenir_is_chosen_exchanged_or_left() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let souvenirs =
            json!([{ "name": "티셔츠", "sizes": [{ "size": "M", "stock": 1 }, { "size": "L", "stock": 1 }] }]);
        let race = race::make(app, &organiser, 3, json!({ "souvenirs": souvenirs, "souvenir_rule": "required" })).await;
        let shirt = race.body["souvenirs"][0]["id"].clone();
        let path = format!("/api/v1/races/{}", race.text("id"));
        let (one, two) = (app.member().await, app.member().await);
        let size = |size: Option<&str>| json!({ "souvenir_id": size.map(|_| shirt.clone()), "size": size });
        let mut ids = Vec::new();
        for person in [&one, &two] {
            let id = placed(app, &path, person).await;
            let agreed = app.put(step(&id, "terms"), json!({ "agreed": true, "terms_version": 1 })).by(person).await;
            assert_eq!(agreed.must(200).body["next_step"], "souvenir");
            ids.push(id);
        }
        app.put(step(&ids[0], "souvenir"), size(None)).by(&one).await.problem(409, "registration/souvenir-required");
        let chosen = app.put(step(&ids[0], "souvenir"), size(Some("M"))).by(&one).await.must(200);
        assert_eq!((&chosen.body["souvenir"]["size"], &chosen.body["next_step"]), (&json!("M"), &json!("address")));
        app.put(step(&ids[1], "souvenir"), size(Some("M"))).by(&two).await.problem(409, "admission/no-units");
        app.put(step(&ids[0], "souvenir"), size(Some("L"))).by(&one).await.must(200);
        app.put(step(&ids[1], "souvenir"), size(Some("M"))).by(&two).await.must(200);
        app.put(step(&ids[1], "souvenir"), json!({ "souvenir_id": shirt, "size": null }))
            .by(&two)
            .await
            .wrong_field("size");
        app.put(step(&ids[1], "souvenir"), size(Some("XXL"))).by(&two).await.wrong_field("souvenir.size");
        let now = app.get(path).await.must(200);
        assert!(now.body["souvenirs"][0]["sizes"].as_array().unwrap().iter().all(|size| size["remaining"] == 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_anothers_step_and_a_lost_place_says_what_to_do() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 1, json!({})).await;
        let (runner, other) = (app.member().await, app.member().await);
        let id = filled_in(app, &race, &runner).await;
        let terms = json!({ "agreed": true, "terms_version": 1 });
        for (name, body) in [
            ("terms", terms.clone()),
            ("address", address()),
            ("course", json!({ "course": "km10" })),
            ("souvenir", json!({ "souvenir_id": null, "size": null })),
            ("payment", json!({ "provider": "sandbox" })),
        ] {
            app.put(step(&id, name), body.clone()).by(&other).await.problem(404, "http/not-found");
            app.put(step(&id, name), body).by(&organiser).await.problem(404, "http/not-found");
        }
        app.put(step(&id, "payment"), json!({ "provider": "tooss" }))
            .by(&runner)
            .await
            .problem(422, "payments/provider");
        app.put(step(&id, "payment"), json!({ "provider": "sandbox", "amount_won": 1 })).by(&runner).await.must(422);
        app.delete(registration(&id)).by(&runner).await.must(200);
        for name in ["terms", "payment"] {
            let body = if name == "terms" { terms.clone() } else { json!({ "provider": "sandbox" }) };
            let gone = app.put(step(&id, name), body).by(&runner).await.problem(409, "registration/step");
            assert_eq!((&gone.body["state"], &gone.body["next_step"]), (&json!("cancelled"), &json!("claim_again")));
        }
        let again = claim(app, &race, &runner).await.must(201);
        assert_eq!((&again.body["replaces"], &again.body["next_step"]), (&json!(id), &json!("terms")));
    })
    .await;
}
