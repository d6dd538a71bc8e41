//! Making a race: every field with its default and its bounds.

use std::collections::HashSet;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::http::race::{self, body, in_s, redacted};
use crate::support::app::{App, Person, yards};

const RACES: &str = "/api/v1/races";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_race_shows_what_it_was_made_of_and_what_was_left_to_us() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let made = race::make(app, &organiser, 100, json!({})).await;
        insta::allow_duplicates! {
            insta::assert_json_snapshot!(redacted(&made.body), @r#"
            {
              "capacity": 100,
              "closes_at": "[time]",
              "courses": [
                {
                  "capacity": 100,
                  "code": "km10",
                  "distance_m": 10000,
                  "fee_won": 30000,
                  "held_back": 0,
                  "remaining": 100,
                  "taken": 0,
                  "type": "km10"
                }
              ],
              "created_at": "[time]",
              "description": "",
              "eligibility": {
                "account_before": null,
                "age_max": null,
                "age_min": null,
                "verified": "none"
              },
              "fee_won": 30000,
              "held_back": 0,
              "hold_s": 600,
              "id": "[id]",
              "offer_id": "[id]",
              "opens_at": "[time]",
              "owner_id": "[id]",
              "place": "서울 여의도",
              "race_at": "[time]",
              "reception": "first_come",
              "refund_rules": [],
              "remaining": 100,
              "return_to": "line",
              "server_time": "[time]",
              "souvenir_rule": "optional",
              "souvenirs": [],
              "state": "open",
              "terms": "",
              "terms_version": 1,
              "title": "한강 달빛 마라톤",
              "type": "km10",
              "version": 1,
              "waiting": 0,
              "waitlist": false,
              "waitlist_hold_s": 86400
            }
            "#);
        }
        let mut read = app.get(format!("{RACES}/{}", made.text("id"))).await.must(200).body;
        read["server_time"] = made.body["server_time"].clone();
        assert_eq!(read, made.body, "anybody reads the same");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_can_be_said_is_kept() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        let said = json!({
            "type": null, "capacity": null, "fee_won": null,
            "description": "🏃 강변을 달립니다\n둘째 줄", "opens_at": in_s(app, 60), "hold_s": 900, "waitlist": true,
            "waitlist_hold_s": 7_200, "return_to": "pool", "terms": "약관", "souvenir_rule": "required",
            "courses": [
                { "code": "full", "type": "full", "capacity": 10, "fee_won": 0, "held_back": 3 },
                { "code": "night-7k", "type": "free", "distance_m": 7_000, "capacity": 20, "fee_won": 10_000_000 },
            ],
            "souvenirs": [{ "name": "메달", "sizes": [{ "size": "하나", "stock": 0 }] }],
            "refund_rules": [
                { "until": in_s(app, 7_200), "percent": 50 },
                { "until": in_s(app, 3_600), "percent": 100 },
            ],
            "eligibility": { "account_before": in_s(app, 0), "verified": "phone", "age_min": 14, "age_max": 90 },
        });
        let made = race::make(app, &organiser, 1, said.clone()).await;
        for field in [
            "description",
            "hold_s",
            "waitlist",
            "waitlist_hold_s",
            "return_to",
            "terms",
            "souvenir_rule",
            "opens_at",
            "eligibility",
        ] {
            assert_eq!(made.body[field], said[field], "{field}");
        }
        assert_eq!(
            made.body["refund_rules"],
            json!([said["refund_rules"][1], said["refund_rules"][0]]),
            "earliest first"
        );
        let counted = ["capacity", "remaining", "held_back"].map(|field| made.number(field));
        assert_eq!((counted, made.text("state")), ([30, 27, 3], "scheduled".to_owned()));
        assert_eq!(made.body["courses"][1]["distance_m"], 7_000);
        assert_eq!(
            (&made.body["type"], &made.body["fee_won"]),
            (&Value::Null, &Value::Null),
            "of several there is none"
        );
        let offer = app.get(format!("{RACES}/{}/offer", made.text("id"))).await.must(200);
        let pools: Vec<(&str, &str, i64)> = offer.body["pools"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pool| {
                (pool["code"].as_str().unwrap(), pool["group"].as_str().unwrap(), pool["remaining"].as_i64().unwrap())
            })
            .collect();
        assert_eq!(pools, [("full", "course", 7), ("night-7k", "course", 20), ("s1-1", "souvenir", 0)]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_field_is_named_and_nothing_is_made() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        // One reading of the clock: two may be a millisecond apart.
        let soon = in_s(app, 60);
        let mut wrong: Vec<(&str, Value)> = vec![
            ("title", json!({ "title": "" })),
            ("title", json!({ "title": " \t " })),
            ("title", json!({ "title": "가".repeat(101) })),
            ("place", json!({ "place": "" })),
            ("place", json!({ "place": "가".repeat(101) })),
            ("description", json!({ "description": "가".repeat(10_001) })),
            ("terms", json!({ "terms": "x".repeat(50_001) })),
            ("capacity", json!({ "capacity": 0 })),
            ("capacity", json!({ "capacity": 1_000_001 })),
            ("capacity", json!({ "capacity": -1 })),
            ("capacity", json!({ "capacity": 4_294_967_296_i64 })),
            ("capacity", json!({ "capacity": 1.5 })),
            ("capacity", json!({ "capacity": "100" })),
            ("fee_won", json!({ "fee_won": -1 })),
            ("fee_won", json!({ "fee_won": 10_000_001 })),
            ("held_back", json!({ "held_back": -1 })),
            ("hold_s", json!({ "hold_s": 59 })),
            ("hold_s", json!({ "hold_s": 86_401 })),
            ("waitlist_hold_s", json!({ "waitlist_hold_s": 59 })),
            ("waitlist_hold_s", json!({ "waitlist_hold_s": 2_592_001 })),
            ("waitlist", json!({ "waitlist": "yes" })),
            ("return_to", json!({ "return_to": "me" })),
            ("reception", json!({ "reception": "auction" })),
            ("type", json!({ "type": "km7" })),
            ("souvenir_rule", json!({ "souvenir_rule": "none" })),
            ("opens_at", json!({ "opens_at": "tomorrow" })),
            ("opens_at", json!({ "opens_at": "1969-12-31T23:59:59Z" })),
            ("opens_at", json!({ "opens_at": 1_700_000_000 })),
            ("closes_at", json!({ "closes_at": in_s(app, -3_600) })),
            ("closes_at", json!({ "opens_at": soon, "closes_at": soon })),
            ("race_at", json!({ "opens_at": soon, "race_at": soon })),
            ("eligibility.age_max", json!({ "eligibility": { "age_min": 30, "age_max": 29 } })),
            ("eligibility.age_min", json!({ "eligibility": { "age_min": 151 } })),
            ("eligibility.verified", json!({ "eligibility": { "verified": "face" } })),
            ("refund_rules[0].percent", json!({ "refund_rules": [{ "until": in_s(app, 60), "percent": 101 }] })),
            ("refund_rules", json!({ "refund_rules": vec![json!({ "until": in_s(app, 60), "percent": 1 }); 2] })),
            ("souvenirs[0].sizes", json!({ "souvenirs": [{ "name": "메달", "sizes": [] }] })),
            ("souvenirs[0].name", json!({ "souvenirs": [{ "name": "", "sizes": [{ "size": "M", "stock": 1 }] }] })),
            (
                "souvenirs[0].sizes[0].stock",
                json!({ "souvenirs": [{ "name": "메달", "sizes": [{ "size": "M", "stock": -1 }] }] }),
            ),
        ];
        wrong.extend(wrong_courses());
        for (field, changes) in wrong {
            let body = body(app, 10, changes.clone());
            let answer = app.post(RACES, body).by(&organiser).await;
            assert_eq!(answer.status, 422, "{changes}: {}", answer.show());
            answer.wrong_field(field);
        }
        for missing in ["title", "place", "reception", "opens_at", "closes_at", "race_at"] {
            app.post(RACES, body(app, 10, json!({ missing: null }))).by(&organiser).await.problem(422, "http/invalid");
        }
        for missing in ["type", "capacity", "fee_won"] {
            app.post(RACES, body(app, 10, json!({ missing: null }))).by(&organiser).await.wrong_field(missing);
        }
        app.post(RACES, body(app, 10, json!({ "price": 1 }))).by(&organiser).await.problem(422, "http/invalid");
        app.post(RACES, body(app, 10, json!({ "reception": "lottery" })))
            .by(&organiser)
            .await
            .problem(422, "races/lottery-unavailable");
        assert_eq!(app.get(RACES).await.must(200).items().len(), 0);
    })
    .await;
}

