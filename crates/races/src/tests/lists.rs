//! Lists, search and filters: of races, of my registrations, of a race's registrants.

use axum::http::{Method, header};
use serde_json::{Value, json};

use super::{Answer, Person, Yard, offer, registration, registrations, request};

fn ids(answer: Answer) -> Vec<String> {
    let items = answer.must(200).body["items"].as_array().expect("items").clone();
    items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn races_are_found_by_what_they_are() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let make = |changes: Value| yard.race(&organiser, changes);
        let a = make(json!({ "title": "한강 마라톤", "place": "서울", "capacity": 1 })).await;
        let b =
            make(json!({ "title": "Busan RUN", "place": "부산 해운대", "type": "half", "opens_at": yard.in_s(60) }))
                .await;
        let c = make(json!({ "title": "제주 걷기", "place": "제주", "race_at": yard.in_s(5_000_000) })).await;
        let other = yard.race(&Person::organiser(), json!({ "title": "서울 야간", "type": "km5" })).await;
        yard.claim(&Person::member(), &a).await.must(201);
        yard.put(&organiser, &offer(&c), json!({ "paused": true, "reason": "x" })).await.must(200);
        let list = async |query: &str| ids(yard.look(&format!("/api/v1/races?{query}")).await);
        assert_eq!(list("").await, [&*other, &*c, &*b, &*a]);
        for (query, expected) in [
            ("q=마라", vec![&a]),
            ("q=서울", vec![&other, &a]),
            ("q=run", vec![&b]),
            ("q=서울%20한강", vec![&a]),
            ("q=없다", vec![]),
            ("q=%20", vec![&other, &c, &b, &a]),
            ("q=%22%27*%20OR", vec![]),
            ("type=half", vec![&b]),
            ("type=km5", vec![&other]),
            ("reception=lottery", vec![]),
            ("reception=first_come", vec![&other, &c, &b, &a]),
            ("state=scheduled", vec![&b]),
            ("state=open", vec![&other]),
            ("state=sold_out", vec![&a]),
            ("state=paused", vec![&c]),
            ("state=closed", vec![]),
            ("state=open&q=야간&type=km5", vec![&other]),
            (&format!("from={}", yard.in_s(1_000_000)), vec![&c]),
            (&format!("to={}", yard.in_s(1_000_000)), vec![&other, &b, &a]),
            (&format!("owner={}", organiser.user()), vec![&c, &b, &a]),
        ] {
            assert_eq!(list(query).await.iter().collect::<Vec<_>>(), expected, "{query}");
        }
        for wrong in [
            "state=gone",
            "type=km3",
            "limit=0",
            "limit=101",
            "cursor=x",
            "page=2",
            "from=today",
            &format!("q={}", "x".repeat(101)),
        ] {
            yard.look(&format!("/api/v1/races?{wrong}")).await.fails(422, "http/invalid");
        }
    }
}

#[tokio::test]
async fn a_list_stands_still_while_races_are_added() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let mut made = Vec::new();
        for _ in 0..5 {
            made.insert(0, yard.race(&organiser, json!({})).await);
        }
        let mut seen = Vec::new();
        let mut path = "/api/v1/races?limit=2".to_owned();
        loop {
            let page = yard.look(&path).await.must(200);
            let next = page.body["next_cursor"].as_str().map(str::to_owned);
            seen.extend(ids(page));
            yard.race(&organiser, json!({})).await;
            let Some(next) = next else { break };
            path = format!("/api/v1/races?limit=2&cursor={next}");
        }
        assert_eq!(seen, made);
    }
}

#[tokio::test]
async fn my_registrations_are_mine() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let (me, other) = (Person::member(), Person::member());
        let mut mine = Vec::new();
        for _ in 0..3 {
            let id = yard.race(&organiser, json!({})).await;
            mine.insert(0, yard.claim(&me, &id).await.must(201).str("id"));
            yard.claim(&other, &id).await.must(201);
        }
        yard.delete(&me, &registration(&mine[0])).await.must(200);
        assert_eq!(ids(yard.get(&me, "/api/v1/registrations").await), mine);
        assert_eq!(ids(yard.get(&me, "/api/v1/registrations?state=held").await), mine[1..]);
        let page = yard.get(&me, "/api/v1/registrations?limit=2").await.must(200);
        let next = page.str("next_cursor");
        assert_eq!(ids(yard.get(&me, &format!("/api/v1/registrations?limit=2&cursor={next}")).await), mine[2..]);
        yard.get(&me, "/api/v1/registrations?state=open").await.fails(422, "http/invalid");
    }
}

