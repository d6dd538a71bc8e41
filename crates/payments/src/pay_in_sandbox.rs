//! The sandbox's page for the payer: what is to be paid, and what he makes of it.
//!
//! A real provider's page knows nobody's sign-in either: whoever has the payment's unguessable id is the payer.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use kernel::{PaymentId, UtcTime, Won};
use platform::http::{Body, IdPath, Problem, ProblemBody, Result, codes};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::Intent;
use crate::provider::{Fault, Provider};
use crate::sandbox::{Outcome, SandboxClient};
use crate::{App, error, store};

/// What the payer sees.
#[derive(Serialize, ToSchema)]
pub struct Checkout {
    id: PaymentId,
    title: String,
    amount_won: Won,
    expires_at: UtcTime,
    /// `ready`, `confirming`, `captured`, `declined`, `voided` or `expired`.
    state: &'static str,
    /// What can be chosen.
    #[schema(inline)]
    outcomes: Vec<Outcome>,
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    // Its schema explains it: utoipa makes nonsense of an inlined enum that is described here as well.
    #[garde(skip)]
    #[schema(inline)]
    outcome: Outcome,
}

/// What is to be paid in the sandbox.
///
/// Needs no sign-in, like a provider's own page. 404 where the yard has no sandbox.
#[utoipa::path(get, path = "/api/v1/sandbox/payments/{id}", operation_id = "read_sandbox_payment", tag = "sandbox",
    params(("id" = Uuid, Path)), responses((status = 200, body = Checkout)), security(()))]
pub async fn look(State(app): State<Arc<App>>, IdPath(id): IdPath) -> Result<Json<Checkout>> {
    let (_, intent) = find(&app, PaymentId(id)).await?;
    Ok(Json(checkout(&intent)))
}

/// Pay in the sandbox, or not.
///
/// The payer's own act at the provider. No money moves before the payment is confirmed, other than with `late`.
#[utoipa::path(post, path = "/api/v1/sandbox/payments/{id}", operation_id = "pay_in_sandbox", tag = "sandbox",
    params(("id" = Uuid, Path)), request_body = Choice,
    responses(
        (status = 200, body = Checkout),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "It was decided already"),
    ), security(()))]
pub async fn choose(State(app): State<Arc<App>>, IdPath(id): IdPath, body: Body<Choice>) -> Result<Json<Checkout>> {
    let (sandbox, intent) = find(&app, PaymentId(id)).await?;
    match sandbox.choose(&intent.provider_key, body.value.outcome).await {
        Ok(()) => Ok(Json(checkout(&intent))),
        Err(Fault::Declined(reason)) => Err(Problem::new(&error::DECIDED).detail(reason)),
        Err(fault) => {
            tracing::warn!(%fault, "the sandbox did not take the payer's choice");
            Err(Problem::new(&error::PROVIDER_AWAY).retry_after_ms(1_000))
        }
    }
}

/// The payment, where it is one of the sandbox's and the sandbox is on.
async fn find(app: &App, id: PaymentId) -> Result<(&SandboxClient, Intent)> {
    let missing = || Problem::new(&codes::NOT_FOUND);
    let sandbox = app.sandbox.as_deref().ok_or_else(missing)?;
    let intent = store::find(&app.db, id).await?.filter(|intent| intent.provider == sandbox.name());
    Ok((sandbox, intent.ok_or_else(missing)?))
}

fn checkout(intent: &Intent) -> Checkout {
    Checkout {
        id: intent.id,
        title: intent.title.clone(),
        amount_won: intent.amount,
        expires_at: UtcTime(intent.expires_ms),
        state: intent.state.as_str(),
        outcomes: Outcome::ALL.to_vec(),
    }
}
