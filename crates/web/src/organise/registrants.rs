//! Who registered: list, search, CSV.

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use platform::http::IdPath;
use serde::{Deserialize, Serialize};

use crate::account::signed_in;
use crate::answers::{Page, Race, Registrant};
use crate::browser::Browser;
use crate::fault::Result;
use crate::frame::{Frame, page};
use crate::races::race_path;
use crate::registrations::handed_on;

#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Search {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    q: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    state: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    cursor: String,
}

impl Search {
    fn query(&self) -> String {
        serde_urlencoded::to_string(self).unwrap_or_default()
    }
}

const STATES: [&str; 7] = ["waitlisted", "held", "paying", "confirmed", "expired", "cancelled", "failed"];

#[derive(Template)]
#[template(path = "organise/registrants.html")]
struct List {
    f: Frame,
    race: Race,
    search: Search,
    people: Vec<Registrant>,
    next: Option<String>,
    csv: String,
}

pub async fn list(browser: Browser, IdPath(id): IdPath, Query(search): Query<Search>) -> Result<Response> {
    signed_in(&browser)?;
    let race: Race = browser.get(&race_path(id)).await?;
    let path = format!("{}/registrations?{}", race_path(id), search.query());
    let people: Page<Registrant> = browser.get(&path).await?;
    let next = people.next_cursor.map(|cursor| format!("?{}", Search { cursor, ..search.clone() }.query()));
    let all = Search { cursor: String::new(), ..search.clone() };
    let csv = format!("/organise/{id}/registrants.csv?{}", all.query());
    Ok(page(&List { f: browser.frame(), race, search, people: people.items, next, csv }))
}

pub async fn csv(browser: Browser, IdPath(id): IdPath, Query(search): Query<Search>) -> Result<Response> {
    handed_on(&browser, &format!("{}/registrations?{}", race_path(id), search.query()), "text/csv").await
}
