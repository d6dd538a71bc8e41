//! The public order log, mounted under each thing that is sold (order-log format 1).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};
use futures::future::BoxFuture;
use kernel::{OfferId, UtcTime};
use orderlog::tiles::Tile;
use orderlog::{Event, Leaf};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::log::{self, LogHead};
use super::{Admission, Shared};
use crate::db::{Query as _, args};
use crate::http::{Problem, codes};

const LOG_LIMIT_DEFAULT: u64 = 100;
const LOG_LIMIT_MAX: u64 = 1_000;
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const NEWEST: HeaderValue = HeaderValue::from_static("public, max-age=1");

type Resolve = dyn Fn(Uuid) -> BoxFuture<'static, Result<Option<OfferId>, Problem>> + Send + Sync;

#[derive(Clone)]
struct LogState {
    shared: Arc<Shared>,
    resolve: Arc<Resolve>,
}

/// Routes below `<prefix>/{id}/offer`, where `resolve` finds the offer of a thing, deleted ones too.
pub fn log_routes<F>(admission: &Admission, prefix: &str, resolve: F) -> Router
where
    F: Fn(Uuid) -> BoxFuture<'static, Result<Option<OfferId>, Problem>> + Send + Sync + 'static,
{
    let state = LogState { shared: admission.0.clone(), resolve: Arc::new(resolve) };
    let mut router = Router::new();
    for base in [format!("{prefix}/{{id}}/offer"), format!("{prefix}/{{id}}/offer/logs/{{k}}")] {
        router = router
            .route(&format!("{base}/checkpoint"), get(checkpoint))
            .route(&format!("{base}/tile/{{*place}}"), get(tile))
            .route(&format!("{base}/keys"), get(keys))
            .route(&format!("{base}/rules/{{sha}}"), get(rules))
            .route(&format!("{base}/receipts/{{index}}"), get(receipt))
            .route(&format!("{base}/log"), get(leaves));
    }
    router.with_state(state)
}

/// What the address of a log holds; `k` counts the logs of the offer from 1, absent means the newest.
#[derive(Deserialize)]
struct Place {
    id: Uuid,
    k: Option<u32>,
    place: Option<String>,
    sha: Option<String>,
    index: Option<u64>,
}

type PlacePath = Result<Path<Place>, axum::extract::rejection::PathRejection>;

impl LogState {
    async fn offer(&self, path: PlacePath) -> Result<(OfferId, Place), Problem> {
        let Path(place) = path.map_err(|_| not_found())?;
        let offer = (self.resolve)(place.id).await?.ok_or_else(not_found)?;
        Ok((offer, place))
    }

    async fn head(&self, path: PlacePath) -> Result<(OfferId, Place, LogHead), Problem> {
        let (offer, place) = self.offer(path).await?;
        let head = log::head(&self.shared, offer.0, place.k).await?.ok_or_else(not_found)?;
        Ok((offer, place, head))
    }
}

async fn checkpoint(State(state): State<LogState>, path: PlacePath) -> Result<Response, Problem> {
    let (_, _, head) = state.head(path).await?;
    Ok(text(head.checkpoint(&state.shared), NEWEST))
}

async fn tile(State(state): State<LogState>, path: PlacePath) -> Result<Response, Problem> {
    let (offer, place, head) = state.head(path).await?;
    let tile: Tile = format!("tile/{}", place.place.unwrap_or_default()).parse().map_err(|_| not_found())?;
    let bytes = head.tile(&state.shared, offer.0, tile).await?.ok_or_else(not_found)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CACHE_CONTROL, IMMUTABLE),
    ];
    Ok((headers, bytes).into_response())
}

async fn keys(State(state): State<LogState>, path: PlacePath) -> Result<Response, Problem> {
    let (offer, place) = state.offer(path).await?;
    let newest = log::head(&state.shared, offer.0, None).await?.ok_or_else(not_found)?.log_no;
    if place.k.is_some_and(|k| k == 0 || k > newest) {
        return Err(not_found());
    }
    let base = state.shared.keys.base(offer);
    let line = |no| state.shared.keys.log.verifier_key(&orderlog::origin(&base, no)) + "\n";
    Ok(text((1..=newest).rev().map(line).collect(), NEWEST))
}

