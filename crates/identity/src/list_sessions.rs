//! Where am I signed in?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kernel::{Cursor, Page, SessionId, UtcTime};
use platform::http::auth::Member;
use platform::http::{ListQuery, Result};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{App, store};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct SessionItem {
    id: SessionId,
    /// The one this request came with.
    current: bool,
    user_agent: Option<String>,
    created_at: UtcTime,
    last_used_at: UtcTime,
}

#[utoipa::path(
    get, path = "/api/v1/users/me/sessions", tag = "identity", summary = "My sessions, the newest first",
    params(PageQuery), security(("bearer" = [])),
    responses((status = 200, body = Page<SessionItem>))
)]
pub async fn list_sessions(
    State(app): State<Arc<App>>,
    Member(caller): Member,
    ListQuery(query): ListQuery<PageQuery>,
) -> Result<Json<Page<SessionItem>>> {
    let limit = ListQuery::limit(query.limit)?;
    let after = ListQuery::cursor(query.cursor.as_deref())?;
    let sessions = store::sessions_page(&app.db, caller.user, app.clock.now_ms(), after, limit).await?;
    let item = |session: crate::model::Session| SessionItem {
        id: SessionId(session.id),
        current: session.id == caller.session.0,
        user_agent: session.user_agent,
        created_at: UtcTime(session.created_ms),
        last_used_at: UtcTime(session.last_used_ms),
    };
    let items = sessions.into_iter().map(item).collect();
    Ok(Json(Page::cut(items, limit, |item: &SessionItem| Cursor { key: item.created_at.0, id: item.id.0 })))
}