fn wrong_courses() -> Vec<(&'static str, Value)> {
    let course = |changes: Value| {
        let mut course = json!({ "code": "a", "type": "km10", "capacity": 5, "fee_won": 0 });
        for (name, value) in changes.as_object().unwrap() {
            course[name] = value.clone();
        }
        course
    };
    let courses = |list: Vec<Value>| json!({ "type": null, "capacity": null, "fee_won": null, "courses": list });
    let one = |changes: Value| courses(vec![course(changes)]);
    vec![
        ("courses", json!({ "courses": [course(json!({}))] })),
        ("courses", courses(Vec::new())),
        ("courses", courses((0..21).map(|n| course(json!({ "code": format!("c{n}") }))).collect())),
        ("courses[1].code", courses(vec![course(json!({})), course(json!({}))])),
        ("courses[0].code", one(json!({ "code": "" }))),
        ("courses[0].code", one(json!({ "code": "Ten" }))),
        ("courses[0].code", one(json!({ "code": "십km" }))),
        ("courses[0].code", one(json!({ "code": "a:b" }))),
        ("courses[0].code", one(json!({ "code": "abcdefghijklmnopq" }))),
        ("courses[0].code", one(json!({ "code": "s1-1" }))),
        ("courses[0].capacity", one(json!({ "capacity": 0 }))),
        ("courses[0].held_back", one(json!({ "held_back": 6 }))),
        ("courses[0].distance_m", one(json!({ "type": "free" }))),
        ("courses[0].distance_m", one(json!({ "type": "free", "distance_m": 0 }))),
        ("courses[0].distance_m", one(json!({ "distance_m": 9_999 }))),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_edge_of_a_rule_is_inside() {
    yards(async |app| {
        let (organiser, _) = app.organiser().await;
        for changes in [
            json!({ "title": "가".repeat(100), "place": "가".repeat(100), "terms": "x".repeat(50_000) }),
            json!({ "description": "가".repeat(10_000), "hold_s": 60, "waitlist_hold_s": 60, "fee_won": 0 }),
            json!({ "capacity": 1_000_000, "hold_s": 86_400, "waitlist_hold_s": 2_592_000, "fee_won": 10_000_000 }),
            json!({ "capacity": 1, "held_back": 1, "eligibility": { "age_min": 30, "age_max": 30 } }),
            json!({ "title": "👨‍👩‍👧‍👦 \u{202e}reversed\u{202c} ﷽ 𝕽𝖚𝖓", "place": "제주\u{0301}" }),
            json!({ "type": "free", "distance_m": 1 }),
            json!({ "opens_at": "1970-01-01T00:00:00Z", "closes_at": "9999-12-31T23:59:59.999Z", "race_at": "9999-12-31T23:59:59+00:00" }),
            json!({ "opens_at": "2026-01-01T09:00:00+09:00" }),
        ] {
            let body = body(app, 10, changes.clone());
            let made = app.post(RACES, body).by(&organiser).await;
            assert_eq!(made.status, 201, "{changes}: {}", made.show());
            for field in ["title", "place"] {
                if let Some(text) = changes[field].as_str() {
                    assert_eq!(made.text(field), text);
                }
            }
        }
        let many = (0..20).map(|n| json!({ "code": format!("{n}-aaaaaaaaaaaaa"), "type": "half", "capacity": 1, "fee_won": 0 }));
        let courses: Vec<Value> = many.collect();
        let changes = json!({ "type": null, "capacity": null, "fee_won": null, "courses": courses });
        assert_eq!(race::make(app, &organiser, 1, changes).await.number("capacity"), 20);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_makes_one_race() {
    yards(async |app| {
        let (organiser, admin) = app.organiser().await;
        let same = body(app, 10, json!({}));
        let make = |by: &Person, key: &str, body: &Value| {
            app.post(RACES, body.clone()).by(by).header("idempotency-key", key).into_future()
        };
        let answers = join_all((0..6).map(|_| make(&organiser, "k", &same))).await;
        let bodies: HashSet<String> = answers.into_iter().map(|answer| answer.must(201).body.to_string()).collect();
        assert_eq!(bodies.len(), 1, "{bodies:?}");
        make(&organiser, "k", &body(app, 11, json!({}))).await.problem(422, "idempotency/mismatch");
        make(&admin, "k", &same).await.must(201);
        let faulty = body(app, 10, json!({ "title": "" }));
        make(&organiser, "faulty", &faulty).await.wrong_field("title");
        make(&organiser, "faulty", &same).await.must(201);
        assert_eq!(count(app).await, 3);
    })
    .await;
}

async fn count(app: &App) -> usize {
    app.get(format!("{RACES}?limit=100")).await.must(200).items().len()
}
