//! Claiming a place, the line, leaving, and who sees what.

use std::collections::HashSet;

use axum::http::Method;
use futures::future::join_all;
use kernel::contracts::identity::Eligibility;
use serde_json::{Value, json};

use super::{Person, Yard, offer, race, registration, registrations, request};

#[tokio::test]
async fn two_places_go_to_two_people() {
    for yard in Yard::all().await {
        let id = yard.race(&Person::organiser(), json!({})).await;
        let (first, second, third) = (Person::member(), Person::member(), Person::member());
        let got = yard.claim(&first, &id).await.must(201);
        assert_eq!(got.body["state"], "held");
        assert_eq!(got.body["next_step"], "terms");
        assert_eq!(got.body["sequence"], 1);
        assert_eq!(got.body["course"], "km10");
        assert_eq!(got.body["race_id"], id);
        assert_eq!(got.body["position"], Value::Null);
        assert!(got.str("receipt").starts_with("c2sp.org/tlog-proof@v1\n"), "{}", got.text);
        assert_eq!(got.str("person_key").len(), 44);
        assert!(got.str("hold_expires_at") > yard.in_s(590));
        let again = yard.claim(&first, &id).await.must(200);
        assert_eq!((&again.body["id"], &again.body["sequence"]), (&got.body["id"], &got.body["sequence"]));
        assert_eq!(again.body["person_key"], got.body["person_key"]);
        yard.claim(&second, &id).await.must(201);
        let refused = yard.claim(&third, &id).await.fails(409, "admission/sold-out");
        assert_eq!(refused.body["sequence"], 3);
        assert_eq!(refused.body["log_index"], 3);
        let repeat = yard.claim(&third, &id).await.fails(409, "admission/sold-out");
        assert_eq!(repeat.body["sequence"], 3);
        assert_eq!(repeat.body["receipt"], Value::Null);
        let now = yard.look(&race(&id)).await.must(200);
        assert_eq!((&now.body["state"], &now.body["remaining"]), (&json!("sold_out"), &json!(0)));
        assert_eq!(yard.count("registration").await, 2);
    }
}

#[tokio::test]
async fn a_crowd_gets_exactly_what_there_is() {
    for yard in Yard::all().await {
        let id = yard.race(&Person::organiser(), json!({ "capacity": 7 })).await;
        let crowd: Vec<Person> = (0..40).map(|_| Person::member()).collect();
        let clicks = crowd.iter().flat_map(|person| [person, person]).map(|person| yard.claim(person, &id));
        let answers = join_all(clicks).await;
        let placed: HashSet<String> =
            answers.iter().filter(|one| one.status.is_success()).map(|one| one.str("id")).collect();
        assert_eq!(placed.len(), 7);
        let numbers: HashSet<String> = answers.iter().map(|one| one.body["sequence"].to_string()).collect();
        assert_eq!(numbers.len(), 40);
        assert_eq!(yard.count("registration").await, 7);
    }
}

