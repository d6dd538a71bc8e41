//! The inbox: what a person was told.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::Query;
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use platform::http::IdPath;
use serde::Deserialize;
use serde_json::Value;

use crate::account::signed_in;
use crate::answers::{Notice, Page};
use crate::browser::{Browser, Web};
use crate::fault::Result;
use crate::forms::Fields;
use crate::frame::{Frame, go, own_path, page};

pub fn routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/inbox", get(list))
        .route("/inbox/read", post(read_all))
        .route("/inbox/{id}/read", post(read))
        .route("/inbox/{id}/delete", post(delete))
}

const NOTICES: &str = "/api/v1/notifications";

#[derive(Deserialize)]
struct After {
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "inbox.html")]
struct Inbox {
    f: Frame,
    /// None where this yard has no notices.
    notices: Option<Vec<Notice>>,
    next: Option<String>,
}

impl Inbox {
    /// Notices lead to our own pages only.
    fn link<'a>(&self, link: &'a str) -> &'a str {
        own_path(link)
    }
}

async fn list(browser: Browser, Query(after): Query<After>) -> Result<Response> {
    signed_in(&browser)?;
    let query = after.cursor.map(|cursor| serde_urlencoded::to_string([("cursor", cursor)]).unwrap_or_default());
    let found: Option<Page<Notice>> = browser.find(&format!("{NOTICES}?{}", query.unwrap_or_default())).await?;
    let (notices, cursor) = found.map_or((None, None), |found| (Some(found.items), found.next_cursor));
    let next = cursor
        .map(|cursor| format!("/inbox?{}", serde_urlencoded::to_string([("cursor", cursor)]).unwrap_or_default()));
    Ok(page(&Inbox { f: browser.frame(), notices, next }))
}

async fn read_all(browser: Browser, _fields: Fields) -> Result<Response> {
    browser.say::<Value>(Method::PUT, &format!("{NOTICES}/read"), &Value::Null).await?;
    Ok(go("/inbox"))
}

async fn read(browser: Browser, IdPath(id): IdPath, _fields: Fields) -> Result<Response> {
    browser.say::<Value>(Method::PUT, &format!("{NOTICES}/{id}/read"), &Value::Null).await?;
    Ok(go("/inbox"))
}

async fn delete(browser: Browser, IdPath(id): IdPath, _fields: Fields) -> Result<Response> {
    browser.say::<Value>(Method::DELETE, &format!("{NOTICES}/{id}"), &Value::Null).await?;
    Ok(go("/inbox"))
}
