//! `PUT /api/v1/notifications/{id}/read` and `PUT /api/v1/notifications/read`.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use platform::http::auth::Member;
use platform::http::{IdPath, Problem, Result, codes};

use crate::{App, store};

/// Mark a notice as read.
#[utoipa::path(put, path = "/api/v1/notifications/{id}/read", operation_id = "read_notification", tag = "notices",
    params(("id" = Uuid, Path)), responses((status = 204, description = "It is read")), security(("bearer" = [])))]
pub async fn one(State(app): State<Arc<App>>, Member(caller): Member, IdPath(id): IdPath) -> Result<StatusCode> {
    app.db
        .write(move |tx| {
            Box::pin(async move {
                let now_ms = tx.now_ms().await?;
                if !store::mark_read(tx, caller.user, id, now_ms).await? {
                    return Err(Problem::new(&codes::NOT_FOUND));
                }
                store::note_change(tx, caller.user, now_ms).await?;
                Ok(StatusCode::NO_CONTENT)
            })
        })
        .await
}

/// Mark all my notices as read.
#[utoipa::path(put, path = "/api/v1/notifications/read", operation_id = "read_all_notifications", tag = "notices",
    responses((status = 204, description = "All are read")), security(("bearer" = [])))]
pub async fn all(State(app): State<Arc<App>>, Member(caller): Member) -> Result<StatusCode> {
    app.db
        .write(move |tx| {
            Box::pin(async move {
                let now_ms = tx.now_ms().await?;
                store::mark_all_read(tx, caller.user, now_ms).await?;
                store::note_change(tx, caller.user, now_ms).await?;
                Ok(StatusCode::NO_CONTENT)
            })
        })
        .await
}
