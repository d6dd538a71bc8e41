//! Signing in by username and password.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use platform::http::{Body, Problem, ProblemBody, Result};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::client::Client;
use crate::tokens::{Granted, TokenPair, begin_session};
use crate::{App, error, store};

/// No rule of the username or password is checked here: what cannot be right is answered like what is wrong.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    #[garde(length(chars, max = 64))]
    #[schema(max_length = 64, example = "haneul01")]
    username: String,
    #[garde(length(chars, max = 256))]
    #[schema(max_length = 256, format = Password)]
    password: String,
}

#[utoipa::path(
    post, path = "/api/v1/auth/login", tag = "identity", summary = "Sign in", request_body = Login, security(()),
    responses(
        (status = 200, body = TokenPair),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No such username and password"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "The account is suspended"),
    )
)]
pub async fn login(State(app): State<Arc<App>>, client: Client, body: Body<Login>) -> Result<Json<TokenPair>> {
    let Login { username, password } = body.value;
    let attempt = app.slow_down.begin(&username, client.address, app.clock.now_ms())?;
    let account = store::account_by_username(&app.db, &username).await?;
    let known_hash = account.as_ref().and_then(|account| account.password_hash.clone());
    let right = app.hasher.verify(&password, known_hash.as_deref()).await?;
    let Some(account) = account.filter(|_| right) else {
        attempt.failed(app.clock.now_ms());
        return Err(Problem::new(&error::CREDENTIALS));
    };
    attempt.succeeded();
    let config = app.config;
    let granted: Granted = app
        .db
        .write(move |tx| {
            Box::pin(async move {
                let refused = || Problem::new(&error::CREDENTIALS);
                let account = store::account_locked(tx, account.id).await?.ok_or_else(refused)?;
                // Why: the password was checked outside the lock and may have been changed meanwhile.
                if account.password_hash != known_hash {
                    return Err(refused());
                }
                if account.is_banned() {
                    return Err(Problem::new(&error::BANNED));
                }
                Ok(begin_session(tx, &config, &account, client.user_agent).await?)
            })
        })
        .await?;
    Ok(Json(granted.sign(&app)))
}