async fn rules(State(state): State<LogState>, path: PlacePath) -> Result<Response, Problem> {
    let (offer, place) = state.offer(path).await?;
    let sha = place.sha.filter(|sha| sha.len() == 64 && !sha.bytes().any(|b| b.is_ascii_uppercase()));
    let sha = sha.and_then(|sha| hex::decode(sha).ok()).ok_or_else(not_found)?;
    let sql = "SELECT json FROM offer_rules WHERE offer_id = $1 AND sha = $2";
    let (json,) = state.shared.db.one::<(String,)>(sql, args![offer.0, sha]).await?.ok_or_else(not_found)?;
    let headers =
        [(header::CONTENT_TYPE, HeaderValue::from_static("application/json")), (header::CACHE_CONTROL, IMMUTABLE)];
    Ok((headers, json).into_response())
}

async fn receipt(State(state): State<LogState>, path: PlacePath) -> Result<Response, Problem> {
    let (offer, place, head) = state.head(path).await?;
    let index = place.index.ok_or_else(not_found)?;
    let receipt = head.receipt(&state.shared, offer.0, index).await?.ok_or_else(not_found)?;
    Ok(text(receipt, NEWEST))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    after: Option<i64>,
    limit: Option<u64>,
}

type RangeQuery = Result<Query<Range>, axum::extract::rejection::QueryRejection>;

async fn leaves(State(state): State<LogState>, path: PlacePath, range: RangeQuery) -> Result<Json<Value>, Problem> {
    let Query(range) = range.map_err(|rejection| Problem::new(&codes::INVALID).detail(rejection.body_text()))?;
    let limit = range.limit.unwrap_or(LOG_LIMIT_DEFAULT);
    if !(1..=LOG_LIMIT_MAX).contains(&limit) {
        return Err(Problem::field("limit", "range", format!("1 to {LOG_LIMIT_MAX} leaves")));
    }
    let after = range.after.unwrap_or(-1);
    if after < -1 || after == i64::MAX {
        return Err(Problem::field("after", "range", "the last index seen, or -1"));
    }
    let (offer, _, head) = state.head(path).await?;
    let first = (after + 1).unsigned_abs();
    let size = head.frontier.size;
    let count = size.saturating_sub(first).min(limit);
    let lines =
        if count == 0 { Vec::new() } else { log::leaves(&state.shared.db, offer.0, head.log_no, first, count).await? };
    let items: Vec<Value> =
        lines.iter().filter_map(|line| Leaf::parse(line).ok()).map(|leaf| leaf_json(&leaf)).collect();
    Ok(Json(json!({ "size": size, "items": items })))
}

/// A leaf for pages: its fields by name, and the line itself.
fn leaf_json(leaf: &Leaf) -> Value {
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
    put("index", json!(leaf.index));
    put("decided_ms", json!(leaf.decided_ms));
    put("decided_at", json!(UtcTime(leaf.decided_ms)));
    put("event", json!(leaf.event.name()));
    match &leaf.event {
        Event::Rules { sha } => drop(put("rules", json!(hex::encode(sha)))),
        Event::Claim { person, received_ms, want, outcome, .. } => {
            put("person", json!(person.to_string()));
            put("received_ms", json!(received_ms));
            put("want", json!(want.to_string()));
            put("outcome", json!(outcome.as_str()));
        }
        Event::Amend { want, .. } => drop(put("want", json!(want.to_string()))),
        Event::Return { reason, .. } => drop(put("reason", json!(reason.as_str()))),
        Event::Continues { origin, size, .. } => {
            put("origin", json!(origin));
            put("size", json!(size));
        }
        _ => {}
    }
    if let Some(seq) = leaf.event.seq() {
        put("seq", json!(seq));
    }
    put("leaf", json!(leaf.to_string()));
    Value::Object(members)
}

fn text(body: String, cache: HeaderValue) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, cache);
    response
}

fn not_found() -> Problem {
    Problem::new(&codes::NOT_FOUND)
}
