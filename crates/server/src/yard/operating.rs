//! What an operator asks a yard: is it alive, is it ready, what does it count, what does it offer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use axum::Json;
use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use platform::db::Db;
use platform::http::{self, Problem, ProblemBody, codes};
use platform::revocation::Revocations;
use platform::telemetry::Telemetry;
use serde_json::{Value, json};
use utoipa::PartialSchema;

/// A database that needs longer to say that it is there is not ready.
const PING_MAX: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(super) struct State {
    pub openapi: Arc<str>,
    pub telemetry: Telemetry,
    pub databases: Arc<[Db]>,
    pub revocations: Revocations,
}

pub(super) fn routes(state: State) -> Router {
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(openapi))
        .with_state(state)
}

/// The operating addresses in the OpenAPI document.
pub(super) fn addresses() -> utoipa::openapi::OpenApi {
    let routes = [
        ("/health/live", "read_liveness", "Alive", "application/json"),
        ("/health/ready", "read_readiness", "Ready; a 503 names what fails", "application/json"),
        ("/metrics", "read_metrics", "Metrics in Prometheus' text format", "text/plain"),
    ];
    let item = |(path, id, summary, media): (&str, &str, &str, &str)| {
        (path.to_owned(), http::openapi::public_get(id, "operating", summary, media, Vec::new()))
    };
    http::openapi::document(routes.into_iter().map(item).collect())
}

pub(super) async fn no_route() -> Problem {
    Problem::new(&codes::NO_ROUTE)
}

async fn live() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

/// Names what fails; a balancer sends nobody here meanwhile.
async fn ready(axum::extract::State(state): axum::extract::State<State>) -> http::Result<Json<Value>> {
    let mut failing = Vec::new();
    for db in state.databases.iter() {
        if !matches!(tokio::time::timeout(PING_MAX, db.ping()).await, Ok(Ok(()))) {
            failing.push(format!("database {}", db.name()));
        }
    }
    if state.revocations.is_stale(Instant::now()) {
        failing.push("revocations".to_owned());
    }
    if failing.is_empty() {
        return Ok(Json(json!({ "status": "ready" })));
    }
    let names = failing.join(", ");
    Err(Problem::new(&codes::UNAVAILABLE)
        .detail(format!("not ready: {names}"))
        .with("failing", failing)
        .retry_after_ms(1_000))
}

async fn metrics(axum::extract::State(state): axum::extract::State<State>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.telemetry.render())
}

async fn openapi(axum::extract::State(state): axum::extract::State<State>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], state.openapi.to_string())
}

/// The merged document with what all operations share.
pub(super) fn document(merged: &utoipa::openapi::OpenApi) -> Result<String> {
    let mut document = serde_json::to_value(merged)?;
    document["openapi"] = json!("3.1.0");
    document["info"] = json!({
        "title": "Madang",
        "version": env!("CARGO_PKG_VERSION"),
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    });
    document["components"]["schemas"]["Problem"] = serde_json::to_value(ProblemBody::schema())?;
    http::openapi::complete(&mut document);
    Ok(serde_json::to_string(&document)?)
}
