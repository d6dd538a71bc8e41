//! What operators see of a context's sagas and say to them: over HTTP (admins), and by the yard's socket.

use ::saga::State as SagaState;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use garde::Validate;
use kernel::{Cursor, Page, UserId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::operate::Order;
use super::{LogLine, SagaBody, SagaFilter, Sagas};
use crate::http::auth::Admin;
use crate::http::{Body, IdPath, ListQuery, Problem, Result, codes};

/// Routes below `/api/v1/admin/sagas/<context>`, for admins.
pub fn admin_routes(context: &str, sagas: &Sagas) -> OpenApiRouter {
    let own = OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(retry))
        .routes(routes!(undo))
        .with_state(sagas.clone());
    let mut nested = OpenApiRouter::new().nest(&format!("/api/v1/admin/sagas/{context}"), own);
    // Why: each context mounts the same operations, and an operation's id is the document's own.
    for item in nested.get_openapi_mut().paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            let name = operation.operation_id.take().unwrap_or_default();
            operation.operation_id = Some(format!("{context}_{name}"));
        }
    }
    nested
}

/// The same below `/<context>/sagas`, for whoever may open the yard's socket.
pub fn command_routes(context: &str, sagas: &Sagas) -> Router {
    let base = format!("/{context}/sagas");
    Router::new()
        .route(&base, get(list_command))
        .route(&format!("{base}/{{id}}"), get(show_command))
        .route(&format!("{base}/{{id}}/retry"), post(retry_command))
        .route(&format!("{base}/{{id}}/undo"), post(undo_command))
        .with_state(sagas.clone())
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SagaQuery {
    #[param(inline)]
    state: Option<SagaStateWord>,
    /// The saga's name, e.g. `registration`.
    name: Option<String>,
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SagaStateWord {
    Running,
    Undoing,
    Completed,
    Compensated,
    Stuck,
}

impl From<SagaStateWord> for SagaState {
    fn from(word: SagaStateWord) -> Self {
        match word {
            SagaStateWord::Running => SagaState::Running,
            SagaStateWord::Undoing => SagaState::Undoing,
            SagaStateWord::Completed => SagaState::Completed,
            SagaStateWord::Compensated => SagaState::Compensated,
            SagaStateWord::Stuck => SagaState::Stuck,
        }
    }
}

/// A saga with its log.
#[derive(Serialize, ToSchema)]
pub struct SagaDetail {
    #[serde(flatten)]
    saga: SagaBody,
    log: Vec<LogLine>,
}

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SagaOrder {
    /// Why; kept in the audit log and in the saga's own.
    #[garde(length(chars, min = 1, max = 500))]
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

#[utoipa::path(
    get, path = "/", operation_id = "list_sagas", tag = "sagas", summary = "List sagas (admins), the newest first",
    params(SagaQuery), security(("bearer" = [])),
    responses((status = 200, body = Page<SagaBody>))
)]
async fn list(
    State(sagas): State<Sagas>,
    Admin(_caller): Admin,
    ListQuery(query): ListQuery<SagaQuery>,
) -> Result<Json<Page<SagaBody>>> {
    page(&sagas, query).await
}

#[utoipa::path(
    get, path = "/{id}", operation_id = "read_saga", tag = "sagas", summary = "Read a saga with its log (admins)",
    params(("id" = Uuid, Path)), security(("bearer" = [])),
    responses((status = 200, body = SagaDetail))
)]
async fn show(State(sagas): State<Sagas>, Admin(_caller): Admin, IdPath(id): IdPath) -> Result<Json<SagaDetail>> {
    detail(&sagas, id).await
}

#[utoipa::path(
    post, path = "/{id}/retry", operation_id = "retry_saga", tag = "sagas",
    summary = "Try the stuck step again (admins)", params(("id" = Uuid, Path)), request_body = SagaOrder,
    security(("bearer" = [])), responses((status = 200, body = SagaBody))
)]
async fn retry(
    State(sagas): State<Sagas>,
    Admin(caller): Admin,
    IdPath(id): IdPath,
    body: Body<SagaOrder>,
) -> Result<Json<SagaBody>> {
    order(&sagas, id, Order::Retry, Some(caller.user), body).await
}

#[utoipa::path(
    post, path = "/{id}/undo", operation_id = "undo_saga", tag = "sagas",
    summary = "Undo what a running or stuck saga did (admins)", params(("id" = Uuid, Path)),
    request_body = SagaOrder, security(("bearer" = [])), responses((status = 200, body = SagaBody))
)]
async fn undo(
    State(sagas): State<Sagas>,
    Admin(caller): Admin,
    IdPath(id): IdPath,
    body: Body<SagaOrder>,
) -> Result<Json<SagaBody>> {
    order(&sagas, id, Order::Undo, Some(caller.user), body).await
}

async fn list_command(
    State(sagas): State<Sagas>,
    ListQuery(query): ListQuery<SagaQuery>,
) -> Result<Json<Page<SagaBody>>> {
    page(&sagas, query).await
}

async fn show_command(State(sagas): State<Sagas>, IdPath(id): IdPath) -> Result<Json<SagaDetail>> {
    detail(&sagas, id).await
}

async fn retry_command(
    State(sagas): State<Sagas>,
    IdPath(id): IdPath,
    body: Body<SagaOrder>,
) -> Result<Json<SagaBody>> {
    order(&sagas, id, Order::Retry, None, body).await
}

async fn undo_command(State(sagas): State<Sagas>, IdPath(id): IdPath, body: Body<SagaOrder>) -> Result<Json<SagaBody>> {
    order(&sagas, id, Order::Undo, None, body).await
}

async fn page(sagas: &Sagas, query: SagaQuery) -> Result<Json<Page<SagaBody>>> {
    let limit = ListQuery::limit(query.limit)?;
    let after = ListQuery::cursor(query.cursor.as_deref())?;
    let filter = SagaFilter { state: query.state.map(SagaState::from), name: query.name };
    let items = sagas.list(&filter, after, limit).await?;
    Ok(Json(Page::cut(items, limit, |item: &SagaBody| Cursor { key: item.created_at.0, id: item.id })))
}

async fn detail(sagas: &Sagas, id: Uuid) -> Result<Json<SagaDetail>> {
    let saga = sagas.find(id).await?.ok_or_else(|| Problem::new(&codes::NOT_FOUND))?;
    Ok(Json(SagaDetail { saga, log: sagas.log(id).await? }))
}

async fn order(
    sagas: &Sagas,
    id: Uuid,
    order: Order,
    actor: Option<UserId>,
    body: Body<SagaOrder>,
) -> Result<Json<SagaBody>> {
    Ok(Json(sagas.order(id, order, actor, body.value.reason).await?))
}
