//! `DELETE /api/v1/notifications/{id}`.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use platform::http::auth::Member;
use platform::http::{IdPath, Problem, Result, codes};

use crate::{App, store};

/// Delete a notice of mine.
#[utoipa::path(delete, path = "/api/v1/notifications/{id}", operation_id = "delete_notification", tag = "notices",
    params(("id" = Uuid, Path)), responses((status = 204, description = "It is in no list any more")),
    security(("bearer" = [])))]
pub async fn delete(State(app): State<Arc<App>>, Member(caller): Member, IdPath(id): IdPath) -> Result<StatusCode> {
    app.db
        .write(move |tx| {
            Box::pin(async move {
                let now_ms = tx.now_ms().await?;
                if !store::delete(tx, caller.user, id, now_ms).await? {
                    return Err(Problem::new(&codes::NOT_FOUND));
                }
                store::note_change(tx, caller.user, now_ms).await?;
                Ok(StatusCode::NO_CONTENT)
            })
        })
        .await
}
