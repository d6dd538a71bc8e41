//! Creating, editing, deleting and cancelling races.

use axum::http::Method;
use futures::future::join_all;
use kernel::Role;
use serde_json::{Value, json};

use super::{Person, Yard, offer, race, registration, registrations, request};

#[tokio::test]
async fn a_race_shows_what_it_was_made_of() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let wish = yard.wish(json!({ "title": "  한강 마라톤 ", "opens_at": yard.in_s(60), "terms": "약관" }));
        let made = yard.post(&organiser, "/api/v1/races", wish.clone()).await.must(201);
        for (field, value) in wish.as_object().expect("an object") {
            let expected = if field == "title" { json!("한강 마라톤") } else { value.clone() };
            assert_eq!(made.body[field], expected, "{field}");
        }
        let defaults = json!({
            "description": "", "hold_s": 600, "waitlist": false, "waitlist_hold_s": 86_400, "return_to": "line",
            "held_back": 0, "souvenir_rule": "optional", "souvenirs": [], "refund_rules": [], "version": 1,
            "terms_version": 1, "state": "scheduled", "remaining": 2, "waiting": 0, "owner_id": organiser.user(),
            "eligibility": { "account_before": null, "verified": "none", "age_min": null, "age_max": null },
            "courses": [{
                "code": "km10", "type": "km10", "distance_m": 10_000, "fee_won": 30_000, "capacity": 2, "held_back": 0,
                "taken": 0, "remaining": 2,
            }],
        });
        for (field, value) in defaults.as_object().expect("an object") {
            assert_eq!(made.body[field], *value, "{field}");
        }
        let mut read = yard.look(&race(&made.str("id"))).await.must(200).body;
        read["server_time"] = made.body["server_time"].clone();
        assert_eq!(read, made.body);
        assert_eq!(yard.told().await, ["created"]);
        let shown = yard.look(&offer(&made.str("id"))).await.must(200).body;
        assert_eq!(shown["offer_id"], made.body["offer_id"]);
        assert_eq!(shown["prefix"], offer(&made.str("id")));
        assert_eq!(shown["origin"], format!("test.yard/offers/{}", made.str("offer_id")));
        assert_eq!((&shown["size"], &shown["version"], &shown["waiting"]), (&json!(1), &json!(1), &json!(0)));
    }
}

#[tokio::test]
async fn only_organisers_make_races() {
    for yard in Yard::all().await {
        let wish = yard.wish(json!({}));
        yard.call(None, Method::POST, "/api/v1/races", Some(wish.clone())).await.fails(401, "auth/required");
        for role in [Role::Member, Role::Manager] {
            yard.post(&Person::new(role), "/api/v1/races", wish.clone()).await.fails(403, "auth/role");
        }
        yard.post(&Person::new(Role::Admin), "/api/v1/races", wish).await.must(201);
        assert_eq!(yard.count("race").await, 1);
    }
}

#[tokio::test]
async fn one_key_makes_one_race() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let wish = yard.wish(json!({}));
        let send = |body: Value| {
            let headers = [("idempotency-key", "race-1")];
            yard.send(Some(&organiser), request(Method::POST, "/api/v1/races", Some(body), &headers))
        };
        let answers = join_all((0..5).map(|_| send(wish.clone()))).await;
        let first = answers[0].str("id");
        for answer in answers {
            assert_eq!(answer.must(201).str("id"), first);
        }
        assert_eq!(yard.count("race").await, 1);
        send(yard.wish(json!({ "capacity": 3 }))).await.fails(422, "idempotency/mismatch");
        let other = [("idempotency-key", "race-1")];
        let request = request(Method::POST, "/api/v1/races", Some(wish), &other);
        yard.send(Some(&Person::organiser()), request).await.must(201);
        assert_eq!(yard.count("race").await, 2);
    }
}

