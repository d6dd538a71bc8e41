//! What an organiser writes to those who registered.

use axum::http::Method;
use kernel::Role;
use kernel::contracts::races::RaceMessageSent;
use platform::db::{Query, args};
use serde_json::{Value, json};

use super::{Person, Yard, race, request};

fn messages(id: &str) -> String {
    format!("{}/messages", race(id))
}

fn greeting() -> Value {
    json!({ "title": "집결 시간", "body": "오전 7시까지 와 주세요." })
}

/// What was told, in order.
async fn told(yard: &Yard) -> Vec<RaceMessageSent> {
    let sql = "SELECT payload FROM outbox WHERE kind = 'race.message_sent' ORDER BY id";
    let rows = yard.db.all::<(String,)>(sql, args![]).await.expect("the outbox is there");
    rows.iter().map(|row| serde_json::from_str(&row.0).expect("the event")).collect()
}

#[tokio::test]
async fn a_message_goes_to_whom_it_is_for() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let id = yard.race(&organiser, json!({ "waitlist": true })).await;
        let other = yard.race(&organiser, json!({})).await;
        let (first, second, third, gone) = (Person::member(), Person::member(), Person::member(), Person::member());
        // Whoever left and came again is written to once.
        for person in [&gone, &first] {
            let had = yard.claim(person, &id).await.must(201).str("id");
            yard.delete(person, &super::registration(&had)).await.must(200);
        }
        for person in [&first, &second, &third] {
            yard.claim(person, &id).await.must(201);
        }
        yard.claim(&gone, &other).await.must(201);

        let sent = yard.post(&organiser, &messages(&id), greeting()).await.must(201);
        assert_eq!(sent.body["recipients"], 3);
        let only = |states: Value| json!({ "title": " 대기자 ", "body": " 안내 ", "states": states });
        let waiting = only(json!(["waitlisted", "waitlisted"]));
        assert_eq!(yard.post(&organiser, &messages(&id), waiting).await.must(201).body["recipients"], 1);
        let ended = only(json!(["cancelled"]));
        assert_eq!(yard.post(&organiser, &messages(&id), ended).await.must(201).body["recipients"], 2);
        let nobody = only(json!(["failed"]));
        assert_eq!(yard.post(&organiser, &messages(&id), nobody).await.must(201).body["recipients"], 0);

        let told = told(&yard).await;
        let recipients = |at: usize| {
            let mut people = told[at].recipients.clone();
            people.sort_unstable();
            people
        };
        let sorted = |people: &[&Person]| {
            let mut users: Vec<_> = people.iter().map(|person| person.user()).collect();
            users.sort_unstable();
            users
        };
        assert_eq!(told.len(), 3, "to nobody nothing is told");
        assert_eq!(recipients(0), sorted(&[&first, &second, &third]));
        assert_eq!(recipients(1), sorted(&[&third]));
        assert_eq!(recipients(2), sorted(&[&gone, &first]));
        let event = &told[0];
        assert_eq!((event.owner_id, event.race_title.as_str()), (organiser.user(), "한강 마라톤"));
        assert_eq!((event.message_id.to_string(), event.race_id.to_string()), (sent.str("id"), id.clone()));
        assert_eq!((told[1].title.as_str(), told[1].body.as_str()), ("대기자", "안내"));

        let list = async |query: &str| yard.get(&organiser, &format!("{}?{query}", messages(&id))).await.must(200);
        let newest = list("limit=3").await;
        let states = |page: &Value| -> Vec<Value> {
            page["items"].as_array().expect("items").iter().map(|item| item["states"].clone()).collect()
        };
        assert_eq!(states(&newest.body), [json!(["failed"]), json!(["cancelled"]), json!(["waitlisted"])]);
        let rest = list(&format!("limit=3&cursor={}", newest.str("next_cursor"))).await.body;
        assert_eq!(
            (rest["items"][0]["id"].clone(), rest["next_cursor"].clone()),
            (sent.body["id"].clone(), Value::Null)
        );
        assert_eq!(rest["items"][0]["states"], json!(["waitlisted", "held", "paying", "confirmed"]));
        let sql = "SELECT count(*) FROM audit WHERE action = 'race.message'";
        assert_eq!(yard.db.one::<(i64,)>(sql, args![]).await.expect("the audit log").expect("a row").0, 4);
    }
}

