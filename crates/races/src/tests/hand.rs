//! The organiser's hand: capacity, held-back places, pause, closing, assignments.

use axum::http::Method;
use serde_json::{Value, json};

use super::{Person, Yard, offer, race, registration, request};

#[tokio::test]
async fn capacity_goes_up_and_down_but_not_below_what_is_taken() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let id = yard.race(&organiser, json!({ "waitlist": true })).await;
        let runners: Vec<Person> = (0..4).map(|_| Person::member()).collect();
        let mut last = Value::Null;
        for runner in &runners {
            last = yard.claim(runner, &id).await.must(201).body;
        }
        assert_eq!(last["position"], 2);
        let hand = async |body: Value| yard.put(&organiser, &offer(&id), body).await;
        let below = hand(json!({ "capacity": 1, "reason": "좁은 길" })).await.fails(409, "admission/below-taken");
        assert_eq!(below.body["pool"], "km10");
        hand(json!({ "held_back": 1, "reason": "vip" })).await.fails(409, "admission/below-taken");
        let more = hand(json!({ "capacity": 4, "held_back": 1, "reason": "more" })).await.must(200).body;
        let pool = &more["pools"][0];
        assert_eq!((&pool["capacity"], &pool["held_back"], &pool["taken"]), (&json!(4), &json!(1), &json!(3)));
        assert_eq!((&more["waiting"], &more["version"], &more["state"]), (&json!(1), &json!(2), &json!("sold_out")));
        let leaves = yard.leaves(&id).await;
        assert_eq!(leaves[leaves.len() - 2..], ["rules", "grant"]);
        assert_eq!(yard.get(&runners[2], "/api/v1/registrations").await.body["items"][0]["state"], "held");
        assert_eq!(yard.look(&race(&id)).await.body["version"], 1);
    }
}

#[tokio::test]
async fn a_hand_says_what_and_why() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let courses = json!([
            { "code": "a", "type": "km5", "capacity": 3, "fee_won": 0 },
            { "code": "b", "type": "km10", "capacity": 3, "fee_won": 0 },
        ]);
        let id =
            yard.race(&organiser, json!({ "courses": courses, "type": null, "capacity": null, "fee_won": null })).await;
        for (wrong, field) in [
            (json!({ "capacity": 4 }), ""),
            (json!({ "capacity": 4, "reason": "" }), "reason"),
            (json!({ "capacity": 4, "reason": " " }), "reason"),
            (json!({ "reason": "nothing" }), ""),
            (json!({ "capacity": 4, "reason": "which?" }), "course"),
            (json!({ "capacity": 4, "course": "c", "reason": "x" }), "course"),
            (json!({ "capacity": -1, "course": "a", "reason": "x" }), "capacity"),
            (json!({ "capacity": 1e9, "course": "a", "reason": "x" }), "capacity"),
            (json!({ "closes_at": "tomorrow", "reason": "x" }), "closes_at"),
        ] {
            let refused = yard.put(&organiser, &offer(&id), wrong.clone()).await.fails(422, "http/invalid");
            assert!(refused.fields().iter().any(|named| named.starts_with(field)), "{wrong}: {}", refused.text);
        }
        let raised = json!({ "capacity": 9, "course": "b", "reason": "더" });
        assert_eq!(yard.put(&organiser, &offer(&id), raised.clone()).await.must(200).body["pools"][1]["capacity"], 9);
        let stale = request(Method::PUT, &offer(&id), Some(raised), &[("if-match", "1")]);
        yard.send(Some(&organiser), stale).await.fails(412, "http/version");
        assert_eq!(yard.leaves(&id).await, ["rules", "rules"]);
    }
}