#[tokio::test]
async fn who_waits_is_placed_when_somebody_leaves() {
    for yard in Yard::all().await {
        let id = yard.race(&Person::organiser(), json!({ "capacity": 1, "waitlist": true })).await;
        let (holder, second, third) = (Person::member(), Person::member(), Person::member());
        let place = yard.claim(&holder, &id).await.must(201).str("id");
        let waiting = yard.claim(&second, &id).await.must(201);
        assert_eq!(waiting.body["state"], "waitlisted");
        assert_eq!((&waiting.body["next_step"], &waiting.body["hold_expires_at"]), (&Value::Null, &Value::Null));
        assert_eq!(waiting.body["position"], 1);
        let last = yard.claim(&third, &id).await.must(201);
        assert_eq!(last.body["position"], 2);
        assert_eq!(yard.get(&third, &registration(&last.str("id"))).await.must(200).body["position"], 2);
        assert_eq!(yard.look(&race(&id)).await.body["waiting"], 2);

        let left = yard.delete(&holder, &registration(&place)).await.must(200);
        assert_eq!(left.body["state"], "cancelled");
        assert_eq!(left.body["next_step"], Value::Null);
        assert_eq!(yard.delete(&holder, &registration(&place)).await.must(200).body, left.body);
        let promoted = yard.get(&second, &registration(&waiting.str("id"))).await.must(200);
        assert_eq!((&promoted.body["state"], &promoted.body["next_step"]), (&json!("held"), &json!("terms")));
        assert!(promoted.str("hold_expires_at") > yard.in_s(86_000));
        assert_eq!(yard.get(&third, &registration(&last.str("id"))).await.must(200).body["position"], 1);

        let back = yard.claim(&holder, &id).await.must(201);
        assert_eq!(back.body["replaces"], place);
        assert_eq!(back.body["position"], 2);
        let old = yard.get(&holder, &registration(&place)).await.must(200);
        assert_eq!(old.body["replaced_by"], back.body["id"]);
        assert_eq!(
            yard.get(&holder, "/api/v1/registrations").await.must(200).body["items"].as_array().map(Vec::len),
            Some(2)
        );
    }
}

#[tokio::test]
async fn a_hold_that_ends_goes_to_the_next() {
    for yard in Yard::all().await {
        let id = yard.race(&Person::organiser(), json!({ "capacity": 1, "hold_s": 60 })).await;
        let (first, second) = (Person::member(), Person::member());
        let held = yard.claim(&first, &id).await.must(201).str("id");
        yard.claim(&second, &id).await.fails(409, "admission/sold-out");
        // The store doubts a clock that runs ahead; a hold that ends now is made to end long ago.
        let sql = "UPDATE claim SET hold_until_ms = 1 WHERE state = 'held'";
        let ended = yard.db.write(|tx| Box::pin(async move { platform::db::Query::run(tx, sql, vec![]).await }));
        Result::<u64, platform::db::DbError>::expect(ended.await, "it is changed");
        yard.run_jobs().await;
        assert_eq!(yard.get(&first, &registration(&held)).await.must(200).body["state"], "expired");
        let seq = yard.claim(&second, &id).await.must(201).body["sequence"].clone();
        assert_eq!(seq, 3);
    }
}

#[tokio::test]
async fn a_sale_has_its_times() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let early = yard.race(&organiser, json!({ "opens_at": yard.in_s(3_600) })).await;
        let refused = yard.claim(&Person::member(), &early).await.fails(409, "admission/not-open");
        assert!((3_500_000..=3_600_000).contains(&refused.body["opens_in_ms"].as_i64().expect("a number")));
        assert_eq!(yard.look(&race(&early)).await.body["state"], "scheduled");
        let paused = yard.race(&organiser, json!({})).await;
        yard.put(&organiser, &offer(&paused), json!({ "paused": true, "reason": "비" })).await.must(200);
        yard.claim(&Person::member(), &paused).await.fails(409, "admission/paused");
        let closed = yard.race(&organiser, json!({})).await;
        yard.put(&organiser, &offer(&closed), json!({ "closes_at": yard.in_s(-1), "reason": "early" })).await.must(200);
        yard.claim(&Person::member(), &closed).await.fails(409, "admission/closed");
        assert_eq!(yard.leaves(&closed).await, ["rules", "close"]);
    }
}

