//! Managers find people.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kernel::{Cursor, Page, Role, UserId, UtcTime};
use platform::http::auth::Manager;
use platform::http::{ListQuery, Problem, Result};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::model::Account;
use crate::{App, store};

/// A longer text finds nobody.
const TEXT_CHARS_MAX: usize = 100;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UserQuery {
    /// Parts of a username, name, nickname, e-mail address or telephone number.
    #[param(max_length = 100)]
    q: Option<String>,
    #[param(inline)]
    role: Option<Role>,
    #[param(inline)]
    state: Option<UserState>,
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserState {
    Active,
    Banned,
}

/// An account as managers see it.
#[derive(Serialize, ToSchema)]
pub struct UserItem {
    id: UserId,
    username: String,
    name: String,
    nickname: String,
    email: Option<String>,
    phone: Option<String>,
    role: Role,
    state: UserState,
    banned_at: Option<UtcTime>,
    ban_reason: Option<String>,
    created_at: UtcTime,
    version: i64,
}

impl From<Account> for UserItem {
    fn from(account: Account) -> UserItem {
        UserItem {
            id: account.id,
            state: if account.is_banned() { UserState::Banned } else { UserState::Active },
            username: account.username,
            name: account.name,
            nickname: account.nickname,
            email: account.email,
            phone: account.phone,
            role: account.role,
            banned_at: account.banned_ms.map(UtcTime),
            ban_reason: account.ban_reason,
            created_at: UtcTime(account.created_ms),
            version: account.version,
        }
    }
}

#[utoipa::path(
    get, path = "/api/v1/users", tag = "identity", summary = "Find people (managers), the newest first",
    params(UserQuery), security(("bearer" = [])),
    responses((status = 200, body = Page<UserItem>))
)]
pub async fn search_users(
    State(app): State<Arc<App>>,
    Manager(_caller): Manager,
    ListQuery(query): ListQuery<UserQuery>,
) -> Result<Json<Page<UserItem>>> {
    let limit = ListQuery::limit(query.limit)?;
    let after = ListQuery::cursor(query.cursor.as_deref())?;
    let text = query.q.unwrap_or_default();
    if text.chars().count() > TEXT_CHARS_MAX {
        return Err(Problem::field("q", "length", format!("at most {TEXT_CHARS_MAX} characters")));
    }
    let banned = query.state.map(|state| state == UserState::Banned);
    let filter = store::Filter { text, role: query.role, banned };
    let accounts = store::accounts_page(&app.db, &filter, after, limit).await?;
    let items = accounts.into_iter().map(UserItem::from).collect();
    Ok(Json(Page::cut(items, limit, |item: &UserItem| Cursor { key: item.created_at.0, id: item.id.0 })))
}
