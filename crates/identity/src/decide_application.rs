//! Deciding an application. Approval makes the member an organiser with his next refresh or login.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use kernel::contracts::identity::{CompanyApplicationDecided, Revoked};
use kernel::{Role, UserId};
use platform::audit;
use platform::db::Tx;
use platform::events::publish;
use platform::http::auth::Admin;
use platform::http::{Body, IdPath, Problem, Result, codes};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::change_role::{give_role, subordinate};
use crate::list_applications::ApplicationItem;
use crate::model::{Application, ApplicationState, Reason};
use crate::{App, error, store};

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Approved,
    Rejected,
}

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    #[garde(skip)]
    #[schema(inline)]
    decision: Verdict,
    /// What the applicant reads.
    #[garde(dive)]
    #[schema(inline)]
    reason: Option<Reason>,
}

#[utoipa::path(
    put, path = "/api/v1/company-applications/{id}/decision", tag = "identity", summary = "Decide an application (admins)",
    params(("id" = uuid::Uuid, Path)), request_body = Decision, security(("bearer" = [])),
    responses((status = 200, body = ApplicationItem))
)]
pub async fn decide_application(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    IdPath(id): IdPath,
    body: Body<Decision>,
) -> Result<Json<ApplicationItem>> {
    let Decision { decision, reason } = body.value;
    let state = match decision {
        Verdict::Approved => ApplicationState::Approved,
        Verdict::Rejected => ApplicationState::Rejected,
    };
    let reason = reason.map(String::from);
    let (application, revoked) =
        app.db.write(move |tx| Box::pin(async move { decide(tx, id, state, reason, caller.user).await })).await?;
    app.revocations.apply(revoked.as_slice());
    Ok(Json(ApplicationItem::from(application)))
}

async fn decide(
    tx: &Tx,
    id: Uuid,
    state: ApplicationState,
    reason: Option<String>,
    by: UserId,
) -> Result<(Application, Option<Revoked>)> {
    let missing = || Problem::new(&codes::NOT_FOUND);
    let applicant = store::applicant(tx, id).await?.ok_or_else(missing)?;
    let mut account = subordinate(tx, by, applicant, Role::Admin).await?;
    let mut application = store::application(tx, id).await?.ok_or_else(missing)?;
    if application.state == state {
        return Ok((application, None));
    }
    if application.state != ApplicationState::Pending {
        return Err(Problem::new(&error::APPLICATION_DECIDED).with("state", application.state.as_str()));
    }
    application.state = state;
    application.reason = reason;
    application.decided_ms = Some(tx.now_ms().await?);
    store::decide_application(tx, &application, by).await?;
    let entry = audit::Entry {
        actor: Some(by),
        action: "company_application.decided",
        subject: id.to_string(),
        reason: application.reason.as_deref(),
        before: json!({ "state": ApplicationState::Pending }),
        after: json!({ "state": state }),
    };
    audit::record(tx, entry).await?;
    let approved = state == ApplicationState::Approved;
    let decided = CompanyApplicationDecided {
        application_id: id,
        user_id: applicant,
        approved,
        reason: application.reason.clone(),
    };
    publish(tx, &decided, Some(by)).await?;
    // Who became more than an organiser meanwhile stays what he is.
    let revoked = if approved && account.role == Role::Member {
        give_role(tx, &mut account, Role::Company, by).await?
    } else {
        None
    };
    Ok((application, revoked))
}
