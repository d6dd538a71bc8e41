//! Ending sessions: one of mine, all of mine, all of somebody's.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use kernel::contracts::identity::Revoked;
use kernel::{SessionId, UserId};
use platform::audit;
use platform::db::DbError;
use platform::http::auth::{Admin, Member};
use platform::http::{IdPath, Problem, Result, codes};
use serde_json::Value;

use crate::{App, store};

#[utoipa::path(
    delete, path = "/api/v1/users/me/sessions/{id}", tag = "identity", summary = "End one of my sessions",
    params(("id" = uuid::Uuid, Path)), security(("bearer" = [])),
    responses((status = 204, description = "It is over"))
)]
pub async fn end_my_session(
    State(app): State<Arc<App>>,
    Member(caller): Member,
    IdPath(id): IdPath,
) -> Result<StatusCode> {
    if end_one(&app, caller.user, SessionId(id)).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::new(&codes::NOT_FOUND))
    }
}

#[utoipa::path(
    delete, path = "/api/v1/users/me/sessions", tag = "identity", summary = "Sign out everywhere",
    security(("bearer" = [])),
    responses((status = 204, description = "All are over, the present one too"))
)]
pub async fn end_my_sessions(State(app): State<Arc<App>>, Member(caller): Member) -> Result<StatusCode> {
    end_all(&app, caller.user, None).await
}

#[utoipa::path(
    delete, path = "/api/v1/users/{id}/sessions", tag = "identity", summary = "End somebody's sessions (admins)",
    params(("id" = uuid::Uuid, Path)), security(("bearer" = [])),
    responses((status = 204, description = "All are over"))
)]
pub async fn end_sessions_of(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    IdPath(id): IdPath,
) -> Result<StatusCode> {
    end_all(&app, UserId(id), Some(caller.user)).await
}

/// Ends a person's session; answers whether he had it.
pub async fn end_one(app: &App, user: UserId, session: SessionId) -> Result<bool> {
    let ended = app
        .db
        .write(move |tx| {
            Box::pin(async move {
                store::account_locked(tx, user).await?;
                let now_ms = tx.now_ms().await?;
                store::end_session(tx, user, session, now_ms).await
            })
        })
        .await
        .map_err(|error: DbError| Problem::from(error))?;
    app.revocations.apply(ended.as_slice());
    Ok(ended.is_some())
}

async fn end_all(app: &App, user: UserId, admin: Option<UserId>) -> Result<StatusCode> {
    let revoked: Revoked = app
        .db
        .write(move |tx| {
            Box::pin(async move {
                let missing = || Problem::new(&codes::NOT_FOUND);
                let mut account = store::account_locked(tx, user).await?.ok_or_else(missing)?;
                if let Some(admin) = admin {
                    let entry = audit::Entry {
                        actor: Some(admin),
                        action: "user.sessions_ended",
                        subject: user.to_string(),
                        reason: None,
                        before: Value::Null,
                        after: Value::Null,
                    };
                    audit::record(tx, entry).await?;
                }
                let now_ms = tx.now_ms().await?;
                Ok::<_, Problem>(store::end_all_sessions(tx, &mut account, now_ms).await?)
            })
        })
        .await?;
    app.revocations.apply(&[revoked]);
    Ok(StatusCode::NO_CONTENT)
}
