//! The races: list and search, one race, and the click for a place.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::Query;
use axum::http::{HeaderName, Method};
use axum::response::Response;
use axum::routing::{get, post};
use platform::http::IdPath;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::answers::{Page, Race, Registration};
use crate::api::{Call, read};
use crate::browser::{Browser, Web};
use crate::fault::Result;
use crate::forms::{Fields, Form};
use crate::frame::{Frame, again, go, page};
use crate::why;

pub fn routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/races", get(list))
        .route("/races/{id}", get(show))
        .route("/races/{id}/claim", post(claim))
        .route("/races/{id}/why", get(why::of_race))
}

/// The search, as the address holds it; what is empty is not asked.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Search {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    q: String,
    #[serde(default, rename = "type", skip_serializing_if = "String::is_empty")]
    kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    state: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    cursor: String,
}

#[derive(Template)]
#[template(path = "races.html")]
struct List {
    f: Frame,
    search: Search,
    races: Vec<Race>,
    next: Option<String>,
}

const STATES: [&str; 6] = ["scheduled", "open", "paused", "sold_out", "closed", "cancelled"];
const TYPES: [&str; 5] = ["km5", "km10", "half", "full", "free"];

async fn list(browser: Browser, Query(search): Query<Search>) -> Result<Response> {
    let query = serde_urlencoded::to_string(&search).unwrap_or_default();
    let races: Page<Race> = browser.get(&format!("/api/v1/races?{query}")).await?;
    let next = races.next_cursor.map(|cursor| {
        let next = Search { cursor, ..search.clone() };
        format!("/races?{}", serde_urlencoded::to_string(next).unwrap_or_default())
    });
    Ok(page(&List { f: browser.frame(), search, races: races.items, next }))
}

#[derive(Template)]
#[template(path = "race.html")]
struct Show {
    f: Frame,
    race: Race,
    /// What the person has in this race.
    mine: Option<Registration>,
    /// The click's own, so that it counts once however often it is sent.
    key: Uuid,
    form: Form,
}

pub fn race_path(id: Uuid) -> String {
    format!("/api/v1/races/{id}")
}

async fn show(browser: Browser, IdPath(id): IdPath) -> Result<Response> {
    Ok(page(&shown(&browser, id, Form::default()).await?))
}

async fn shown(browser: &Browser, id: Uuid, form: Form) -> Result<Show> {
    let race: Race = browser.get(&race_path(id)).await?;
    let mut mine = None;
    if browser.me().is_some() {
        let all: Page<Registration> = browser.get("/api/v1/registrations?limit=100").await?;
        mine = all.items.into_iter().find(|had| had.race_id == race.id && had.is_open());
    }
    Ok(Show { f: browser.frame(), race, mine, key: Uuid::new_v4(), form })
}

/// A click. Its key is in the form: sent twice it finds its own claim.
async fn claim(browser: Browser, IdPath(id): IdPath, fields: Fields) -> Result<Response> {
    let mut body = json!({});
    if fields.is_on("course") {
        body["course"] = fields.json("course");
    }
    let path = format!("{}/registrations", race_path(id));
    let mut call = Call::new(Method::POST, &path).body(&body);
    if fields.is_on("key") {
        call = call.header(HeaderName::from_static("idempotency-key"), fields.text("key"));
    }
    let fault = match browser.send(call).await {
        Ok(response) => {
            let registration: Registration = read(response).await?;
            return Ok(go(format!("/registrations/{}", registration.id)));
        }
        Err(fault) => fault,
    };
    if fault.wants_sign_in() {
        return Ok(go(format!("/login?next=/races/{id}")));
    }
    if fault.is("admission/sold-out") {
        return Ok(go(why::refused_at(id, &fault)));
    }
    Ok(again(fault.status, &shown(&browser, id, Form::failed(fields, fault)).await?))
}
