//! What a race may not be: every rule of its fields, alone and together.

use serde_json::{Value, json};

use super::{Person, Yard};

/// Creates a race per case, each of which must be refused for that field.
async fn refused_for(yard: &Yard, cases: &[(Value, &str)]) {
    for (changes, field) in cases {
        let answer = yard.post(&Person::organiser(), "/api/v1/races", yard.wish(changes.clone())).await;
        let answer = answer.fails(422, "http/invalid");
        let named = answer.fields().iter().any(|named| named.starts_with(field));
        assert!(named, "{field} in {changes}: {}", answer.text);
    }
    assert_eq!(yard.count("race").await, 0);
}

#[tokio::test]
async fn a_wrong_field_is_named() {
    for yard in Yard::all().await {
        let cases = [
            (json!({ "title": null }), ""),
            (json!({ "title": "" }), "title"),
            (json!({ "title": " \t" }), "title"),
            (json!({ "title": "가".repeat(101) }), "title"),
            (json!({ "title": 7 }), "title"),
            (json!({ "title": "nul\u{0}" }), ""),
            (json!({ "place": "" }), "place"),
            (json!({ "description": "x".repeat(10_001) }), "description"),
            (json!({ "reception": "first" }), "reception"),
            (json!({ "reception": null }), ""),
            (json!({ "opens_at": "2027-01-01" }), "opens_at"),
            (json!({ "opens_at": "-1" }), "opens_at"),
            (json!({ "opens_at": 1_800_000_000 }), "opens_at"),
            (json!({ "closes_at": yard.in_s(-7_200) }), "closes_at"),
            (json!({ "closes_at": yard.in_s(-60) }), "closes_at"),
            (json!({ "race_at": yard.in_s(-9_000) }), "race_at"),
            (json!({ "race_at": "10000-01-01T00:00:00Z" }), "race_at"),
            (json!({ "type": "km11" }), "type"),
            (json!({ "type": null }), "type"),
            (json!({ "type": "free" }), "courses[0].distance_m"),
            (json!({ "distance_m": 9_999 }), "courses[0].distance_m"),
            (json!({ "capacity": 0 }), "capacity"),
            (json!({ "capacity": -1 }), "capacity"),
            (json!({ "capacity": 1_000_001 }), "capacity"),
            (json!({ "capacity": 1.5 }), "capacity"),
            (json!({ "capacity": 18_446_744_073_709_551_615_u64 }), "capacity"),
            (json!({ "capacity": "10" }), "capacity"),
            (json!({ "fee_won": -1 }), "fee_won"),
            (json!({ "fee_won": 10_000_001 }), "fee_won"),
            (json!({ "held_back": 3 }), "courses[0].held_back"),
            (json!({ "hold_s": 59 }), "hold_s"),
            (json!({ "hold_s": 86_401 }), "hold_s"),
            (json!({ "waitlist_hold_s": 0 }), "waitlist_hold_s"),
            (json!({ "waitlist": "yes" }), "waitlist"),
            (json!({ "return_to": "sender" }), "return_to"),
            (json!({ "terms": "x".repeat(50_001) }), "terms"),
            (json!({ "souvenir_rule": "none" }), "souvenir_rule"),
            (json!({ "eligibility": { "age_min": 30, "age_max": 20 } }), "eligibility.age_max"),
            (json!({ "eligibility": { "age_min": 151 } }), "eligibility.age_min"),
            (json!({ "eligibility": { "verified": "sms" } }), "eligibility.verified"),
            (json!({ "eligibility": { "gender": "f" } }), "eligibility"),
            (json!({ "refund_rules": [{ "until": yard.in_s(1), "percent": 101 }] }), "refund_rules[0].percent"),
            (json!({ "refund_rules": [{ "percent": 1 }] }), "refund_rules[0]"),
            (json!({ "id": 1 }), ""),
            (json!({ "owner_id": uuid::Uuid::nil() }), ""),
        ];
        refused_for(&yard, &cases).await;
        let lottery = yard.wish(json!({ "reception": "lottery" }));
        let lottery = yard.post(&Person::organiser(), "/api/v1/races", lottery).await;
        lottery.fails(422, "races/lottery-unavailable");
    }
}