#[tokio::test]
async fn many_are_told_in_several_events() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let id = yard.race(&organiser, json!({ "capacity": 2_000 })).await;
        let people: Vec<Person> = (0..1_001).map(|_| Person::member()).collect();
        for some in people.chunks(100) {
            futures::future::join_all(some.iter().map(|person| yard.claim(person, &id))).await;
        }
        assert_eq!(yard.post(&organiser, &messages(&id), greeting()).await.must(201).body["recipients"], 1_001);
        let told = told(&yard).await;
        assert_eq!(told.iter().map(|event| event.recipients.len()).collect::<Vec<_>>(), [500, 500, 1]);
        let mut named: Vec<_> = told.iter().flat_map(|event| event.recipients.clone()).collect();
        let mut users: Vec<_> = people.iter().map(Person::user).collect();
        named.sort_unstable();
        users.sort_unstable();
        assert_eq!(named, users);
    }
}

#[tokio::test]
async fn a_race_sends_so_many_a_day_and_the_same_one_once() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let id = yard.race(&organiser, json!({})).await;
        let other = yard.race(&organiser, json!({})).await;
        let keyed = async |race: &str, body: Value| {
            let request = request(Method::POST, &messages(race), Some(body), &[("idempotency-key", "k")]);
            yard.send(Some(&organiser), request).await
        };
        let sent = keyed(&id, greeting()).await.must(201).body;
        // At once, so that none sees what another one has not committed.
        let path = messages(&id);
        let more = (1..12).map(|_| yard.post(&organiser, &path, greeting()));
        let more = futures::future::join_all(more).await;
        assert_eq!(more.iter().filter(|answer| answer.status == 201).count(), 9);
        let refused = more.into_iter().find(|answer| answer.status != 201).expect("one too many");
        let refused = refused.fails(429, "races/too-many-messages");
        let wait_s: i64 = refused.headers["retry-after"].to_str().expect("a text").parse().expect("a number");
        assert!((86_000..=130_000).contains(&wait_s), "{wait_s}");
        assert_eq!(keyed(&id, greeting()).await.must(201).body, sent, "it was sent before");
        keyed(&id, json!({ "title": "another", "body": "text" })).await.fails(422, "idempotency/mismatch");
        keyed(&other, greeting()).await.fails(422, "idempotency/mismatch");
        assert_eq!(yard.count("race_message").await, 10);
        yard.post(&organiser, &messages(&other), greeting()).await.must(201);

        let sql = "UPDATE race_message SET created_ms = created_ms - 86400000";
        let aged = yard.db.write(move |tx| Box::pin(async move { tx.run(sql, args![]).await }));
        Result::<u64, platform::db::DbError>::expect(aged.await, "a day goes by");
        yard.post(&organiser, &messages(&id), greeting()).await.must(201);
    }
}

#[tokio::test]
async fn only_who_manages_a_race_writes_to_its_people() {
    for yard in Yard::all().await {
        let (organiser, stranger) = (Person::organiser(), Person::organiser());
        let id = yard.race(&organiser, json!({})).await;
        yard.post(&stranger, &messages(&id), greeting()).await.fails(403, "auth/role");
        yard.get(&stranger, &messages(&id)).await.fails(403, "auth/role");
        yard.post(&Person::member(), &messages(&id), greeting()).await.fails(403, "auth/role");
        yard.post(&Person::new(Role::Admin), &messages(&id), greeting()).await.must(201);
        for (field, wrong) in [
            ("title", json!({ "title": "", "body": "x" })),
            ("title", json!({ "title": " ", "body": "x" })),
            ("title", json!({ "title": "가".repeat(101), "body": "x" })),
            ("body", json!({ "title": "x", "body": " " })),
            ("body", json!({ "title": "x", "body": "가".repeat(2_001) })),
            ("states", json!({ "title": "x", "body": "x", "states": [] })),
            ("states[0]", json!({ "title": "x", "body": "x", "states": ["open"] })),
        ] {
            let refused = yard.post(&organiser, &messages(&id), wrong).await.fails(422, "http/invalid");
            assert_eq!(refused.fields(), [field], "{}", refused.text);
        }
        let longest = json!({ "title": "가".repeat(100), "body": "가".repeat(2_000) });
        yard.post(&organiser, &messages(&id), longest).await.must(201);
        yard.delete(&organiser, &race(&id)).await.must(204);
        yard.post(&organiser, &messages(&id), greeting()).await.fails(404, "http/not-found");
    }
}

#[tokio::test]
async fn a_rehearsals_people_are_not_written_to() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let body = json!({ "people": 1, "capacity": 1 });
        let id = yard.post(&organiser, "/api/v1/admin/rehearsals", body).await.must(201).str("race_id");
        yard.claim(&Person::rehearsing(&id), &id).await.must(201);
        assert_eq!(yard.post(&organiser, &messages(&id), greeting()).await.must(201).body["recipients"], 0);
        assert_eq!(told(&yard).await.len(), 0);
    }
}
