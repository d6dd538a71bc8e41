//! Changing a race, and doing away with it.

use serde_json::{Value, json};

use crate::http::race::{self, claim, in_s};
use crate::support::app::yards;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_sale_everything_changes_over_the_version_that_was_seen() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 10, json!({ "opens_at": in_s(app, 3_600) })).await;
        let edit = |change: Value| app.patch(race.clone(), change).by(&organiser);
        let change = json!({ "title": "새 이름", "capacity": 25, "fee_won": 0, "waitlist": true, "terms": "약관 2", "hold_s": 60 });
        let edited = edit(change.clone()).header("if-match", "\"1\"").await.must(200);
        for field in ["title", "capacity", "fee_won", "waitlist", "terms", "hold_s"] {
            assert_eq!(edited.body[field], change[field], "{field}");
        }
        assert_eq!((edited.number("version"), edited.number("terms_version"), edited.number("remaining")), (2, 2, 25));
        let stale = edit(json!({ "title": "x" })).header("if-match", "W/\"1\"").await.problem(412, "http/version");
        assert_eq!(stale.number("version"), 2);
        assert_eq!(edit(json!({ "title": "새 이름" })).await.must(200).number("version"), 2, "nothing new is no version");
        assert_eq!(edit(json!({ "title": null })).await.must(200).number("version"), 2);
        for (field, change) in [
            ("title", json!({ "title": "" })),
            ("capacity", json!({ "capacity": 0 })),
            ("closes_at", json!({ "opens_at": in_s(app, 999_999) })),
            ("courses", json!({ "courses": [], "capacity": 5 })),
        ] {
            edit(change).await.wrong_field(field);
        }
        for refused in [json!({ "id": "x" }), json!({ "version": 9 }), json!({ "owner_id": null }), json!([])] {
            edit(refused).await.problem(422, "http/invalid");
        }
        edit(json!({ "reception": "lottery" })).await.problem(422, "races/lottery-unavailable");
        assert_eq!(app.get(race.clone()).await.must(200).text("title"), "새 이름");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_started_sale_keeps_its_terms() {
    yards(async |app| {
        let (organiser, admin) = app.organiser().await;
        let race = race::open(app, &organiser, 10, json!({})).await;
        let edit = |change: Value| app.patch(race.clone(), change).by(&organiser);
        for change in [
            json!({ "capacity": 11 }),
            json!({ "fee_won": 0 }),
            json!({ "terms": "other" }),
            json!({ "hold_s": 60 }),
            json!({ "waitlist": true }),
            json!({ "opens_at": in_s(app, 3_600) }),
            json!({ "closes_at": in_s(app, 7_200) }),
            json!({ "type": "full" }),
            json!({ "souvenirs": [{ "name": "메달", "sizes": [{ "size": "M", "stock": 1 }] }] }),
            json!({ "eligibility": { "age_min": 20 } }),
            json!({ "refund_rules": [{ "until": in_s(app, 60), "percent": 1 }] }),
        ] {
            edit(change.clone()).await.problem(409, "races/terms-frozen");
        }
        let edited = edit(
            json!({ "title": "비 오는 날", "description": "우비", "place": "부산", "race_at": in_s(app, 999_999) }),
        )
        .await
        .must(200);
        assert_eq!((edited.text("title"), edited.number("terms_version")), ("비 오는 날".to_owned(), 1));
        // Admins may what organisers may.
        app.patch(race.clone(), json!({ "place": "대구" })).by(&admin).await.must(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_race_is_deleted_over_the_version_that_was_seen() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 10, json!({})).await;
        let delete = || app.delete(race.clone()).by(&organiser);
        delete().header("if-match", "7").await.problem(412, "http/version");
        assert_eq!(app.get(race.clone()).await.must(200).text("state"), "open", "not paused by the attempt");
        delete().header("if-match", "1").await.must(204);
        delete().await.problem(404, "http/not-found");
        app.get(race.clone()).await.problem(404, "http/not-found");
        assert_eq!(app.get("/api/v1/races").await.must(200).items().len(), 0);
        assert_eq!(app.get("/api/v1/races?q=%ED%95%9C%EA%B0%95").await.must(200).items().len(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_race_gives_every_place_back() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 2, json!({ "waitlist": true })).await;
        let people = app.crowd(3);
        let mut ids = Vec::new();
        for person in &people {
            ids.push(claim(app, &race, person).await.must(201).text("id"));
        }
        let cancel = |body: Value| app.post(format!("{race}/cancellation"), body).by(&organiser);
        cancel(json!({})).await.problem(422, "http/invalid");
        cancel(json!({ "reason": "  " })).await.wrong_field("reason");
        let cancelled = cancel(json!({ "reason": "태풍" })).await.must(200);
        assert_eq!((cancelled.text("state"), cancelled.number("remaining")), ("cancelled".to_owned(), 2));
        cancel(json!({ "reason": "태풍" })).await.must(200);
        for (person, id) in people.iter().zip(&ids) {
            let gone = app.get(format!("/api/v1/registrations/{id}")).by(person).await.must(200);
            assert_eq!(gone.text("state"), "cancelled");
        }
        claim(app, &race, &app.crowd(1)[0]).await.problem(409, "admission/closed");
        app.patch(race.clone(), json!({ "title": "x" })).by(&organiser).await.problem(409, "races/cancelled");
        let hand = json!({ "paused": false, "reason": "x" });
        app.put(format!("{race}/offer"), hand).by(&organiser).await.problem(409, "races/cancelled");
        let found = app.get("/api/v1/races?state=cancelled").await.must(200);
        assert_eq!(found.items().len(), 1);
    })
    .await;
}