#[tokio::test]
async fn a_claim_says_its_course_and_souvenir() {
    for yard in Yard::all().await {
        let courses = json!([
            { "code": "10k", "type": "km10", "capacity": 5, "fee_won": 1 },
            { "code": "ultra", "type": "free", "distance_m": 50_000, "capacity": 5, "fee_won": 2 },
        ]);
        let changes = json!({
            "courses": courses, "type": null, "capacity": null, "fee_won": null,
            "souvenirs": [
                { "name": "shirt", "sizes": [{ "size": "S", "stock": 1 }, { "size": "M", "stock": 0 }] },
                { "name": "cap", "sizes": [{ "size": "free", "stock": 9 }] },
            ],
        });
        let id = yard.race(&Person::organiser(), changes).await;
        let shown = yard.look(&race(&id)).await.must(200).body;
        let (shirt, cap) = (shown["souvenirs"][0]["id"].clone(), shown["souvenirs"][1]["id"].clone());
        let path = registrations(&id);
        let wrong = yard.claim(&Person::member(), &id).await.fails(422, "http/invalid");
        assert_eq!(wrong.fields(), ["course"]);
        for (body, field) in [
            (json!({ "course": "5k" }), "course"),
            (json!({ "course": "s1-1" }), "course"),
            (json!({ "course": "10k", "souvenir": { "id": uuid::Uuid::nil(), "size": "S" } }), "souvenir.id"),
            (json!({ "course": "10k", "souvenir": { "id": shirt, "size": "XL" } }), "souvenir.size"),
            (json!({ "course": "10k", "souvenir": { "id": shirt } }), "souvenir"),
            (json!({ "course": "10k", "size": "S" }), ""),
            (json!({ "course": 10 }), "course"),
        ] {
            let refused = yard.post(&Person::member(), &path, body.clone()).await.fails(422, "http/invalid");
            assert!(refused.fields()[0].starts_with(field), "{body}: {}", refused.text);
        }
        let lucky = Person::member();
        let body = json!({ "course": "ultra", "souvenir": { "id": shirt, "size": "S" } });
        let got = yard.post(&lucky, &path, body.clone()).await.must(201);
        assert_eq!((&got.body["course"], &got.body["souvenir"]), (&json!("ultra"), &body["souvenir"]));
        let read = yard.get(&lucky, &registration(&got.str("id"))).await.must(200);
        assert_eq!(read.body["souvenir"], body["souvenir"]);
        // All or nothing: the last shirt is gone, so there is no place with it.
        yard.post(&Person::member(), &path, body).await.fails(409, "admission/sold-out");
        let other = json!({ "course": "ultra", "souvenir": { "id": cap, "size": "free" } });
        yard.post(&Person::member(), &path, other).await.must(201);
        let shown = yard.look(&race(&id)).await.must(200).body;
        assert_eq!(shown["souvenirs"][0]["sizes"][0]["remaining"], 0);
        assert_eq!(shown["souvenirs"][1]["sizes"][0]["remaining"], 8);
        assert_eq!(shown["courses"][1]["remaining"], 3);
        assert_eq!(shown["remaining"], 8);
    }
}

#[tokio::test]
async fn a_key_answers_with_its_own_claim() {
    for yard in Yard::all().await {
        let id = yard.race(&Person::organiser(), json!({})).await;
        let person = Person::member();
        let click = |key: &'static str, body: Value| {
            let request = request(Method::POST, &registrations(&id), Some(body), &[("idempotency-key", key)]);
            yard.send(Some(&person), request)
        };
        let first = click("one", json!({})).await.must(201).str("id");
        assert_eq!(click("one", json!({})).await.must(201).str("id"), first);
        click("one", json!({ "course": "km10" })).await.fails(422, "idempotency/mismatch");
        yard.delete(&person, &registration(&first)).await.must(200);
        assert_eq!(click("one", json!({})).await.must(201).body["state"], "cancelled");
        assert_ne!(click("two", json!({})).await.must(201).str("id"), first);
    }
}

#[tokio::test]
async fn a_key_answers_with_its_own_claim_also_after_a_refusal() {
    for yard in Yard::all().await {
        let id = yard.race(&Person::organiser(), json!({ "capacity": 1 })).await;
        let person = Person::member();
        let click = || {
            let request = request(Method::POST, &registrations(&id), Some(json!({})), &[("idempotency-key", "one")]);
            yard.send(Some(&person), request)
        };
        let place = click().await.must(201).str("id");
        yard.delete(&person, &registration(&place)).await.must(200);
        yard.claim(&Person::member(), &id).await.must(201);
        yard.claim(&person, &id).await.fails(409, "admission/sold-out");
        yard.claim(&person, &id).await.fails(409, "admission/sold-out");
        let again = click().await.must(201);
        assert_eq!((again.str("id"), again.str("state")), (place, "cancelled".to_owned()));
    }
}