#[tokio::test]
async fn pause_resume_and_close_are_leaves() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let id = yard.race(&organiser, json!({})).await;
        let hand = async |body: Value| yard.put(&organiser, &offer(&id), body).await;
        assert_eq!(hand(json!({ "paused": true, "reason": "x" })).await.must(200).body["state"], "paused");
        assert_eq!(yard.look("/api/v1/races?state=paused").await.body["items"][0]["id"], id);
        hand(json!({ "paused": true, "reason": "x" })).await.must(200);
        assert_eq!(hand(json!({ "paused": false, "reason": "x" })).await.must(200).body["state"], "open");
        let later = hand(json!({ "closes_at": yard.in_s(7_200), "reason": "x" })).await.must(200).body;
        assert_eq!(later["closes_at"], yard.look(&race(&id)).await.body["closes_at"]);
        assert_eq!(hand(json!({ "closes_at": yard.in_s(0), "reason": "x" })).await.must(200).body["state"], "closed");
        assert_eq!(yard.leaves(&id).await, ["rules", "pause", "resume", "rules", "close"]);
        let sql = "SELECT count(*) FROM audit WHERE action LIKE 'offer.%' AND reason = 'x'";
        let kept = platform::db::Query::one::<(i64,)>(&yard.db, sql, vec![]).await.expect("a count");
        assert!(kept.is_some_and(|row| row.0 >= 4));
    }
}

#[tokio::test]
async fn an_assigned_place_skips_the_line() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let id = yard.race(&organiser, json!({ "capacity": 2, "held_back": 1, "waitlist": true })).await;
        let (holder, waiting, guest) = (Person::member(), Person::member(), Person::member());
        for person in [&holder, &waiting, &guest] {
            yard.known(person, "이름", 1).await;
        }
        yard.claim(&holder, &id).await.must(201);
        let line = yard.claim(&waiting, &id).await.must(201).body;
        assert_eq!(line["state"], "waitlisted");
        let path = format!("{}/assignments", offer(&id));
        let give =
            |username: &str| yard.post(&organiser, &path, json!({ "username": username, "reason": "초대 선수" }));
        give("nobody").await.fails(404, "races/no-such-user");
        let had = give(holder.username()).await.must(200);
        assert_eq!((&had.body["state"], &had.body["person_key"]), (&json!("held"), &Value::Null));
        let given = give(guest.username()).await.must(201);
        assert_eq!(given.body["state"], "held");
        assert!(given.str("hold_expires_at") > yard.in_s(86_000));
        assert!(given.str("receipt").starts_with("c2sp.org/tlog-proof@v1\n"));
        give(waiting.username()).await.fails(409, "admission/no-units");
        yard.delete(&guest, &registration(&given.str("id"))).await.must(200);
        let moved = yard.get(&waiting, &registration(line["id"].as_str().expect("an id"))).await.must(200).body;
        assert_eq!(moved["state"], "held");
        yard.post(&organiser, &path, json!({ "username": guest.username() })).await.fails(422, "http/invalid");
    }
}

#[tokio::test]
async fn who_waits_is_moved_by_an_assignment() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let id = yard.race(&organiser, json!({ "capacity": 2, "held_back": 1, "waitlist": true })).await;
        let (first, second) = (Person::member(), Person::member());
        yard.known(&second, "이름", 1).await;
        yard.claim(&first, &id).await.must(201);
        let waiting = yard.claim(&second, &id).await.must(201).body;
        let body = json!({ "username": second.username(), "reason": "초대" });
        let moved = yard.post(&organiser, &format!("{}/assignments", offer(&id)), body).await.must(200).body;
        assert_eq!((&moved["id"], &moved["state"]), (&waiting["id"], &json!("held")));
        assert_eq!(yard.leaves(&id).await, ["rules", "claim", "claim", "assign"]);
        assert_eq!(yard.count("registration").await, 2);
    }
}

#[tokio::test]
async fn the_command_line_has_the_same_hand() {
    for yard in Yard::all().await {
        let id = yard.race(&Person::organiser(), json!({})).await;
        let path = format!("/races/{id}/offer");
        let paused = yard.command(Method::PUT, &path, json!({ "paused": true, "reason": "cli" })).await.must(200);
        assert_eq!(paused.body["state"], "paused");
        let guest = Person::member();
        yard.known(&guest, "손님", 1).await;
        let body = json!({ "username": guest.username(), "reason": "cli" });
        yard.command(Method::POST, &format!("{path}/assignments"), body).await.must(201);
        let missing = format!("/races/{}/offer", uuid::Uuid::now_v7());
        yard.command(Method::PUT, &missing, json!({ "paused": true, "reason": "cli" }))
            .await
            .fails(404, "http/not-found");
        yard.command(Method::PUT, &path, json!({ "paused": true })).await.fails(422, "http/invalid");
    }
}