#[tokio::test]
async fn a_wrong_course_or_souvenir_is_named() {
    for yard in Yard::all().await {
        let course = json!({ "code": "10k", "type": "km10", "capacity": 5, "fee_won": 1 });
        let with = |changes: Value| {
            let mut one = course.clone();
            for (field, value) in changes.as_object().expect("an object") {
                one[field] = value.clone();
            }
            one
        };
        let courses = |list: Value| json!({ "courses": list, "type": null, "capacity": null, "fee_won": null });
        let many = |n: usize| json!((0..n).map(|at| with(json!({ "code": format!("c{at}") }))).collect::<Vec<_>>());
        let souvenirs = |list: Value| json!({ "souvenirs": list });
        let cases = [
            (json!({ "courses": [course] }), "courses"),
            (courses(json!([])), "courses"),
            (courses(many(21)), "courses"),
            (courses(json!([course, course])), "courses[1].code"),
            (courses(json!([with(json!({ "code": "10K" }))])), "courses[0].code"),
            (courses(json!([with(json!({ "code": "" }))])), "courses[0].code"),
            (courses(json!([with(json!({ "code": "x".repeat(17) }))])), "courses[0].code"),
            (courses(json!([with(json!({ "code": "s1-1" }))])), "courses[0].code"),
            (courses(json!([with(json!({ "type": "free" }))])), "courses[0].distance_m"),
            (courses(json!([with(json!({ "type": "free", "distance_m": 0 }))])), "courses[0].distance_m"),
            (courses(json!([with(json!({ "held_back": 6 }))])), "courses[0].held_back"),
            (courses(json!([with(json!({ "price": 6 }))])), "courses[0]"),
            (souvenirs(json!([{ "name": "", "sizes": [{ "size": "S", "stock": 1 }] }])), "souvenirs[0].name"),
            (souvenirs(json!([{ "name": "a", "sizes": [] }])), "souvenirs[0].sizes"),
            (
                souvenirs(json!([{ "name": "a", "sizes": [{ "size": "S", "stock": -1 }] }])),
                "souvenirs[0].sizes[0].stock",
            ),
            (
                souvenirs(
                    json!([{ "name": "a", "sizes": [{ "size": "S", "stock": 1 }, { "size": "S", "stock": 1 }] }]),
                ),
                "souvenirs[0].sizes[1].size",
            ),
        ];
        refused_for(&yard, &cases).await;
    }
}

#[tokio::test]
async fn every_edge_of_a_rule_is_inside() {
    for yard in Yard::all().await {
        let widest = json!({
            "title": "가".repeat(100), "place": "x", "description": "d".repeat(10_000), "terms": "t".repeat(50_000),
            "hold_s": 86_400, "waitlist_hold_s": 2_592_000, "capacity": 1_000_000, "fee_won": 10_000_000, "held_back": 1_000_000,
            "closes_at": "9999-12-31T23:59:59.999Z", "race_at": "9999-12-31T23:59:59.999+00:00", "opens_at": "1970-01-01T09:00:00+09:00",
            "eligibility": { "age_min": 0, "age_max": 150, "verified": "identity" },
        });
        let made = yard.post(&Person::organiser(), "/api/v1/races", yard.wish(widest)).await.must(201);
        assert_eq!((&made.body["remaining"], &made.body["state"]), (&json!(0), &json!("sold_out")));
        assert_eq!(made.body["opens_at"], "1970-01-01T00:00:00.000Z");
        let half = json!({ "type": "half", "distance_m": 21_098, "capacity": 1, "hold_s": 60, "fee_won": 0 });
        yard.race(&Person::organiser(), half).await;
        let sizes: Vec<Value> = (0..20).map(|at| json!({ "size": format!("{at}"), "stock": 0 })).collect();
        let souvenirs: Vec<Value> = (0..20).map(|at| json!({ "name": format!("n{at}"), "sizes": sizes })).collect();
        let courses: Vec<Value> =
            (0..20).map(|at| json!({ "code": format!("c{at}"), "type": "km5", "capacity": 1, "fee_won": 0 })).collect();
        let many =
            json!({ "souvenirs": souvenirs, "courses": courses, "type": null, "capacity": null, "fee_won": null });
        yard.race(&Person::organiser(), many).await;
    }
}
