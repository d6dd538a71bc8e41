//! Creating and editing a race: one form, with a preview before anything is written.

use askama::Template;
use axum::http::{Method, header};
use axum::response::Response;
use platform::http::IdPath;
use serde_json::{Map, Value, json};

use super::is_final;
use crate::account::signed_in;
use crate::answers::Race;
use crate::api::{Call, read};
use crate::browser::Browser;
use crate::fault::Result;
use crate::forms::{Fields, Form};
use crate::frame::{Frame, again, go, page};
use crate::races::race_path;

/// The API's bound for courses, souvenirs and refund rules each; empty rows are not sent.
const ROWS: std::ops::Range<usize> = 0..20;
/// Empty rows that a form shows after the filled ones.
const SPARE_ROWS: usize = 2;
const TYPES: [&str; 5] = ["km5", "km10", "half", "full", "free"];
const VERIFIED: [&str; 4] = ["none", "email", "phone", "identity"];

#[derive(Template)]
#[template(path = "organise/edit.html")]
struct Edit {
    f: Frame,
    form: Form,
    /// Of the race that is edited.
    race: Option<Race>,
    /// What the race would be, shown before it is written.
    preview: bool,
}

impl Edit {
    fn row(&self, list: &str, at: &usize, field: &str) -> String {
        format!("{list}[{at}].{field}")
    }

    /// The rows on the screen: the filled ones and some to fill.
    fn shown(&self, list: &str, key: &str) -> std::ops::Range<usize> {
        let filled = ROWS.rev().find(|at| self.has_row(list, at, key)).map_or(0, |last| last + 1);
        0..(filled + SPARE_ROWS).min(ROWS.end)
    }

    fn verified(&self, word: &str) -> &'static str {
        match word {
            "email" => self.f.t.verified_email,
            "phone" => self.f.t.verified_phone,
            "identity" => self.f.t.verified_identity,
            _ => self.f.t.verified_none,
        }
    }

    /// A typed moment as it will be understood.
    fn typed(&self, name: &str) -> String {
        self.form.value(name).replace('T', " ")
    }

    fn has_row(&self, list: &str, at: &usize, field: &str) -> bool {
        !self.form.value(&self.row(list, at, field)).is_empty()
    }
}

pub async fn new(browser: Browser) -> Result<Response> {
    signed_in(&browser)?;
    let mut form = Form::default();
    for (name, value) in [
        ("hold_s", "600"),
        ("waitlist_hold_s", "86400"),
        ("return_to", "line"),
        ("souvenir_rule", "optional"),
        // The API asks nothing of accounts by itself; a page proposes what keeps second accounts out.
        ("eligibility.verified", "email"),
        ("courses[0].type", "km10"),
        ("courses[0].code", "km10"),
    ] {
        form.fields.set(name, value);
    }
    Ok(page(&Edit { f: browser.frame(), form, race: None, preview: false }))
}

pub async fn create(browser: Browser, fields: Fields) -> Result<Response> {
    signed_in(&browser)?;
    let f = browser.frame();
    if fields.text("act") == "preview" || fields.text("act") == "back" {
        let preview = fields.text("act") == "preview";
        return Ok(page(&Edit { f, form: Form { fields, fault: None }, race: None, preview }));
    }
    let mut body = body_of(&f, &fields);
    body["reception"] = json!("first_come");
    match browser.say::<Race>(Method::POST, "/api/v1/races", &body).await {
        Ok(race) => Ok(go(format!("/organise/{}", race.id))),
        Err(fault) if is_final(&fault) => Err(fault.into()),
        Err(fault) => {
            let (status, form) = (fault.status, Form::failed(fields, fault));
            Ok(again(status, &Edit { f, form, race: None, preview: false }))
        }
    }
}

pub async fn edit_page(browser: Browser, IdPath(id): IdPath) -> Result<Response> {
    signed_in(&browser)?;
    let race: Race = browser.get(&race_path(id)).await?;
    let f = browser.frame();
    let form = Form { fields: fields_of(&f, &race), fault: None };
    Ok(page(&Edit { f, form, race: Some(race), preview: false }))
}

/// Sends what differs from what was shown, on condition that nobody else changed it meanwhile.
pub async fn edit(browser: Browser, IdPath(id): IdPath, fields: Fields) -> Result<Response> {
    signed_in(&browser)?;
    let race: Race = browser.get(&race_path(id)).await?;
    let f = browser.frame();
    if fields.text("act") == "preview" || fields.text("act") == "back" {
        let preview = fields.text("act") == "preview";
        return Ok(page(&Edit { f, form: Form { fields, fault: None }, race: Some(race), preview }));
    }
    let before = body_of(&f, &fields_of(&f, &race));
    let mut change = body_of(&f, &fields);
    if let (Some(change), Some(before)) = (change.as_object_mut(), before.as_object()) {
        change.retain(|name, value| before.get(name) != Some(value));
    }
    let path = race_path(id);
    let version = format!("\"{}\"", fields.text("version"));
    let call = Call::new(Method::PATCH, &path).body(&change).header(header::IF_MATCH, version);
    let said = match browser.send(call).await {
        Ok(response) => read::<Value>(response).await,
        Err(fault) => Err(fault),
    };
    match said {
        Ok(_) => Ok(go(format!("/organise/{id}"))),
        Err(fault) if is_final(&fault) => Err(fault.into()),
        Err(fault) => {
            let (status, form) = (fault.status, Form::failed(fields, fault));
            Ok(again(status, &Edit { f, form, race: Some(race), preview: false }))
        }
    }
}

