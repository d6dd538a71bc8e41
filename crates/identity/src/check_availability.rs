//! Is a username, is a nickname still to be had?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use platform::http::{ListQuery, Problem, Result};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::model::{Nickname, Username, compose};
use crate::{App, store};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    username: Option<String>,
    nickname: Option<String>,
}

/// A hint: sign-up decides. What breaks the rules is not available.
#[derive(Serialize, ToSchema)]
pub struct Availability {
    /// Null where it was not asked for.
    username_available: Option<bool>,
    /// Null where it was not asked for.
    nickname_available: Option<bool>,
}

#[utoipa::path(
    get, path = "/api/v1/users/availability", tag = "identity", summary = "Is a username or nickname available?",
    params(Wanted), security(()),
    responses((status = 200, body = Availability))
)]
pub async fn check_availability(
    State(app): State<Arc<App>>,
    ListQuery(wanted): ListQuery<Wanted>,
) -> Result<Json<Availability>> {
    if wanted.username.is_none() && wanted.nickname.is_none() {
        return Err(Problem::field("username", "required", "say a username or a nickname"));
    }
    let username = wanted.username.as_deref().unwrap_or_default();
    let nickname = compose(wanted.nickname.as_deref().unwrap_or_default());
    let (username_taken, nickname_taken) = store::is_taken(&app.db, username, &nickname).await?;
    Ok(Json(Availability {
        username_available: wanted.username.is_some().then(|| Username::is_valid(username) && !username_taken),
        nickname_available: wanted.nickname.is_some().then(|| Nickname::is_valid(&nickname) && !nickname_taken),
    }))
}
