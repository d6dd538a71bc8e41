//! Trading a refresh token for the next pair. It works once; whoever shows it again ends the session, since one
//! of the two who had it must be a thief (RFC 9700 §4.14.2).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use kernel::contracts::identity::Revoked;
use platform::db::Tx;
use platform::http::{Body, Code, Problem, ProblemBody, Result, codes};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::tokens::{Granted, TokenPair, continue_session, hash_of};
use crate::{App, Config, store};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    #[garde(length(chars, max = 256))]
    #[schema(max_length = 256)]
    refresh_token: String,
}

/// What a refresh token came to. A reuse is an outcome, not an error: what it ends must be committed.
enum Rotation {
    Granted(Box<Granted>),
    Reused(Option<Revoked>),
    Refused(&'static Code),
}

#[utoipa::path(
    post, path = "/api/v1/auth/refresh", tag = "identity", summary = "Get the next pair of tokens",
    request_body = Refresh, security(()),
    responses(
        (status = 200, body = TokenPair),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "The refresh token is unknown, used, expired, or of an ended session"),
    )
)]
pub async fn refresh(State(app): State<Arc<App>>, body: Body<Refresh>) -> Result<Json<TokenPair>> {
    let hash = hash_of(&body.value.refresh_token);
    let config = app.config;
    let rotation: Rotation = app.db.write(move |tx| Box::pin(async move { rotate(tx, &config, &hash).await })).await?;
    match rotation {
        Rotation::Granted(granted) => Ok(Json(granted.sign(&app))),
        Rotation::Reused(ended) => {
            app.revocations.apply(ended.as_slice());
            tracing::warn!("a refresh token was used twice; its session was ended");
            Err(Problem::new(&codes::AUTH_INVALID))
        }
        Rotation::Refused(code) => Err(Problem::new(code)),
    }
}

async fn rotate(tx: &Tx, config: &Config, hash: &[u8; 32]) -> Result<Rotation> {
    let invalid = Ok(Rotation::Refused(&codes::AUTH_INVALID));
    let Some(owner) = store::owner_of_refresh_token(tx, hash).await? else {
        return invalid;
    };
    let Some(account) = store::account_locked(tx, owner).await? else {
        return invalid;
    };
    let Some(token) = store::refresh_token(tx, hash).await? else {
        return invalid;
    };
    let now_ms = tx.now_ms().await?;
    if token.ended_ms.is_some() || account.is_banned() {
        return invalid;
    }
    if token.used_ms.is_some() {
        return Ok(Rotation::Reused(store::end_session(tx, owner, token.session(), now_ms).await?));
    }
    if token.expires_ms <= now_ms {
        return Ok(Rotation::Refused(&codes::AUTH_EXPIRED));
    }
    store::use_refresh_token(tx, hash, now_ms).await?;
    Ok(Rotation::Granted(Box::new(continue_session(tx, config, &account, token.session()).await?)))
}