/// The API's body of what the form says.
fn body_of(f: &Frame, fields: &Fields) -> Value {
    let mut body = json!({
        "title": fields.text("title"), "description": fields.text("description"), "place": fields.text("place"),
        "race_at": f.from_input(fields.text("race_at")), "opens_at": f.from_input(fields.text("opens_at")),
        "closes_at": f.from_input(fields.text("closes_at")), "hold_s": fields.number("hold_s"),
        "waitlist": fields.is_on("waitlist"), "waitlist_hold_s": fields.number("waitlist_hold_s"),
        "return_to": fields.text("return_to"), "terms": fields.text("terms"),
        "souvenir_rule": fields.text("souvenir_rule"),
    });
    body["courses"] = rows(fields, "courses", "code", |row| {
        let mut course = Map::from_iter([
            ("code".to_owned(), row.json("code")),
            ("type".to_owned(), row.json("type")),
            ("capacity".to_owned(), row.number("capacity")),
            ("fee_won".to_owned(), row.number("fee_won")),
        ]);
        if row.text("type") == "free" {
            course.insert("distance_m".to_owned(), row.number("distance_m"));
        }
        if !row.text("held_back").is_empty() {
            course.insert("held_back".to_owned(), row.number("held_back"));
        }
        Value::Object(course)
    });
    body["souvenirs"] = rows(
        fields,
        "souvenirs",
        "name",
        |row| json!({ "name": row.text("name"), "sizes": sizes_of(row.text("sizes")) }),
    );
    body["refund_rules"] = rows(
        fields,
        "refund_rules",
        "until",
        |row| json!({ "until": f.from_input(row.text("until")), "percent": row.number("percent") }),
    );
    body["eligibility"] = json!({
        "verified": fields.text("eligibility.verified"),
        "account_before": f.from_input(fields.text("eligibility.account_before")),
        "age_min": fields.number("eligibility.age_min"), "age_max": fields.number("eligibility.age_max"),
    });
    body
}

/// One row of a repeated part of the form.
struct Row<'a> {
    fields: &'a Fields,
    prefix: String,
}

impl Row<'_> {
    fn text(&self, name: &str) -> &str {
        self.fields.text(&format!("{}.{name}", self.prefix))
    }

    fn json(&self, name: &str) -> Value {
        self.fields.json(&format!("{}.{name}", self.prefix))
    }

    fn number(&self, name: &str) -> Value {
        self.fields.number(&format!("{}.{name}", self.prefix))
    }
}

/// The rows whose `key` was filled in.
fn rows(fields: &Fields, list: &str, key: &str, make: impl Fn(Row<'_>) -> Value) -> Value {
    let row = |at| Row { fields, prefix: format!("{list}[{at}]") };
    ROWS.map(row).filter(|row| !row.text(key).is_empty()).map(make).collect()
}

/// `S 100, M 200` as sizes with their stock.
fn sizes_of(text: &str) -> Value {
    let size = |part: &str| {
        let (size, stock) = part.trim().rsplit_once(char::is_whitespace).unwrap_or((part.trim(), ""));
        let stock = stock.parse::<i64>().map_or_else(|_| json!(stock), Value::from);
        json!({ "size": size.trim(), "stock": stock })
    };
    text.split(',').filter(|part| !part.trim().is_empty()).map(size).collect()
}

/// A race as the form shows it.
fn fields_of(f: &Frame, race: &Race) -> Fields {
    let mut fields = Fields::default();
    let moment = |time: &Option<_>| time.as_ref().map(|time| f.for_input(time)).unwrap_or_default();
    let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
    for (name, value) in [
        ("version", race.version.to_string()),
        ("title", race.title.clone()),
        ("description", race.description.clone()),
        ("place", race.place.clone()),
        ("race_at", f.for_input(&race.race_at)),
        ("opens_at", f.for_input(&race.opens_at)),
        ("closes_at", f.for_input(&race.closes_at)),
        ("hold_s", race.hold_s.to_string()),
        ("waitlist", if race.waitlist { "1" } else { "" }.to_owned()),
        ("waitlist_hold_s", race.waitlist_hold_s.to_string()),
        ("return_to", race.return_to.clone()),
        ("terms", race.terms.clone()),
        ("souvenir_rule", race.souvenir_rule.clone()),
        ("eligibility.verified", race.eligibility.verified.clone()),
        ("eligibility.account_before", moment(&race.eligibility.account_before)),
        ("eligibility.age_min", number(race.eligibility.age_min)),
        ("eligibility.age_max", number(race.eligibility.age_max)),
    ] {
        fields.set(name, value);
    }
    for (at, course) in race.courses.iter().enumerate() {
        for (name, value) in [
            ("code", course.code.clone()),
            ("type", course.kind.clone()),
            ("distance_m", course.distance_m.to_string()),
            ("capacity", course.capacity.to_string()),
            ("fee_won", course.fee_won.0.to_string()),
            ("held_back", course.held_back.to_string()),
        ] {
            fields.set(format!("courses[{at}].{name}"), value);
        }
    }
    for (at, souvenir) in race.souvenirs.iter().enumerate() {
        let sizes: Vec<String> = souvenir.sizes.iter().map(|size| format!("{} {}", size.size, size.stock)).collect();
        fields.set(format!("souvenirs[{at}].name"), &souvenir.name);
        fields.set(format!("souvenirs[{at}].sizes"), sizes.join(", "));
    }
    for (at, rule) in race.refund_rules.iter().enumerate() {
        fields.set(format!("refund_rules[{at}].until"), f.for_input(&rule.until));
        fields.set(format!("refund_rules[{at}].percent"), rule.percent.to_string());
    }
    fields
}