#[tokio::test]
async fn before_the_sale_everything_can_change() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let id = yard.race(&organiser, json!({ "opens_at": yard.in_s(3_600) })).await;
        let change = json!({
            "title": "서울 마라톤", "opens_at": yard.in_s(7_200), "closes_at": yard.in_s(9_000), "hold_s": 900,
            "waitlist": true, "return_to": "pool", "terms": "새 약관", "souvenir_rule": "required",
            "courses": [
                { "code": "full", "type": "full", "capacity": 100, "fee_won": 50_000, "held_back": 10 },
                { "code": "half", "type": "half", "capacity": 50, "fee_won": 40_000 },
            ],
            "souvenirs": [{ "name": "shirt", "sizes": [{ "size": "M", "stock": 70 }] }],
            "refund_rules": [{ "until": yard.in_s(9_000), "percent": 50 }, { "until": yard.in_s(8_000), "percent": 100 }],
            "eligibility": { "age_min": 18 },
        });
        let edited = yard.patch(&organiser, &race(&id), change.clone()).await.must(200).body;
        for field in ["title", "opens_at", "closes_at", "hold_s", "waitlist", "return_to", "terms", "souvenir_rule"] {
            assert_eq!(edited[field], change[field], "{field}");
        }
        assert_eq!((&edited["version"], &edited["terms_version"]), (&json!(2), &json!(2)));
        assert_eq!(
            (&edited["capacity"], &edited["remaining"], &edited["type"]),
            (&json!(150), &json!(140), &Value::Null)
        );
        assert_eq!(edited["refund_rules"][0]["percent"], 100);
        assert_eq!(edited["eligibility"]["age_min"], 18);
        assert_eq!(edited["courses"][1]["distance_m"], 21_097);
        assert_eq!(edited["souvenirs"][0]["sizes"][0]["remaining"], 70);
        assert_eq!(yard.leaves(&id).await, ["rules", "rules"]);
        let rules = yard.look(&offer(&id)).await.must(200).body;
        let codes: Vec<&Value> = rules["pools"].as_array().expect("pools").iter().map(|pool| &pool["code"]).collect();
        assert_eq!(codes, ["full", "half", "s1-1"]);

        // A souvenir that keeps its name keeps its id; the same again changes nothing.
        let again = yard.patch(&organiser, &race(&id), change).await.must(200).body;
        assert_eq!(again["souvenirs"], edited["souvenirs"]);
        assert_eq!(again["version"], 2);
        assert_eq!(yard.leaves(&id).await.len(), 2);
        assert_eq!(yard.told().await, ["created", "edited"]);
        assert_eq!(yard.look("/api/v1/races?q=서울").await.must(200).body["items"][0]["id"], id);
    }
}

#[tokio::test]
async fn one_course_can_be_edited_in_short() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let id = yard.race(&organiser, json!({ "opens_at": yard.in_s(3_600) })).await;
        let edited = yard.patch(&organiser, &race(&id), json!({ "capacity": 5, "fee_won": 0 })).await.must(200).body;
        assert_eq!((&edited["capacity"], &edited["fee_won"], &edited["type"]), (&json!(5), &json!(0), &json!("km10")));
        let edited = yard.patch(&organiser, &race(&id), json!({ "type": "half" })).await.must(200).body;
        assert_eq!(edited["courses"][0]["code"], "half");
        let refused = yard.patch(&organiser, &race(&id), json!({ "type": "free" })).await.fails(422, "http/invalid");
        assert_eq!(refused.fields(), ["courses[0].distance_m"]);
        let edited = yard.patch(&organiser, &race(&id), json!({ "type": "free", "distance_m": 7_700 })).await;
        assert_eq!(edited.must(200).body["courses"][0]["distance_m"], 7_700);
        for (wrong, field) in [
            (json!({ "capacity": 0 }), "capacity"),
            (json!({ "held_back": 6 }), "courses[0].held_back"),
            (json!({ "opens_at": yard.in_s(90_000) }), "closes_at"),
            (json!({ "closes_at": yard.in_s(-1), "opens_at": yard.in_s(-2) }), "closes_at"),
            (json!({ "title": " " }), "title"),
            (json!({ "version": 3 }), ""),
        ] {
            let refused = yard.patch(&organiser, &race(&id), wrong.clone()).await.fails(422, "http/invalid");
            assert!(refused.fields()[0].starts_with(field), "{wrong}: {}", refused.text);
        }
        let lottery = yard.patch(&organiser, &race(&id), json!({ "reception": "lottery" })).await;
        lottery.fails(422, "races/lottery-unavailable");
    }
}

