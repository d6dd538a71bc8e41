//! For managers and admins: people, applications, sagas.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use platform::http::IdPath;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::account::signed_in;
use crate::answers::{Application, Page, Saga, SagaDetail, User};
use crate::browser::{Browser, Web};
use crate::fault::Result;
use crate::forms::Fields;
use crate::frame::{Frame, go, own_path, page};

pub fn routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/admin", get(users))
        .route("/admin/users/{id}/role", post(change_role))
        .route("/admin/users/{id}/ban", post(ban))
        .route("/admin/applications", get(applications))
        .route("/admin/applications/{id}", post(decide))
        .route("/admin/sagas", get(sagas))
        .route("/admin/sagas/{id}", get(saga))
        .route("/admin/sagas/{id}/{order}", post(order))
}

/// The only context that runs sagas so far.
const SAGAS: &str = "/api/v1/admin/sagas/races";
const ROLES: [&str; 4] = ["member", "company", "manager", "admin"];
const SAGA_STATES: [&str; 5] = ["running", "undoing", "completed", "compensated", "stuck"];

/// The search, as the address holds it; what is empty is not asked.
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

    fn next(&self, cursor: Option<String>) -> Option<String> {
        cursor.map(|cursor| format!("?{}", Search { cursor, ..self.clone() }.query()))
    }
}

#[derive(Template)]
#[template(path = "admin/users.html")]
struct Users {
    f: Frame,
    search: Search,
    users: Vec<User>,
    next: Option<String>,
}

async fn users(browser: Browser, Query(search): Query<Search>) -> Result<Response> {
    signed_in(&browser)?;
    let users: Page<User> = browser.get(&format!("/api/v1/users?{}", search.query())).await?;
    let next = search.next(users.next_cursor);
    Ok(page(&Users { f: browser.frame(), search, users: users.items, next }))
}

async fn change_role(browser: Browser, IdPath(id): IdPath, fields: Fields) -> Result<Response> {
    let body = json!({ "role": fields.text("role") });
    browser.say::<Value>(Method::PUT, &format!("/api/v1/users/{id}/role"), &body).await?;
    Ok(go(own_path(fields.text("back"))))
}

async fn ban(browser: Browser, IdPath(id): IdPath, fields: Fields) -> Result<Response> {
    let mut body = json!({ "banned": fields.is_on("banned") });
    if fields.is_on("reason") {
        body["reason"] = fields.json("reason");
    }
    browser.say::<Value>(Method::PUT, &format!("/api/v1/users/{id}/ban"), &body).await?;
    Ok(go(own_path(fields.text("back"))))
}

#[derive(Template)]
#[template(path = "admin/applications.html")]
struct Applications {
    f: Frame,
    applications: Vec<Application>,
    next: Option<String>,
}

async fn applications(browser: Browser, Query(search): Query<Search>) -> Result<Response> {
    signed_in(&browser)?;
    let found: Page<Application> = browser.get(&format!("/api/v1/company-applications?{}", search.query())).await?;
    let next = search.next(found.next_cursor);
    Ok(page(&Applications { f: browser.frame(), applications: found.items, next }))
}

async fn decide(browser: Browser, IdPath(id): IdPath, fields: Fields) -> Result<Response> {
    let mut body = json!({ "decision": fields.text("decision") });
    if fields.is_on("reason") {
        body["reason"] = fields.json("reason");
    }
    browser.say::<Value>(Method::PUT, &format!("/api/v1/company-applications/{id}/decision"), &body).await?;
    Ok(go("/admin/applications"))
}

#[derive(Template)]
#[template(path = "admin/sagas.html")]
struct Sagas {
    f: Frame,
    search: Search,
    sagas: Vec<Saga>,
    next: Option<String>,
}

fn saga_state(f: &Frame, state: &str) -> &'static str {
    match state {
        "running" => f.t.saga_running,
        "undoing" => f.t.saga_undoing,
        "completed" => f.t.saga_completed,
        "compensated" => f.t.saga_compensated,
        _ => f.t.saga_stuck,
    }
}

impl Sagas {
    fn name(&self, state: &str) -> &'static str {
        saga_state(&self.f, state)
    }
}

async fn sagas(browser: Browser, Query(search): Query<Search>) -> Result<Response> {
    signed_in(&browser)?;
    let sagas: Page<Saga> = browser.get(&format!("{SAGAS}?{}", search.query())).await?;
    let next = search.next(sagas.next_cursor);
    Ok(page(&Sagas { f: browser.frame(), search, sagas: sagas.items, next }))
}

#[derive(Template)]
#[template(path = "admin/saga.html")]
struct OneSaga {
    f: Frame,
    detail: SagaDetail,
}

impl OneSaga {
    fn name(&self, state: &str) -> &'static str {
        saga_state(&self.f, state)
    }
}

async fn saga(browser: Browser, IdPath(id): IdPath) -> Result<Response> {
    signed_in(&browser)?;
    let detail: SagaDetail = browser.get(&format!("{SAGAS}/{id}")).await?;
    Ok(page(&OneSaga { f: browser.frame(), detail }))
}

async fn order(browser: Browser, Path((id, order)): Path<(Uuid, String)>, fields: Fields) -> Result<Response> {
    let order = if order == "undo" { "undo" } else { "retry" };
    let body = json!({ "reason": fields.text("reason") });
    browser.say::<Value>(Method::POST, &format!("{SAGAS}/{id}/{order}"), &body).await?;
    Ok(go(format!("/admin/sagas/{id}")))
}
