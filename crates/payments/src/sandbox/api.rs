//! What the sandbox answers over HTTP. Its errors are plain JSON: a stranger has no problems of ours.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use platform::db::DbError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::order::{Order, Refusal, State as OrderState};
use super::{CancelBody, ConfirmBody, ErrorBody, NewOrder, OrderBody, OutcomeBody, Shared, StatementBody};
use super::{books, deliver};

const STATEMENT_MAX: usize = 1_000;

pub fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/payments", post(create))
        .route("/v1/payments/{id}", get(fetch))
        .route("/v1/payments/{id}/outcome", post(choose))
        .route("/v1/payments/{id}/confirm", post(confirm))
        .route("/v1/payments/{id}/void", post(void))
        .route("/v1/payments/{id}/cancels", post(cancel))
        .route("/v1/statement", get(statement))
        .route_layer(from_fn_with_state(shared.clone(), only_the_merchant))
        .with_state(shared)
}

/// How a call fails.
enum Failure {
    Missing,
    NoKey,
    KeyUsed,
    Refused(&'static str),
    /// The outcome is not known: what a gateway's time-out looks like to a client.
    Unknown,
    Broken(DbError),
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        Failure::Broken(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::No(reason) => Failure::Refused(reason),
            Refusal::Unknown => Failure::Unknown,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, code, reason) = match self {
            Failure::Missing => (StatusCode::NOT_FOUND, "not_found", "there is no such payment".to_owned()),
            Failure::NoKey => (StatusCode::BAD_REQUEST, "no_key", "an Idempotency-Key is needed".to_owned()),
            Failure::KeyUsed => (StatusCode::UNPROCESSABLE_ENTITY, "key_used", "the key had another body".to_owned()),
            Failure::Refused(reason) => (StatusCode::CONFLICT, "refused", reason.to_owned()),
            Failure::Unknown => (StatusCode::GATEWAY_TIMEOUT, "unknown", "the bank did not answer in time".to_owned()),
            Failure::Broken(error) => {
                tracing::warn!(%error, "the sandbox's file did not do");
                (StatusCode::INTERNAL_SERVER_ERROR, "broken", "try again".to_owned())
            }
        };
        (status, Json(ErrorBody { code: code.to_owned(), reason })).into_response()
    }
}

type Answer<T> = Result<Json<T>, Failure>;

async fn only_the_merchant(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    let given = given.strip_prefix(b"Bearer ").unwrap_or_default();
    // Why hashes: comparing those tells nothing about the key by the time it takes.
    if Sha256::digest(given) != Sha256::digest(shared.key.bearer.as_bytes()) {
        let body = ErrorBody { code: "key".to_owned(), reason: "this key is not the merchant's".to_owned() };
        return (StatusCode::UNAUTHORIZED, Json(body)).into_response();
    }
    next.run(request).await
}

async fn create(State(shared): State<Arc<Shared>>, Json(new): Json<NewOrder>) -> Answer<OrderBody> {
    let asked = new.clone();
    let order = shared.db.write(move |tx| Box::pin(async move { books::insert(tx, &asked).await })).await?;
    if order.amount_won != new.amount_won {
        return Err(Failure::KeyUsed);
    }
    Ok(Json(OrderBody::from(&order)))
}

async fn fetch(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Answer<OrderBody> {
    let order = books::find(&shared.db, &id).await?.ok_or(Failure::Missing)?;
    Ok(Json(OrderBody::from(&order)))
}

async fn choose(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    Json(body): Json<OutcomeBody>,
) -> Answer<OrderBody> {
    let timing = shared.timing;
    let changed = change(&shared, id, None, move |order, now_ms| order.choose(body.outcome, now_ms, timing)).await?;
    shared.due.notify_one();
    Ok(Json(changed.body))
}

async fn confirm(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<ConfirmBody>,
) -> Answer<OrderBody> {
    let timing = shared.timing;
    let keyed = Keyed::new(&headers, format!("confirm {id}"), &body)?;
    let confirm = move |order: Order, now_ms| order.confirm(body.amount_won, now_ms, timing);
    let changed = change(&shared, id, Some(keyed), confirm).await?;
    if let Some(hook) = changed.first_hook {
        deliver::deliver_now(&shared, &hook).await;
    }
    shared.due.notify_one();
    if changed.body.state == OrderState::Processing.as_str() {
        return Err(Failure::Unknown);
    }
    Ok(Json(changed.body))
}

async fn void(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Answer<OrderBody> {
    let changed = change(&shared, id, None, |order, _| Ok(order.void())).await?;
    Ok(Json(changed.body))
}

async fn cancel(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<CancelBody>,
) -> Answer<OrderBody> {
    let keyed = Keyed::new(&headers, format!("cancel {id}"), &body)?;
    let changed = change(&shared, id, Some(keyed), move |order, _| order.cancel(body.amount_won)).await?;
    Ok(Json(changed.body))
}

#[derive(Deserialize)]
struct Window {
    from_ms: i64,
    to_ms: i64,
    cursor: Option<i64>,
}

async fn statement(State(shared): State<Arc<Shared>>, Query(window): Query<Window>) -> Answer<StatementBody> {
    let after = window.cursor.unwrap_or(0);
    Ok(Json(books::statement(&shared.db, window.from_ms, window.to_ms, after, STATEMENT_MAX).await?))
}

/// An `Idempotency-Key` and what was asked under it.
struct Keyed {
    operation: String,
    key: String,
    asked: String,
}

impl Keyed {
    fn new(headers: &HeaderMap, operation: String, body: &impl Serialize) -> Result<Keyed, Failure> {
        let key = headers.get("idempotency-key").and_then(|value| value.to_str().ok()).ok_or(Failure::NoKey)?;
        let asked = serde_json::to_string(body).unwrap_or_default();
        Ok(Keyed { operation, key: key.to_owned(), asked })
    }
}

struct Changed {
    body: OrderBody,
    /// A webhook that goes out before the answer.
    first_hook: Option<String>,
}

/// Changes an order in one transaction; under a key, its first final answer is given again.
async fn change<F>(shared: &Shared, id: String, keyed: Option<Keyed>, work: F) -> Result<Changed, Failure>
where
    F: FnOnce(Order, i64) -> Result<Order, Refusal> + Send + 'static,
{
    shared
        .db
        .write(move |tx| {
            Box::pin(async move {
                if let Some(keyed) = &keyed
                    && let Some((asked, answer)) = books::answered(tx, &keyed.operation, &keyed.key).await?
                {
                    if asked != keyed.asked {
                        return Err(Failure::KeyUsed);
                    }
                    let body = serde_json::from_str(&answer).map_err(|error| DbError::Failed(error.into()))?;
                    return Ok(Changed { body, first_hook: None });
                }
                let before = books::find(tx, &id).await?.ok_or(Failure::Missing)?;
                let after = work(before.clone(), tx.now_ms().await?)?;
                let first_hook = books::save(tx, &before, &after).await?;
                let body = OrderBody::from(&after);
                if let Some(keyed) = keyed.filter(|_| after.state != OrderState::Processing) {
                    let answer = serde_json::to_string(&body).unwrap_or_default();
                    books::remember(tx, &keyed.operation, &keyed.key, &keyed.asked, &answer).await?;
                }
                Ok(Changed { body, first_hook })
            })
        })
        .await
}
