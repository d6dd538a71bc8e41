//! Signing out: the caller's own session, no other.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use platform::http::Result;
use platform::http::auth::Member;

use crate::App;
use crate::end_sessions::end_one;

#[utoipa::path(
    post, path = "/api/v1/auth/logout", tag = "identity", summary = "Sign out", security(("bearer" = [])),
    responses((status = 204, description = "The session and its tokens are over"))
)]
pub async fn logout(State(app): State<Arc<App>>, Member(caller): Member) -> Result<StatusCode> {
    // Signed out twice at once is signed out.
    end_one(&app, caller.user, caller.session).await?;
    Ok(StatusCode::NO_CONTENT)
}
