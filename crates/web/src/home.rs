//! What is open now and what opens next; and the footer's language switch.

use askama::Template;
use axum::http::Method;
use axum::response::Response;
use serde_json::{Value, json};

use crate::answers::{Page, Race};
use crate::browser::Browser;
use crate::fault::Result;
use crate::forms::Fields;
use crate::frame::{Frame, go, own_path, page};
use platform::http::Language;

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    f: Frame,
    open: Vec<Race>,
    next: Vec<Race>,
}

pub async fn home(browser: Browser) -> Result<Response> {
    let open: Page<Race> = browser.get("/api/v1/races?state=open&limit=10").await?;
    let mut next: Page<Race> = browser.get("/api/v1/races?state=scheduled&limit=20").await?;
    next.items.sort_by_key(|race| race.opens_at);
    Ok(page(&Home { f: browser.frame(), open: open.items, next: next.items }))
}

/// Kept with the account where somebody is signed in, else in the cookie.
pub async fn language(browser: Browser, fields: Fields) -> Result<Response> {
    let language = Language::parse(fields.text("language")).unwrap_or_default();
    browser.set_language(language);
    if browser.me().is_some() {
        let change = json!({ "language": language });
        browser.say::<Value>(Method::PATCH, "/api/v1/users/me", &change).await?;
    }
    Ok(go(own_path(fields.text("back"))))
}
