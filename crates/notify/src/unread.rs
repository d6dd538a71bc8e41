//! `GET /api/v1/notifications/unread-count`: the number on the badge.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use platform::http::Result;
use platform::http::auth::Member;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{App, store};

#[derive(Serialize, ToSchema)]
pub struct UnreadCount {
    pub unread: i64,
}

/// How many notices I have not read.
#[utoipa::path(get, path = "/api/v1/notifications/unread-count", operation_id = "count_unread_notifications",
    tag = "notices", responses((status = 200, body = UnreadCount)), security(("bearer" = [])))]
pub async fn count(State(app): State<Arc<App>>, Member(caller): Member) -> Result<Json<UnreadCount>> {
    Ok(Json(UnreadCount { unread: store::unread(&app.db, caller.user).await? }))
}
