//! A new password. The session it is changed from goes on; all others end.

use std::sync::Arc;

use axum::extract::State;
use garde::Validate;
use http::StatusCode;
use kernel::contracts::identity::Revoked;
use platform::db::Tx;
use platform::http::auth::{Caller, Member};
use platform::http::{Body, Problem, Result, codes};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::client::Client;
use crate::model::{Account, NewPassword, compose};
use crate::{App, password, store};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    #[garde(length(chars, max = 256))]
    #[schema(max_length = 256, format = Password)]
    current: String,
    #[garde(dive)]
    #[schema(inline)]
    new: NewPassword,
}

#[utoipa::path(
    put, path = "/api/v1/users/me/password", tag = "identity", summary = "Change my password",
    request_body = PasswordChange, security(("bearer" = [])),
    responses((status = 204, description = "Changed; all my other sessions are over"))
)]
pub async fn change_password(
    State(app): State<Arc<App>>,
    Member(caller): Member,
    client: Client,
    body: Body<PasswordChange>,
) -> Result<StatusCode> {
    let PasswordChange { current, new } = body.value;
    let gone = || Problem::new(&codes::AUTH_REVOKED);
    let account = store::account(&app.db, caller.user).await?.ok_or_else(gone)?;
    password::check_new("new", &new, &account.username)?;
    if compose(&current) == new.as_str() {
        return Err(Problem::field("new", "same", "the new password is the current one"));
    }
    // Why: a stolen access token must not become a way to guess the password.
    let attempt = app.slow_down.begin(&account.username, client.address, app.clock.now_ms())?;
    if !app.hasher.verify(&current, account.password_hash.as_deref()).await? {
        attempt.failed(app.clock.now_ms());
        return Err(wrong());
    }
    attempt.succeeded();
    let new_hash = app.hasher.hash(&new).await?;
    let ended =
        app.db.write(move |tx| Box::pin(async move { store_password(tx, &caller, account, new_hash).await })).await?;
    app.revocations.apply(&ended);
    Ok(StatusCode::NO_CONTENT)
}

async fn store_password(tx: &Tx, caller: &Caller, seen: Account, new_hash: String) -> Result<Vec<Revoked>> {
    let mut account =
        store::account_locked(tx, caller.user).await?.ok_or_else(|| Problem::new(&codes::AUTH_REVOKED))?;
    // Why: the current password was checked outside the lock; of two changes at once the later one is wrong.
    if account.password_hash != seen.password_hash {
        return Err(wrong());
    }
    let now_ms = tx.now_ms().await?;
    account.password_hash = Some(new_hash);
    store::update_account(tx, &mut account, caller.user, now_ms).await?;
    Ok(store::end_other_sessions(tx, caller.user, caller.session, now_ms).await?)
}

fn wrong() -> Problem {
    Problem::field("current", "wrong", "this is not the current password")
}