#[tokio::test]
async fn a_place_regained_follows_the_newest_one_before() {
    for yard in Yard::all().await {
        let id = yard.race(&Person::organiser(), json!({})).await;
        let person = Person::member();
        let mut before = None;
        for _ in 0..4 {
            let place = yard.claim(&person, &id).await.must(201);
            assert_eq!(place.body["replaces"], json!(before));
            let place = place.str("id");
            yard.delete(&person, &registration(&place)).await.must(200);
            before = Some(place);
        }
    }
}

#[tokio::test]
async fn a_place_is_its_owners() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let id = yard.race(&organiser, json!({})).await;
        let owner = Person::member();
        let place = registration(&yard.claim(&owner, &id).await.must(201).str("id"));
        yard.call(None, Method::GET, &place, None).await.fails(401, "auth/required");
        yard.call(None, Method::DELETE, &place, None).await.fails(401, "auth/required");
        yard.call(None, Method::POST, &registrations(&id), Some(json!({}))).await.fails(401, "auth/required");
        yard.call(None, Method::GET, "/api/v1/registrations", None).await.fails(401, "auth/required");
        for stranger in [Person::member(), Person::organiser()] {
            yard.get(&stranger, &place).await.fails(404, "http/not-found");
            yard.delete(&stranger, &place).await.fails(404, "http/not-found");
        }
        yard.delete(&organiser, &place).await.fails(404, "http/not-found");
        let seen = yard.get(&organiser, &place).await.must(200);
        assert_eq!(seen.body["person_key"], Value::Null);
        assert_eq!(yard.get(&owner, &place).await.must(200).str("person_key").len(), 44);
        yard.get(&owner, &registration("nonsense")).await.fails(404, "http/not-found");
        yard.claim(&owner, &uuid::Uuid::now_v7().to_string()).await.fails(404, "http/not-found");
    }
}

#[tokio::test]
async fn rules_admit_who_meets_them() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let eligibility =
            json!({ "account_before": yard.in_s(-60), "verified": "email", "age_min": 18, "age_max": 80 });
        let id = yard.race(&organiser, json!({ "eligibility": eligibility, "capacity": 10 })).await;
        let person = Person::member();
        let refused = yard.claim(&person, &id).await.fails(409, "admission/not-eligible");
        assert_eq!(refused.body["rule"], "account");
        let fine = Eligibility {
            created_ms: 0,
            email_verified: true,
            phone_verified: false,
            identity_verified: false,
            birth_date: chrono::NaiveDate::from_ymd_opt(1990, 1, 1),
        };
        let cases = [
            (Eligibility { created_ms: yard.clock.now_ms(), ..fine.clone() }, "account_before"),
            (Eligibility { email_verified: false, ..fine.clone() }, "verified"),
            (Eligibility { birth_date: None, ..fine.clone() }, "age_min"),
            (Eligibility { birth_date: chrono::NaiveDate::from_ymd_opt(1900, 1, 1), ..fine.clone() }, "age_max"),
        ];
        for (facts, rule) in cases {
            yard.people.facts.lock().expect("a lock").insert(person.user(), facts);
            let refused = yard.claim(&person, &id).await.fails(409, "admission/not-eligible");
            assert_eq!(refused.body["rule"], rule);
        }
        yard.people.facts.lock().expect("a lock").insert(person.user(), fine);
        yard.claim(&person, &id).await.must(201);
        // Whom the organiser placed has his place whatever the rules say.
        let guest = Person::member();
        yard.known(&guest, "손님", 1).await;
        let body = json!({ "username": guest.username(), "reason": "초대" });
        let given = yard.post(&organiser, &format!("{}/assignments", offer(&id)), body).await.must(201);
        assert_eq!(yard.claim(&guest, &id).await.must(200).body["id"], given.body["id"]);
    }
}
