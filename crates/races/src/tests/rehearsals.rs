//! Rehearsals: a hidden race, its own people, and its end.

use axum::http::Method;
use kernel::Role;
use serde_json::json;

use super::{Person, Yard, offer, race, registrations};

const PATH: &str = "/api/v1/admin/rehearsals";

#[tokio::test]
async fn a_rehearsal_has_its_own_race_and_people() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let wish = json!({ "people": 2_500, "capacity": 1, "ttl_s": 600 });
        let begun = yard.post(&organiser, PATH, wish).await.must(201);
        let (id, url) = (begun.str("race_id"), begun.str("token_url"));
        assert_eq!(yard.people.minted(), 1);

        let shown = yard.look(&race(&id)).await.must(200).body;
        assert_eq!((&shown["state"], &shown["capacity"], &shown["hold_s"]), (&json!("open"), &json!(1), &json!(600)));
        assert_eq!(yard.look("/api/v1/races").await.must(200).body["items"], json!([]));
        assert_eq!(yard.look("/api/v1/races?q=rehearsal").await.must(200).body["items"], json!([]));
        assert_eq!(yard.told().await, Vec::<String>::new());

        let tokens = yard.get(&organiser, &url).await.must(200).text;
        let lines: Vec<&str> = tokens.lines().collect();
        assert_eq!(lines.len(), 2_500);
        assert!(lines[0].contains("\"token-1\"") && lines[2_499].contains("\"token-2500\""), "{}", lines[2_499]);
        yard.call(None, Method::GET, &url, None).await.fails(401, "auth/required");
        yard.get(&Person::member(), &url).await.fails(403, "auth/role");
        yard.get(&Person::organiser(), &url).await.fails(404, "http/not-found");
        yard.get(&Person::new(Role::Admin), &url).await.must(200);

        let other = yard.race(&organiser, json!({})).await;
        let (first, second) = (Person::rehearsing(&id), Person::rehearsing(&id));
        yard.claim(&first, &id).await.must(201);
        yard.claim(&second, &id).await.fails(409, "admission/sold-out");
        yard.claim(&first, &other).await.fails(403, "auth/role");
        yard.claim(&Person::member(), &id).await.fails(404, "http/not-found");
        yard.claim(&organiser, &id).await.fails(404, "http/not-found");
        assert_eq!(yard.get(&first, "/api/v1/registrations").await.must(200).body["items"][0]["race_id"], id);
        yard.get(&first, &registrations(&id)).await.fails(403, "auth/role");
        yard.post(&first, PATH, json!({ "people": 1, "capacity": 1 })).await.fails(403, "auth/role");
        assert_eq!(
            yard.get(&organiser, &registrations(&id)).await.must(200).body["items"].as_array().map(Vec::len),
            Some(1)
        );
        let strange = yard.put(&Person::organiser(), &offer(&id), json!({ "paused": true, "reason": "x" })).await;
        strange.fails(404, "http/not-found");
    }
}

#[tokio::test]
async fn a_rehearsal_ends_by_itself() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let begun = yard.post(&organiser, PATH, json!({ "people": 1, "capacity": 1, "ttl_s": 60 })).await.must(201);
        yard.run_jobs().await;
        yard.look(&race(&begun.str("race_id"))).await.must(200);
        let sql = "UPDATE rehearsal SET expires_ms = 1";
        let ended = yard.db.write(|tx| Box::pin(async move { platform::db::Query::run(tx, sql, vec![]).await }));
        Result::<u64, platform::db::DbError>::expect(ended.await, "it is changed");
        yard.get(&organiser, &begun.str("token_url")).await.fails(404, "http/not-found");
        yard.run_jobs().await;
        yard.look(&race(&begun.str("race_id"))).await.fails(404, "http/not-found");
        assert_eq!(yard.count("rehearsal").await, 0);
    }
}

#[tokio::test]
async fn a_rehearsal_has_bounds() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        for (wrong, field) in [
            (json!({ "people": 0, "capacity": 1 }), "people"),
            (json!({ "people": 100_001, "capacity": 1 }), "people"),
            (json!({ "people": 1, "capacity": 0 }), "capacity"),
            (json!({ "people": 1, "capacity": 1, "ttl_s": 59 }), "ttl_s"),
            (json!({ "people": 1 }), ""),
            (json!({ "people": 1, "capacity": 1, "hidden": false }), ""),
        ] {
            let refused = yard.post(&organiser, PATH, wrong.clone()).await.fails(422, "http/invalid");
            assert!(refused.fields()[0].starts_with(field), "{wrong}: {}", refused.text);
        }
        yard.post(&Person::member(), PATH, json!({ "people": 1, "capacity": 1 })).await.fails(403, "auth/role");
        assert_eq!(yard.people.minted(), 0);
    }
}
