//! Applications to become an organiser: mine, and all for those who decide.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kernel::{Cursor, Page, UserId, UtcTime};
use platform::http::auth::{Admin, Member};
use platform::http::{ListQuery, Result};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::model::{Application, ApplicationState};
use crate::{App, store};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ApplicationQuery {
    #[param(inline)]
    state: Option<ApplicationState>,
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct ApplicationItem {
    id: Uuid,
    user_id: UserId,
    username: String,
    name: String,
    description: String,
    state: ApplicationState,
    /// Why it was decided so.
    reason: Option<String>,
    created_at: UtcTime,
    decided_at: Option<UtcTime>,
}

impl From<Application> for ApplicationItem {
    fn from(application: Application) -> ApplicationItem {
        ApplicationItem {
            id: application.id,
            user_id: application.user,
            username: application.username,
            name: application.name,
            description: application.description,
            state: application.state,
            reason: application.reason,
            created_at: UtcTime(application.created_ms),
            decided_at: application.decided_ms.map(UtcTime),
        }
    }
}

#[utoipa::path(
    get, path = "/api/v1/company-applications", tag = "identity", summary = "Applications (admins), the newest first",
    params(ApplicationQuery), security(("bearer" = [])),
    responses((status = 200, body = Page<ApplicationItem>))
)]
pub async fn list_applications(
    State(app): State<Arc<App>>,
    Admin(_caller): Admin,
    ListQuery(query): ListQuery<ApplicationQuery>,
) -> Result<Json<Page<ApplicationItem>>> {
    page(&app, None, query).await
}

#[utoipa::path(
    get, path = "/api/v1/users/me/company-applications", tag = "identity", summary = "My applications, the newest first",
    params(ApplicationQuery), security(("bearer" = [])),
    responses((status = 200, body = Page<ApplicationItem>))
)]
pub async fn list_my_applications(
    State(app): State<Arc<App>>,
    Member(caller): Member,
    ListQuery(query): ListQuery<ApplicationQuery>,
) -> Result<Json<Page<ApplicationItem>>> {
    page(&app, Some(caller.user), query).await
}

async fn page(app: &App, user: Option<UserId>, query: ApplicationQuery) -> Result<Json<Page<ApplicationItem>>> {
    let limit = ListQuery::limit(query.limit)?;
    let after = ListQuery::cursor(query.cursor.as_deref())?;
    let applications = store::applications_page(&app.db, user, query.state, after, limit).await?;
    let items = applications.into_iter().map(ApplicationItem::from).collect();
    Ok(Json(Page::cut(items, limit, |item: &ApplicationItem| Cursor { key: item.created_at.0, id: item.id })))
}
