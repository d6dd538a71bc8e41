use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::load::Answer;

const OK_MS: u64 = 5;

fn say(told: &Told, person: usize, status: u16, body: serde_json::Value) {
    let body = body.to_string();
    let latency = Duration::from_millis(OK_MS);
    told.note(person, &Answer { index: person, status, body: body.as_bytes(), latency, tries: 1 });
}

fn placed(claim: u128, number: u64) -> serde_json::Value {
    serde_json::json!({ "id": Uuid::from_u128(claim), "sequence": number, "state": "held", "receipt": "r" })
}

fn sold_out(number: Option<u64>) -> serde_json::Value {
    serde_json::json!({ "code": "admission/sold-out", "sequence": number })
}

fn crowd(people: usize) -> Told {
    Told::new((0..people).map(|person| Duration::from_millis(person as u64)).collect())
}

fn outcome(people: u32, capacity: u32, told: &Told) -> Outcome {
    let plan = Plan {
        people,
        capacity,
        clicks: 1,
        within: Duration::from_secs(1),
        connections: 1,
        patience: Duration::ZERO,
        seed: 1,
    };
    Outcome::new(Uuid::nil(), &plan, &told.sums(), &Traffic::default())
}

#[test]
fn a_fair_opening_is_well() {
    let told = crowd(3);
    say(&told, 0, 201, placed(1, 1));
    say(&told, 0, 200, placed(1, 1));
    say(&told, 1, 409, sold_out(Some(2)));
    say(&told, 1, 409, sold_out(Some(2)));
    say(&told, 2, 409, sold_out(Some(3)));
    let outcome = outcome(3, 1, &told);
    assert!(outcome.is_well(), "{:?}", outcome.faults);
    assert_eq!((outcome.granted, outcome.refused, outcome.numbered), (1, 2, 2));
    let moments = told.moments();
    assert_eq!(moments.len(), 3);
    assert_eq!(moments[2].answered, Duration::from_millis(2 + OK_MS));
    assert!(moments[0].placed && !moments[1].placed);
}

#[test]
fn each_unfairness_is_named() {
    type Play<'a> = &'a dyn Fn(&Told);
    let cases: [(&str, Play<'_>); 8] = [
        ("people with a place: 2 instead of 1", &|told| {
            say(told, 0, 201, placed(1, 1));
            say(told, 1, 201, placed(2, 2));
        }),
        ("told two things", &|told| {
            say(told, 0, 201, placed(1, 1));
            say(told, 0, 201, placed(3, 3));
        }),
        ("told two things", &|told| {
            say(told, 1, 409, sold_out(Some(2)));
            say(told, 1, 409, sold_out(Some(3)));
        }),
        ("both placed and refused", &|told| {
            say(told, 0, 201, placed(1, 1));
            say(told, 0, 409, sold_out(Some(2)));
        }),
        ("given to more than one person", &|told| {
            say(told, 0, 201, placed(1, 1));
            say(told, 1, 409, sold_out(Some(1)));
        }),
        ("people refused with a number: 0 instead of 1", &|told| {
            say(told, 0, 201, placed(1, 1));
            say(told, 1, 409, sold_out(None));
        }),
        ("answered 1 times: 500 http/internal", &|told| {
            say(told, 0, 500, serde_json::json!({ "code": "http/internal" }))
        }),
        ("people without an answer: 1 instead of 0", &|told| say(told, 0, 201, placed(1, 1))),
    ];
    for (fault, play) in cases {
        let told = crowd(2);
        play(&told);
        let faults = outcome(2, 1, &told).faults;
        assert!(faults.iter().any(|found| found.contains(fault)), "{fault}: {faults:?}");
    }
}

#[test]
fn an_intake_curve_ends_at_its_counts() {
    let at = Duration::from_millis;
    let moments: Vec<Moment> =
        (0..2_000).map(|i| Moment { clicked: at(i), answered: at(i + 7), placed: i < 50 }).collect();
    let svg = intake_curve(&moments, "2,000 people & <50> places");
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    assert!(svg.contains("&amp; &lt;50&gt;"));
    for legend in ["2000 clicked", "2000 answered", "50 placed"] {
        assert!(svg.contains(legend), "{legend}");
    }
    assert!(svg.len() < 100_000, "{} bytes", svg.len());
    assert!(intake_curve(&[], "nobody").ends_with("</svg>\n"));
}

#[tokio::test]
async fn only_plain_http_yards_can_be_rehearsed_at() {
    let address = |text: &str| {
        let url: Url = text.parse().expect("an address");
        async move { super::address(&url).await }
    };
    assert_eq!(address("http://127.0.0.1:8080").await.expect("found").to_string(), "127.0.0.1:8080");
    assert_eq!(address("http://[::1]:81/x").await.expect("found").to_string(), "[::1]:81");
    assert!(address("https://127.0.0.1").await.is_err());
}
