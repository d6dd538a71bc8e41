//! The public keys that access tokens and tickets are checked by.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use crate::App;

#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "identity", summary = "The keys that tokens are checked by (RFC 7517)",
    security(()),
    responses((status = 200, body = serde_json::Value, description = "A JWK set"))
)]
pub async fn publish_keys(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "public, max-age=300")], Json(app.token_key.jwks(&app.further_keys)))
}
