//! My own profile.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kernel::{Role, UserId, UtcTime};
use platform::http::auth::Member;
use platform::http::{Language, Problem, Result, codes};
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::Account;
use crate::{App, store};

/// A profile as its owner sees it.
#[derive(Serialize, ToSchema)]
pub struct Me {
    pub id: UserId,
    pub username: String,
    pub name: String,
    pub nickname: String,
    pub email: Option<String>,
    pub email_verified: bool,
    pub phone: Option<String>,
    pub phone_verified: bool,
    pub identity_verified: bool,
    #[schema(format = Date)]
    pub birth_date: Option<String>,
    pub language: Language,
    pub role: Role,
    pub created_at: UtcTime,
    /// Rises with each change; send it as `If-Match` to edit only what you saw.
    pub version: i64,
}

impl From<Account> for Me {
    fn from(account: Account) -> Me {
        Me {
            id: account.id,
            username: account.username,
            name: account.name,
            nickname: account.nickname,
            email: account.email,
            email_verified: account.email_verified,
            phone: account.phone,
            phone_verified: account.phone_verified,
            identity_verified: account.identity_verified,
            birth_date: account.birth_date,
            language: account.language,
            role: account.role,
            created_at: UtcTime(account.created_ms),
            version: account.version,
        }
    }
}

#[utoipa::path(
    get, path = "/api/v1/users/me", tag = "identity", summary = "My profile", security(("bearer" = [])),
    responses((status = 200, body = Me))
)]
pub async fn read_me(State(app): State<Arc<App>>, Member(caller): Member) -> Result<Json<Me>> {
    let account = store::account(&app.db, caller.user).await?;
    let account = account.ok_or_else(|| Problem::new(&codes::AUTH_REVOKED))?;
    Ok(Json(Me::from(account)))
}
