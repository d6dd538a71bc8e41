//! Races as the tests of this module need them.

use std::time::Duration;

use kernel::UtcTime;
use serde_json::{Value, json};

use crate::support::app::{Answer, App, Ask, Person};
use crate::support::wait::until;

/// A moment, so many seconds from now on the yard's clock, as the API writes it.
pub fn in_s(app: &App, seconds: i64) -> String {
    UtcTime(app.yard.clock().now_ms() + seconds * 1_000).to_string()
}

/// A race of 10 km whose sale has just opened, with `changes` over it; a null takes a field away.
pub fn body(app: &App, capacity: u32, changes: Value) -> Value {
    let mut body = json!({
        "title": "한강 달빛 마라톤", "place": "서울 여의도", "reception": "first_come",
        "opens_at": in_s(app, -60), "closes_at": in_s(app, 86_400), "race_at": in_s(app, 864_000),
        "type": "km10", "capacity": capacity, "fee_won": 30_000,
    });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(body.as_object_mut().unwrap().remove(name)),
            value => body[name] = value.clone(),
        }
    }
    body
}

/// Makes it; the answer is the race.
pub async fn make(app: &App, organiser: &Person, capacity: u32, changes: Value) -> Answer {
    app.post("/api/v1/races", body(app, capacity, changes)).by(organiser).await.must(201)
}

/// Makes it; the answer is its path.
pub async fn open(app: &App, organiser: &Person, capacity: u32, changes: Value) -> String {
    format!("/api/v1/races/{}", make(app, organiser, capacity, changes).await.text("id"))
}

/// A click for a place in a race with one course.
pub fn claim<'a>(app: &'a App, race: &str, person: &Person) -> Ask<'a> {
    app.post(format!("{race}/registrations"), json!({})).by(person)
}

/// A click that is made again while too many click at once, as clients do.
pub async fn click(app: &App, race: &str, person: &Person) -> Answer {
    until("a click is answered", Duration::from_secs(60), async || {
        let answer = claim(app, race, person).await;
        (answer.code() != "admission/busy").then_some(answer)
    })
    .await
}

/// Members enough for a test, signed in.
pub async fn members(app: &App, count: usize) -> Vec<Person> {
    let mut people = Vec::with_capacity(count);
    for _ in 0..count {
        people.push(app.member().await);
    }
    people
}

/// A body without what differs from run to run: texts that are ids, times, keys and proofs.
pub fn redacted(body: &Value) -> Value {
    match body {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), redacted(value))).collect(),
        Value::Array(items) => items.iter().map(redacted).collect(),
        Value::String(text) => Value::String(shape(text)),
        other => other.clone(),
    }
}

fn shape(text: &str) -> String {
    if uuid::Uuid::try_parse(text).is_ok() {
        "[id]".to_owned()
    } else if UtcTime::parse(text).is_ok() {
        "[time]".to_owned()
    } else if text.starts_with("c2sp.org/tlog-proof@v1") {
        "[receipt]".to_owned()
    } else if text.len() == 44 && text.ends_with('=') {
        "[key]".to_owned()
    } else if let Some(id) = text.split('/').find(|part| uuid::Uuid::try_parse(part).is_ok()) {
        text.replace(id, "[id]")
    } else {
        text.to_owned()
    }
}