#[tokio::test]
async fn an_organiser_sees_who_registered() {
    for yard in Yard::all().await {
        let organiser = Person::organiser();
        let courses = json!([
            { "code": "10", "type": "km10", "capacity": 2, "fee_won": 0 },
            { "code": "110", "type": "half", "capacity": 9, "fee_won": 0 },
        ]);
        let changes = json!({ "courses": courses, "type": null, "capacity": null, "fee_won": null, "waitlist": true });
        let id = yard.race(&organiser, changes).await;
        let people: Vec<Person> = (0..5).map(|_| Person::member()).collect();
        let mut places = Vec::new();
        for (at, person) in people.iter().enumerate() {
            let course = if at == 4 { "110" } else { "10" };
            let claim = yard.post(person, &registrations(&id), json!({ "course": course })).await.must(201);
            places.push(claim.str("id"));
        }
        yard.known(&people[0], "김하늘", 2).await;
        yard.known(&people[0], "옛이름", 1).await;
        yard.known(&people[1], "=SUM(A1)", 1).await;
        let list = async |query: &str| yard.get(&organiser, &format!("{}?{query}", registrations(&id))).await.must(200);
        let all = list("").await;
        assert_eq!(all.body["items"][0]["name"], "김하늘");
        assert_eq!(all.body["items"][0]["person_key"], Value::Null);
        assert_eq!(all.body["items"][2]["username"], Value::Null);
        assert_eq!((&all.body["items"][2]["position"], &all.body["items"][3]["position"]), (&json!(1), &json!(2)));
        assert_eq!(ids(all), places);
        assert_eq!(ids(list("course=10").await), places[..4]);
        assert_eq!(ids(list("course=110").await), places[4..]);
        let waiting = list("state=waitlisted&limit=1").await;
        assert_eq!(waiting.body["items"][0]["position"], 1);
        let next = waiting.str("next_cursor");
        let rest = list(&format!("state=waitlisted&limit=1&cursor={next}")).await;
        assert_eq!(rest.body["items"][0]["position"], 2);
        assert_eq!(ids(rest), [&*places[3]]);
        assert_eq!(ids(list("q=하늘").await), [&*places[0]]);
        assert_eq!(ids(list("q=옛이").await), Vec::<String>::new());
        assert_eq!(ids(list(&format!("q={}", people[1].username())).await), [&*places[1]]);
        yard.get(&organiser, &format!("{}?course=5", registrations(&id))).await.fails(422, "http/invalid");

        let csv = request(Method::GET, &registrations(&id), None, &[("accept", "text/csv")]);
        let csv = yard.send(Some(&organiser), csv).await.must(200);
        assert_eq!(csv.headers[header::CONTENT_TYPE], "text/csv; charset=utf-8");
        let lines: Vec<&str> = csv.text.strip_prefix('\u{feff}').expect("a mark").lines().collect();
        assert_eq!(lines.len(), 6);
        assert!(lines[1].starts_with(&format!("1,{},{},김하늘,", places[0], people[0].username())), "{}", lines[1]);
        assert!(lines[2].contains(",'=SUM(A1),"), "{}", lines[2]);
        assert!(lines[3].contains(",10,,,waitlisted,"), "{}", lines[3]);
        let some = request(Method::GET, &format!("{}?course=110", registrations(&id)), None, &[("accept", "text/csv")]);
        assert_eq!(yard.send(Some(&organiser), some).await.must(200).text.lines().count(), 2);
        let stranger = request(Method::GET, &registrations(&id), None, &[("accept", "text/csv")]);
        yard.send(Some(&Person::organiser()), stranger).await.fails(404, "http/not-found");
    }
}
