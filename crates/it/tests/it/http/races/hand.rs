//! The organiser's hand on a running sale.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::http::race::{self, claim, members};
use crate::support::app::{Answer, App, Person, yards};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_are_added_and_held_back_but_never_below_what_is_taken() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 3, json!({ "waitlist": true })).await;
        let people = app.crowd(5);
        let clicks = people.iter().map(|person| claim(app, &race, person).into_future());
        let waiting = join_all(clicks).await.iter().filter(|answer| answer.text("state") == "waitlisted").count();
        assert_eq!(waiting, 2);
        let hand = async |change: Value| hand(app, &race, &organiser, change).await;

        hand(json!({ "capacity": 2, "reason": "fewer" })).await.problem(409, "admission/below-taken");
        hand(json!({ "held_back": 1, "reason": "one back" })).await.problem(409, "admission/below-taken");
        let more = hand(json!({ "capacity": 10, "held_back": 4, "reason": "more" })).await.must(200);
        let pool = &more.body["pools"][0];
        assert_eq!((&pool["taken"], &pool["remaining"], &pool["held_back"]), (&json!(5), &json!(1), &json!(4)));
        assert_eq!(
            (more.number("waiting"), more.number("version")),
            (0, 2),
            "who waited is placed before anybody else"
        );
        let same = hand(json!({ "capacity": 10, "reason": "again" })).await.must(200);
        assert_eq!((same.number("version"), same.number("size")), (2, more.number("size")), "nothing new is no leaf");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_says_what_and_why_over_the_version_that_was_seen() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 3, json!({})).await;
        let hand_at = |change: Value, version: &str| {
            app.put(format!("{race}/offer"), change).by(&organiser).header("if-match", version)
        };
        let hand = async |change: Value| hand(app, &race, &organiser, change).await;
        hand(json!({ "reason": "nothing" })).await.wrong_field("");
        hand(json!({ "paused": true })).await.problem(422, "http/invalid");
        for (field, change) in [
            ("reason", json!({ "paused": true, "reason": " " })),
            ("reason", json!({ "paused": true, "reason": "가".repeat(501) })),
            ("course", json!({ "course": "half", "capacity": 5, "reason": "x" })),
            ("capacity", json!({ "capacity": 0, "reason": "x" })),
            ("capacity", json!({ "capacity": -5, "reason": "x" })),
            ("capacity", json!({ "capacity": 1e9, "reason": "x" })),
            ("held_back", json!({ "held_back": 1_000_001, "reason": "x" })),
        ] {
            hand(change).await.wrong_field(field);
        }
        // More held back than there is cannot stand.
        let beyond = hand(json!({ "held_back": 4, "reason": "x" })).await;
        assert!(matches!(beyond.status, 409 | 422), "{}", beyond.show());
        hand_at(json!({ "capacity": 5, "reason": "x" }), "2").await.problem(412, "http/version");
        hand_at(json!({ "capacity": 5, "reason": "x" }), "1").await.must(200);
        hand_at(json!({ "capacity": 6, "reason": "x" }), "1").await.problem(412, "http/version");
        let now = app.get(format!("{race}/offer")).await.must(200);
        assert_eq!((now.number("version"), &now.body["pools"][0]["capacity"]), (2, &json!(5)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_courses_a_hand_names_one() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let course = |code: &str| json!({ "code": code, "type": "km10", "capacity": 5, "fee_won": 0 });
        let several = json!({ "type": null, "capacity": null, "fee_won": null, "courses": [course("a"), course("b")] });
        let race = race::open(app, &organiser, 1, several).await;
        let hand = async |change: Value| hand(app, &race, &organiser, change).await;
        hand(json!({ "capacity": 9, "reason": "x" })).await.wrong_field("course");
        let changed = hand(json!({ "course": "b", "capacity": 9, "reason": "x" })).await.must(200);
        assert_eq!(
            (&changed.body["pools"][0]["capacity"], &changed.body["pools"][1]["capacity"]),
            (&json!(5), &json!(9))
        );
        hand(json!({ "paused": true, "reason": "all of them" })).await.must(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_leaves_its_mark_in_the_order_log() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 3, json!({})).await;
        for change in [
            json!({ "paused": true, "reason": "x" }),
            json!({ "paused": true, "reason": "twice is once" }),
            json!({ "paused": false, "reason": "x" }),
            json!({ "capacity": 4, "reason": "x" }),
            json!({ "closes_at": "2020-01-01T00:00:00Z", "reason": "x" }),
        ] {
            hand(app, &race, &organiser, change).await.must(200);
        }
        let closed = hand(app, &race, &organiser, json!({ "paused": false, "reason": "x" })).await;
        assert!(closed.status == 200 || closed.code() == "admission/closed", "{}", closed.show());
        let log = app.get(format!("{race}/offer/log")).await.must(200);
        let events: Vec<&str> = log.items().iter().map(|item| item["event"].as_str().unwrap()).collect();
        assert_eq!(events, ["rules", "pause", "resume", "rules", "close"]);
        assert_eq!(app.get(race.clone()).await.must(200).text("state"), "closed");
        claim(app, &race, &app.crowd(1)[0]).await.problem(409, "admission/closed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_is_given_by_hand_past_line_pause_and_eligibility() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let rules = json!({ "waitlist": true, "held_back": 1, "waitlist_hold_s": 3_600, "eligibility": { "verified": "identity" } });
        let race = race::open(app, &organiser, 2, rules).await;
        let people = members(app, 3).await;
        let assign = |person: &Person, key: &str| {
            let body = json!({ "username": person.username, "reason": "초대" });
            app.post(format!("{race}/offer/assignments"), body).by(&organiser).header("idempotency-key", key)
        };
        hand(app, &race, &organiser, json!({ "paused": true, "reason": "x" })).await.must(200);
        claim(app, &race, &people[0]).await.problem(409, "admission/not-eligible");
        let given = assign(&people[0], "a").await.must(201);
        assert_eq!((given.text("state"), &given.body["person_key"]), ("held".to_owned(), &Value::Null));
        assert_eq!(assign(&people[0], "a").await.must(201).text("id"), given.text("id"));
        assert_eq!(assign(&people[0], "b").await.must(200).text("id"), given.text("id"), "has one already");
        let offer = app.get(format!("{race}/offer")).await.must(200);
        let pool = &offer.body["pools"][0];
        assert_eq!((&pool["held_back"], &pool["remaining"]), (&json!(0), &json!(1)), "what is held back goes first");
        // He sees it, and his click finds it although the rules would not admit him.
        let clicked = claim(app, &race, &people[0]).await.must(200);
        assert_eq!(clicked.text("id"), given.text("id"));
        assert!(clicked.body["person_key"].is_string());

        assign(&people[1], "c").await.must(201);
        assign(&people[2], "d").await.problem(409, "admission/no-units");
        let nobody = json!({ "username": "nobody99", "reason": "x" });
        app.post(format!("{race}/offer/assignments"), nobody).by(&organiser).await.problem(404, "races/no-such-user");
        for (field, body) in [
            ("reason", json!({ "username": people[2].username, "reason": "" })),
            ("course", json!({ "username": people[2].username, "reason": "x", "course": "half" })),
            ("username", json!({ "username": "", "reason": "x" })),
        ] {
            app.post(format!("{race}/offer/assignments"), body).by(&organiser).await.wrong_field(field);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_moved_by_the_hand() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 2, json!({ "waitlist": true, "held_back": 1 })).await;
        let people = members(app, 3).await;
        let mut ids = Vec::new();
        for person in &people {
            ids.push(claim(app, &race, person).await.must(201).text("id"));
        }
        let body = json!({ "username": people[2].username, "reason": "초대" });
        let moved = app.post(format!("{race}/offer/assignments"), body).by(&organiser).await.must(200);
        assert_eq!((moved.text("id"), moved.text("state")), (ids[2].clone(), "held".to_owned()));
        let overtaken = app.get(format!("/api/v1/registrations/{}", ids[1])).by(&people[1]).await.must(200);
        assert_eq!((overtaken.text("state"), overtaken.number("position")), ("waitlisted".to_owned(), 1));
    })
    .await;
}

async fn hand(app: &App, race: &str, organiser: &Person, change: Value) -> Answer {
    app.put(format!("{race}/offer"), change).by(organiser).await
}