#[tokio::test]
async fn a_started_sale_keeps_its_terms() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let id = yard.race(&organiser, json!({ "terms": "v1" })).await;
        for frozen in [
            json!({ "terms": "v2" }),
            json!({ "fee_won": 1 }),
            json!({ "capacity": 100 }),
            json!({ "hold_s": 60 }),
            json!({ "closes_at": yard.in_s(100) }),
            json!({ "opens_at": yard.in_s(100) }),
            json!({ "waitlist": true }),
            json!({ "eligibility": { "age_min": 20 } }),
            json!({ "souvenir_rule": "required" }),
            json!({ "refund_rules": [{ "until": yard.in_s(50), "percent": 0 }] }),
            json!({ "title": "new", "terms": "v2" }),
        ] {
            yard.patch(&organiser, &race(&id), frozen).await.fails(409, "races/terms-frozen");
        }
        let open = json!({ "title": "새 이름", "place": "잠실", "description": "d", "race_at": yard.in_s(999_999), "terms": "v1" });
        let edited = yard.patch(&organiser, &race(&id), open).await.must(200).body;
        assert_eq!(
            (&edited["title"], &edited["terms_version"], &edited["version"]),
            (&json!("새 이름"), &json!(1), &json!(2))
        );
        assert_eq!(yard.leaves(&id).await, ["rules"]);

        // An assignment starts a sale as well, whatever the clock says.
        let early = yard.race(&organiser, json!({ "opens_at": yard.in_s(3_600) })).await;
        let guest = Person::member();
        yard.known(&guest, "손님", 1).await;
        let body = json!({ "username": guest.username(), "reason": "초대" });
        yard.post(&organiser, &format!("{}/assignments", offer(&early)), body).await.must(201);
        yard.patch(&organiser, &race(&early), json!({ "fee_won": 1 })).await.fails(409, "races/terms-frozen");
    }
}

#[tokio::test]
async fn an_edit_goes_over_the_version_it_was_made_from() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let id = yard.race(&organiser, json!({})).await;
        let edit = |version: &'static str, title: &str| {
            let body = Some(json!({ "title": title }));
            yard.send(Some(&organiser), request(Method::PATCH, &race(&id), body, &[("if-match", version)]))
        };
        edit("\"1\"", "one").await.must(200);
        let stale = edit("\"1\"", "two").await.fails(412, "http/version");
        assert_eq!(stale.body["version"], 2);
        edit("2", "three").await.must(200);
        edit("many", "four").await.fails(400, "http/unreadable");
        edit("*", "five").await.must(200);
        assert_eq!(yard.look(&race(&id)).await.body["title"], "five");
        assert_eq!(yard.count("audit").await, 3);
    }
}

#[tokio::test]
async fn a_race_is_its_organisers() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let id = yard.race(&organiser, json!({})).await;
        let body = json!({ "title": "mine" });
        yard.call(None, Method::PATCH, &race(&id), Some(body.clone())).await.fails(401, "auth/required");
        yard.call(None, Method::DELETE, &race(&id), None).await.fails(401, "auth/required");
        for stranger in [Person::member(), Person::organiser(), Person::new(Role::Manager)] {
            yard.patch(&stranger, &race(&id), body.clone()).await.fails(403, "auth/role");
            yard.delete(&stranger, &race(&id)).await.fails(403, "auth/role");
            yard.put(&stranger, &offer(&id), json!({ "paused": true, "reason": "x" })).await.fails(403, "auth/role");
            let assign = json!({ "username": "somebody", "reason": "x" });
            yard.post(&stranger, &format!("{}/assignments", offer(&id)), assign).await.fails(403, "auth/role");
            let cancel = format!("{}/cancellation", race(&id));
            yard.post(&stranger, &cancel, json!({ "reason": "x" })).await.fails(403, "auth/role");
        }
        yard.get(&Person::organiser(), &registrations(&id)).await.fails(404, "http/not-found");
        yard.get(&Person::member(), &registrations(&id)).await.fails(403, "auth/role");
        yard.patch(&Person::new(Role::Admin), &race(&id), body).await.must(200);
    }
}

