//! Applying to become an organiser.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use garde::Validate;
use http::StatusCode;
use kernel::{Role, UserId};
use platform::db::Tx;
use platform::http::auth::Member;
use platform::http::{Body, Idempotency, Problem, ProblemBody, Remembered, Result, codes};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::list_applications::ApplicationItem;
use crate::model::{Application, ApplicationState, CompanyName, Description};
use crate::{App, error, store};

const OPERATION: &str = "POST /api/v1/company-applications";

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApplication {
    #[garde(dive)]
    #[schema(inline)]
    name: CompanyName,
    #[garde(dive)]
    #[schema(inline)]
    description: Description,
}

#[utoipa::path(
    post, path = "/api/v1/company-applications", tag = "identity", summary = "Apply to become an organiser",
    params(("Idempotency-Key" = Option<String>, Header)), request_body = NewApplication, security(("bearer" = [])),
    responses(
        (status = 201, body = ApplicationItem),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "One is open already, or the account is no plain member"),
    )
)]
pub async fn send_application(
    State(app): State<Arc<App>>,
    Member(caller): Member,
    idempotency: Idempotency,
    body: Body<NewApplication>,
) -> Result<Response> {
    let answer = app
        .db
        .write(move |tx| {
            Box::pin(async move {
                // Invariant: the lock comes first, so that the same key twice at once is one after the other.
                let account =
                    store::account_locked(tx, caller.user).await?.ok_or_else(|| Problem::new(&codes::AUTH_REVOKED))?;
                if let Some(answer) = idempotency.recall(tx, caller.user, OPERATION, &body.sha).await? {
                    return Ok(answer);
                }
                if account.role != Role::Member {
                    return Err(Problem::new(&error::NOT_A_MEMBER));
                }
                let application = apply(tx, caller.user, account.username, body.value).await?;
                let answer = Remembered::of(StatusCode::CREATED, &ApplicationItem::from(application));
                idempotency.remember(tx, caller.user, OPERATION, &body.sha, &answer).await?;
                Ok(answer)
            })
        })
        .await?;
    Ok(answer.into_response())
}

async fn apply(tx: &Tx, user: UserId, username: String, new: NewApplication) -> Result<Application> {
    if let Some(open) = store::open_application(tx, user).await? {
        return Err(Problem::new(&error::APPLICATION_OPEN).with("id", open.to_string()));
    }
    let application = Application {
        id: Uuid::now_v7(),
        user,
        username,
        name: new.name.into(),
        description: new.description.into(),
        state: ApplicationState::Pending,
        reason: None,
        created_ms: tx.now_ms().await?,
        decided_ms: None,
    };
    store::insert_application(tx, &application).await?;
    Ok(application)
}
