//! `GET /api/v1/notifications`: my inbox.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use kernel::{Cursor, Page, UserId, UtcTime};
use platform::db::{DbError, Query};
use platform::http::auth::Member;
use platform::http::{Language, ListQuery, Problem, Result};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::model::{Style, Values, render};
use crate::store::{self, Filter, NoticeRow, copies};
use crate::texts::Texts;
use crate::{App, kinds};

/// A notice in its reader's language.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Notification)]
pub struct NotificationBody {
    id: Uuid,
    /// What it tells of, e.g. `confirmed`.
    kind: String,
    title: String,
    body: String,
    /// The page it leads to, relative to the yard's address.
    link: String,
    read_at: Option<UtcTime>,
    created_at: UtcTime,
}

impl NotificationBody {
    pub fn new(row: &NoticeRow, texts: &Texts, style: Style) -> Self {
        let values: Values = serde_json::from_str(&row.named).unwrap_or_default();
        let shown = |template: &str| render(template, &values, style);
        let (title, body, link) = match kinds::find(&row.kind) {
            Some(kind) => {
                let text = texts.of(kind, style.language);
                (shown(text.title), shown(text.body), shown(kind.link))
            }
            // A newer version wrote it.
            None => (row.kind.clone(), String::new(), "/".to_owned()),
        };
        Self {
            id: row.id,
            kind: row.kind.clone(),
            title,
            body,
            link,
            read_at: row.read_ms.map(UtcTime),
            created_at: UtcTime(row.created_ms),
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filters {
    kind: Option<String>,
    /// Only those that were read, or were not.
    read: Option<bool>,
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    cursor: Option<String>,
}

/// My notices, newest first.
#[utoipa::path(get, path = "/api/v1/notifications", operation_id = "list_notifications", tag = "notices",
    params(Filters), responses((status = 200, body = Page<NotificationBody>)), security(("bearer" = [])))]
pub async fn list(
    State(app): State<Arc<App>>,
    Member(caller): Member,
    headers: HeaderMap,
    ListQuery(filters): ListQuery<Filters>,
) -> Result<Json<Page<NotificationBody>>> {
    let limit = ListQuery::limit(filters.limit)?;
    let after = ListQuery::cursor(filters.cursor.as_deref())?;
    if filters.kind.as_deref().is_some_and(|code| kinds::find(code).is_none()) {
        return Err(Problem::field("kind", "unknown", "there is no such kind of notice"));
    }
    let filter = Filter { kind: filters.kind.as_deref(), read: filters.read };
    let rows = store::page(&app.db, caller.user, &filter, after, limit).await?;
    let page = Page::cut(rows, limit, |row| Cursor { key: row.no, id: row.id });
    let style = app.style(&app.db, caller.user, &headers).await?;
    let texts = Texts::read(&app.db).await?;
    let items = page.items.iter().map(|row| NotificationBody::new(row, &texts, style)).collect();
    Ok(Json(Page { items, next_cursor: page.next_cursor }))
}

impl App {
    /// The language somebody set, else the one he asks for.
    pub async fn style(
        &self,
        query: &impl Query,
        user: UserId,
        headers: &HeaderMap,
    ) -> std::result::Result<Style, DbError> {
        let set = copies::language(query, user).await?;
        let language = set.unwrap_or_else(|| Language::accepted(headers.get(header::ACCEPT_LANGUAGE)));
        Ok(Style { language, offset_s: self.config.offset_s })
    }
}