#[tokio::test]
async fn a_race_goes_away_only_without_registrations() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let id = yard.race(&organiser, json!({})).await;
        let runner = Person::member();
        let place = registration(&yard.claim(&runner, &id).await.must(201).str("id"));
        yard.delete(&organiser, &race(&id)).await.fails(409, "races/has-registrations");
        assert_eq!(yard.look(&race(&id)).await.must(200).body["state"], "open");
        yard.delete(&runner, &place).await.must(200);
        yard.delete(&organiser, &race(&id)).await.must(204);
        yard.delete(&organiser, &race(&id)).await.fails(404, "http/not-found");
        yard.look(&race(&id)).await.fails(404, "http/not-found");
        yard.look(&offer(&id)).await.fails(404, "http/not-found");
        yard.claim(&runner, &id).await.fails(404, "http/not-found");
        for list in ["/api/v1/races", "/api/v1/races?q=한강"] {
            assert_eq!(yard.look(list).await.must(200).body["items"], json!([]));
        }
        // What others rely on stays: the runner's registration, and the order log.
        assert_eq!(yard.get(&runner, &place).await.must(200).body["state"], "cancelled");
        assert_eq!(yard.leaves(&id).await, ["rules", "claim", "return", "pause"]);
        assert_eq!(yard.told().await, ["created", "deleted"]);
    }
}

#[tokio::test]
async fn a_cancelled_race_returns_every_place() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let id = yard.race(&organiser, json!({ "waitlist": true })).await;
        let runners: Vec<Person> = (0..3).map(|_| Person::member()).collect();
        for runner in &runners {
            yard.claim(runner, &id).await.must(201);
        }
        let cancel = format!("{}/cancellation", race(&id));
        yard.post(&organiser, &cancel, json!({ "reason": " " })).await.fails(422, "http/invalid");
        let cancelled = yard.post(&organiser, &cancel, json!({ "reason": "태풍" })).await.must(200);
        assert_eq!(cancelled.body["state"], "cancelled");
        yard.run_jobs().await;
        for runner in &runners {
            let mine = yard.get(runner, "/api/v1/registrations").await.must(200).body;
            assert_eq!(mine["items"][0]["state"], "cancelled", "{mine}");
        }
        yard.post(&organiser, &cancel, json!({ "reason": "again" })).await.must(200);
        assert_eq!(yard.told().await, ["created", "cancelled"]);
        yard.claim(&Person::member(), &id).await.fails(409, "admission/closed");
        yard.patch(&organiser, &race(&id), json!({ "title": "x" })).await.fails(409, "races/cancelled");
        let hand = json!({ "paused": true, "reason": "x" });
        yard.put(&organiser, &offer(&id), hand).await.fails(409, "races/cancelled");
        assert_eq!(yard.look("/api/v1/races?state=cancelled").await.must(200).body["items"][0]["id"], id);
        assert_eq!(yard.look("/api/v1/races?state=closed").await.must(200).body["items"], json!([]));
    }
}

#[tokio::test]
async fn an_edit_that_broke_off_is_finished() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let id = yard.race(&organiser, json!({ "opens_at": yard.in_s(3_600) })).await;
        // As a crash between the race's row and its offer leaves it.
        let edit = crate::model::RulesEdit { hold_s: Some(777), ..Default::default() };
        let text = serde_json::to_string(&edit).expect("JSON");
        let broken = yard.db.write(move |tx| {
            Box::pin(async move {
                platform::db::Query::run(tx, "UPDATE race SET rules_edit = $1", platform::db::args![text]).await
            })
        });
        Result::<u64, platform::db::DbError>::expect(broken.await, "it is written");
        assert_eq!(yard.look(&race(&id)).await.body["hold_s"], 600);
        yard.run_jobs().await;
        assert_eq!(yard.look(&race(&id)).await.body["hold_s"], 777);
        yard.run_jobs().await;
        assert_eq!(yard.leaves(&id).await, ["rules", "rules"]);
    }
}
