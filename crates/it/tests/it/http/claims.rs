//! Getting a place, waiting for one, giving it up.

use std::collections::{HashMap, HashSet};

use futures::future::join_all;
use serde_json::{Value, json};

use super::race::{self, claim, click, in_s, members, redacted};
use crate::support::app::{App, Ask, Person, yards};

const MINE: &str = "/api/v1/registrations";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_is_held_and_shown_to_its_owner() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 2, json!({})).await;
        let member = app.member().await;
        let placed = claim(app, &race, &member).await.must(201);
        insta::allow_duplicates! {
            insta::assert_json_snapshot!(redacted(&placed.body), @r#"
            {
              "address": null,
              "bib": null,
              "course": "km10",
              "decided_at": "[time]",
              "ended_by": null,
              "hold_expires_at": "[time]",
              "id": "[id]",
              "log_index": 1,
              "next_step": "terms",
              "payment": null,
              "person_key": "[key]",
              "position": null,
              "race_id": "[id]",
              "receipt": "[receipt]",
              "received_at": "[time]",
              "refund": null,
              "replaced_by": null,
              "replaces": null,
              "sequence": 1,
              "souvenir": null,
              "state": "held",
              "terms_version": null
            }
            "#);
        }
        let again = claim(app, &race, &member).await.must(200);
        for field in ["id", "sequence", "log_index", "state", "hold_expires_at", "person_key"] {
            assert_eq!(again.body[field], placed.body[field], "{field}");
        }
        let path = format!("{MINE}/{}", placed.text("id"));
        let mine = app.get(path.clone()).by(&member).await.must(200);
        assert_eq!(mine.body["person_key"], placed.body["person_key"]);
        let organised = app.get(path).by(&organiser).await.must(200);
        assert_eq!(organised.body["person_key"], Value::Null, "shown to its owner only");
        let list = app.get(MINE).by(&member).await.must(200);
        assert_eq!(list.items(), [mine.body]);
        let race = app.get(race).await.must(200);
        assert_eq!((race.number("remaining"), race.text("state")), (1, "open".to_owned()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_too_late_is_told_his_number_for_good() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 1, json!({})).await;
        let people = app.crowd(3);
        let first = claim(app, &race, &people[0]).await.must(201);
        let refused = claim(app, &race, &people[1]).await.problem(409, "admission/sold-out");
        assert_eq!((refused.number("sequence"), refused.number("log_index")), (2, 2));
        assert!(refused.text("receipt").starts_with("c2sp.org/tlog-proof@v1\n"));
        let size = app.get(format!("{race}/offer")).await.must(200).number("size");
        for _ in 0..3 {
            let repeat = claim(app, &race, &people[1]).await.problem(409, "admission/sold-out");
            assert_eq!((repeat.number("sequence"), repeat.number("log_index")), (2, 2));
            assert_eq!(repeat.body.get("receipt"), None, "fetched where the log is");
        }
        app.get(format!("{race}/offer/receipts/2")).await.must(200);
        let offer = app.get(format!("{race}/offer")).await.must(200);
        assert_eq!((offer.number("size"), offer.text("state")), (size, "sold_out".to_owned()), "a repeat is no leaf");
        assert_eq!(app.get(MINE).by(&people[1]).await.must(200).items().len(), 0);

        give_up(app, &people[0], &first.text("id")).await.must(200);
        // Now that a place is free the same click is a new claim.
        assert_eq!(claim(app, &race, &people[1]).await.must(201).number("sequence"), 3);
        let third = claim(app, &race, &people[2]).await.problem(409, "admission/sold-out");
        assert_eq!(third.number("sequence"), 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_gets_exactly_what_there_is() {
    const PEOPLE: usize = 150;
    const PLACES: usize = 20;
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, PLACES as u32, json!({})).await;
        let people = app.crowd(PEOPLE);
        let clicks = (0..3).flat_map(|_| &people).map(async |person| (&person.id, click(app, &race, person).await));
        let mut numbers: HashMap<&String, HashSet<i64>> = HashMap::new();
        let mut placed: HashSet<String> = HashSet::new();
        for (person, answer) in join_all(clicks).await {
            numbers.entry(person).or_default().insert(answer.number("sequence"));
            match answer.status {
                409 => drop(answer.problem(409, "admission/sold-out")),
                _ => drop(placed.insert(answer.text("id"))),
            }
        }
        assert_eq!(placed.len(), PLACES);
        assert!(numbers.values().all(|numbers| numbers.len() == 1), "one number each");
        let all: HashSet<i64> = numbers.into_values().flatten().collect();
        assert_eq!(all, (1..=PEOPLE as i64).collect(), "numbers without a gap");
        let race = app.get(race).await.must(200);
        assert_eq!((race.number("remaining"), race.text("state")), (0, "sold_out".to_owned()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_moves_up_when_somebody_leaves() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 1, json!({ "waitlist": true })).await;
        let people = members(app, 4).await;
        let held = claim(app, &race, &people[0]).await.must(201).text("id");
        let mut waiting = Vec::new();
        for (person, position) in people[1..].iter().zip(1..) {
            let answer = claim(app, &race, person).await.must(201);
            assert_eq!((answer.text("state"), answer.number("position")), ("waitlisted".to_owned(), position));
            assert_eq!((&answer.body["hold_expires_at"], &answer.body["next_step"]), (&Value::Null, &Value::Null));
            waiting.push(answer.text("id"));
        }
        assert_eq!(app.get(format!("{race}/offer")).await.must(200).number("waiting"), 3);

        give_up(app, &people[2], &waiting[1]).await.must(200);
        let last = app.get(format!("{MINE}/{}", waiting[2])).by(&people[3]).await.must(200);
        assert_eq!(last.number("position"), 2, "who leaves the line moves up who stands behind");

        let left = give_up(app, &people[0], &held).await.must(200);
        assert_eq!((left.text("state"), &left.body["next_step"]), ("cancelled".to_owned(), &Value::Null));
        assert_eq!(give_up(app, &people[0], &held).await.must(200).body, left.body, "twice is once");
        let granted = app.get(format!("{MINE}/{}", waiting[0])).by(&people[1]).await.must(200);
        assert_eq!((granted.text("state"), granted.text("next_step")), ("held".to_owned(), "terms".to_owned()));
        assert!(granted.body["hold_expires_at"].is_string() && granted.body["position"].is_null());
        let newcomer = claim(app, &race, &people[0]).await.must(201);
        assert_eq!((newcomer.text("state"), newcomer.number("position")), ("waitlisted".to_owned(), 2));
        assert_eq!(newcomer.text("replaces"), held);
        let old = app.get(format!("{MINE}/{held}")).by(&people[0]).await.must(200);
        assert_eq!(old.text("replaced_by"), newcomer.text("id"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_comes_back_goes_to_whoever_clicks_where_the_rules_say_pool() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 1, json!({ "waitlist": true, "return_to": "pool" })).await;
        let people = app.crowd(2);
        let held = claim(app, &race, &people[0]).await.must(201).text("id");
        let waiting = claim(app, &race, &people[1]).await.must(201);
        give_up(app, &people[0], &held).await.must(200);
        let still = app.get(format!("{MINE}/{}", waiting.text("id"))).by(&people[1]).await.must(200);
        assert_eq!(still.text("state"), "waitlisted", "nobody is placed by himself");
        let clicked = claim(app, &race, &people[1]).await.must(200);
        assert_eq!((clicked.text("state"), clicked.text("id")), ("held".to_owned(), waiting.text("id")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_answers_with_its_own_claim() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 2, json!({})).await;
        let person = &app.crowd(1)[0];
        let keyed = |key: &str, body: Value| {
            app.post(format!("{race}/registrations"), body).by(person).header("idempotency-key", key)
        };
        let first = keyed("one", json!({})).await.must(201);
        let again = keyed("one", json!({})).await.must(201);
        assert_eq!(again.text("id"), first.text("id"));
        keyed("one", json!({ "course": "km10" })).await.problem(422, "idempotency/mismatch");
        assert_eq!(keyed("two", json!({})).await.must(200).text("id"), first.text("id"), "another key, the same place");

        give_up(app, person, &first.text("id")).await.must(200);
        let ended = keyed("one", json!({})).await.must(201);
        assert_eq!((ended.text("id"), ended.text("state")), (first.text("id"), "cancelled".to_owned()));
        let anew = keyed("three", json!({})).await.must(201);
        assert_eq!((anew.text("replaces"), anew.text("state")), (first.text("id"), "held".to_owned()));

        let other = &app.crowd(1)[0];
        let others = app
            .post(format!("{race}/registrations"), json!({}))
            .by(other)
            .header("idempotency-key", "one")
            .await
            .must(201);
        assert_ne!(others.text("id"), first.text("id"), "a key is its caller's");
        for bad in ["", &"k".repeat(256), "한글"] {
            keyed(bad, json!({})).await.problem(400, "http/unreadable");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_used_many_times_at_once_makes_one_claim() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let race = race::open(app, &organiser, 5, json!({})).await;
        let person = &app.crowd(1)[0];
        let clicks = (0..10).map(|_| claim(app, &race, person).header("idempotency-key", "k").into_future());
        let answers = join_all(clicks).await;
        let ids: HashSet<String> = answers.into_iter().map(|answer| answer.must(201).text("id")).collect();
        assert_eq!(ids.len(), 1);
        assert_eq!(app.get(race).await.must(200).number("remaining"), 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_has_its_times() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let person = &app.crowd(1)[0];
        let later = race::open(app, &organiser, 1, json!({ "opens_at": in_s(app, 3_600) })).await;
        let early = claim(app, &later, person).await.problem(409, "admission/not-open");
        let opens_in_ms = early.number("opens_in_ms");
        assert!((3_000_000..=3_600_000).contains(&opens_in_ms), "{opens_in_ms}");

        let race = race::open(app, &organiser, 1, json!({})).await;
        let hand = |change: Value| app.put(format!("{race}/offer"), change).by(&organiser);
        hand(json!({ "paused": true, "reason": "비가 옵니다" })).await.must(200);
        claim(app, &race, person).await.problem(409, "admission/paused");
        assert_eq!(app.get(race.clone()).await.must(200).text("state"), "paused");
        hand(json!({ "paused": false, "reason": "그쳤습니다" })).await.must(200);
        let placed = claim(app, &race, person).await.must(201);
        hand(json!({ "closes_at": "2020-01-01T00:00:00Z", "reason": "마감" })).await.must(200);
        claim(app, &race, &app.crowd(1)[0]).await.problem(409, "admission/closed");
        assert_eq!(claim(app, &race, person).await.must(200).text("id"), placed.text("id"), "what he has stays");
        let nobodys = "/api/v1/races/0190b2a4-0000-7000-8000-000000000000";
        claim(app, nobodys, person).await.problem(404, "http/not-found");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_names_its_course_and_its_souvenir() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let made = race::make(app, &organiser, 1, several_courses()).await;
        let race = format!("/api/v1/races/{}", made.text("id"));
        let shirt = made.body["souvenirs"][0]["id"].clone();
        let people = app.crowd(4);
        let ask = |person: &Person, body: Value| app.post(format!("{race}/registrations"), body).by(person);

        ask(&people[0], json!({})).await.wrong_field("course");
        ask(&people[0], json!({ "course": "half" })).await.wrong_field("course");
        ask(&people[0], json!({ "course": "10k", "souvenir": { "id": people[0].id, "size": "M" } }))
            .await
            .wrong_field("souvenir.id");
        ask(&people[0], json!({ "course": "10k", "souvenir": { "id": shirt, "size": "XXL" } }))
            .await
            .wrong_field("souvenir.size");
        ask(&people[0], json!({ "course": "10k", "souvenir": { "id": shirt } })).await.problem(422, "http/invalid");

        let with_shirt = json!({ "course": "10k", "souvenir": { "id": shirt, "size": "M" } });
        let placed = ask(&people[0], with_shirt.clone()).await.must(201);
        assert_eq!((&placed.body["souvenir"], placed.text("course")), (&with_shirt["souvenir"], "10k".to_owned()));
        // The only M is gone, so with it the whole claim; without it there is a place.
        ask(&people[1], with_shirt).await.problem(409, "admission/sold-out");
        ask(&people[1], json!({ "course": "10k", "souvenir": { "id": shirt, "size": "L" } })).await.must(201);
        ask(&people[2], json!({ "course": "5k" })).await.must(201);
        ask(&people[3], json!({ "course": "5k" })).await.problem(409, "admission/sold-out");

        let now = app.get(race).await.must(200);
        let remaining: Vec<i64> = now.body["courses"]
            .as_array()
            .unwrap()
            .iter()
            .map(|course| course["remaining"].as_i64().unwrap())
            .collect();
        assert_eq!((remaining, now.number("remaining"), now.number("capacity")), (vec![1, 0], 1, 4));
        let sizes = json!([{ "size": "M", "stock": 1, "remaining": 0 }, { "size": "L", "stock": 5, "remaining": 4 }]);
        assert_eq!(now.body["souvenirs"][0]["sizes"], sizes);
    })
    .await;
}

/// Three places of 10 km, one of 5 km; shirts in two sizes, of which one is scarce.
fn several_courses() -> Value {
    json!({
        "type": null, "capacity": null, "fee_won": null,
        "courses": [
            { "code": "10k", "type": "km10", "capacity": 3, "fee_won": 30_000 },
            { "code": "5k", "type": "km5", "capacity": 1, "fee_won": 0 },
        ],
        "souvenirs": [{ "name": "티셔츠", "sizes": [{ "size": "M", "stock": 1 }, { "size": "L", "stock": 5 }] }],
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rules_say_who_may_take_part() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let member = app.member().await;
        let refused = async |eligibility: Value| {
            let race = race::open(app, &organiser, 5, json!({ "eligibility": eligibility })).await;
            let answer = claim(app, &race, &member).await;
            if answer.status == 201 { None } else { Some(answer.problem(409, "admission/not-eligible").text("rule")) }
        };
        let rule = |name: &str| Some(name.to_owned());
        assert_eq!(refused(json!({})).await, None);
        assert_eq!(refused(json!({ "verified": "none" })).await, None);
        assert_eq!(refused(json!({ "verified": "email" })).await, rule("verified"));
        assert_eq!(refused(json!({ "verified": "identity" })).await, rule("verified"));
        assert_eq!(refused(json!({ "account_before": in_s(app, -3_600) })).await, rule("account_before"));
        assert_eq!(refused(json!({ "account_before": in_s(app, 3_600) })).await, None);
        assert_eq!(
            refused(json!({ "age_min": 0 })).await,
            rule("age_min"),
            "who does not say his age meets no age rule"
        );

        app.patch("/api/v1/users/me", json!({ "birth_date": "1990-05-17" })).by(&member).await.must(200);
        assert_eq!(refused(json!({ "age_min": 30, "age_max": 90 })).await, None);
        assert_eq!(refused(json!({ "age_min": 90 })).await, rule("age_min"));
        assert_eq!(refused(json!({ "age_max": 18 })).await, rule("age_max"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn my_registrations_come_in_pages_and_by_state() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let person = &app.crowd(1)[0];
        let mut ids = Vec::new();
        for _ in 0..5 {
            let race = race::open(app, &organiser, 1, json!({})).await;
            ids.insert(0, claim(app, &race, person).await.must(201).text("id"));
        }
        give_up(app, person, &ids[1]).await.must(200);
        let page = app.get(format!("{MINE}?limit=2")).by(person).await.must(200);
        // One more in between: pages that follow do not move.
        let race = race::open(app, &organiser, 1, json!({})).await;
        claim(app, &race, person).await.must(201);
        let mut seen: Vec<String> = page.items().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
        let mut cursor = page.body["next_cursor"].clone();
        while let Some(next) = cursor.as_str() {
            let page = app.get(format!("{MINE}?limit=2&cursor={next}")).by(person).await.must(200);
            seen.extend(page.items().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
            cursor = page.body["next_cursor"].clone();
        }
        assert_eq!(seen, ids);
        let cancelled = app.get(format!("{MINE}?state=cancelled")).by(person).await.must(200);
        assert_eq!((cancelled.items().len(), &cancelled.items()[0]["id"]), (1, &json!(ids[1])));
        app.get(format!("{MINE}?state=lost")).by(person).await.problem(422, "http/invalid");
    })
    .await;
}

fn give_up<'a>(app: &'a App, person: &Person, id: &str) -> Ask<'a> {
    app.delete(format!("{MINE}/{id}")).by(person)
}
