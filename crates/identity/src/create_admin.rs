//! The first admin comes from the command line, by the yard's socket.

use std::sync::Arc;

use axum::extract::State;
use axum::{Json, Router};
use garde::Validate;
use http::StatusCode;
use kernel::Role;
use platform::http::{Body, Result};
use serde::Deserialize;

use crate::model::{Email, NewPassword, Nickname, PersonName, Username};
use crate::read_me::Me;
use crate::sign_up::{Draft, refuse_taken, save};
use crate::{App, password};

/// A name or nickname that is not said is the username.
#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct NewAdmin {
    #[garde(dive)]
    username: Username,
    #[garde(dive)]
    password: NewPassword,
    #[garde(dive)]
    name: Option<PersonName>,
    #[garde(dive)]
    nickname: Option<Nickname>,
    #[garde(dive)]
    email: Option<Email>,
}

pub fn routes(app: Arc<App>) -> Router {
    Router::new().route("/identity/admin", axum::routing::post(create_admin)).with_state(app)
}

async fn create_admin(State(app): State<Arc<App>>, body: Body<NewAdmin>) -> Result<(StatusCode, Json<Me>)> {
    let new = body.value;
    password::check_new("password", &new.password, new.username.as_str())?;
    let username = String::from(new.username);
    let nickname = new.nickname.map_or_else(|| username.clone(), String::from);
    refuse_taken(&app, &username, &nickname).await?;
    let draft = Draft {
        password_hash: app.hasher.hash(&new.password).await?,
        name: new.name.map_or_else(|| username.clone(), String::from),
        nickname,
        email: new.email.map(String::from),
        username,
        role: Role::Admin,
    };
    let account = save(&app, draft).await?;
    Ok((StatusCode::CREATED, Json(Me::from(account))))
}
