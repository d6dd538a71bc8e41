//! `GET /api/v1/payments/{id}`: a payment for its payer, and for who helps him.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kernel::contracts::payments::PaymentState;
use kernel::{PaymentId, Role, UtcTime, Won};
use platform::http::auth::Claimant;
use platform::http::{IdPath, Problem, Result, codes};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::model::Intent;
use crate::{App, store};

#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentBody {
    id: PaymentId,
    /// What is paid for.
    subject: SubjectBody,
    /// `ready`, `confirming`, `captured`, `declined`, `voided` or `expired`.
    #[schema(value_type = String, example = "ready")]
    state: PaymentState,
    amount_won: Won,
    /// Given back so far.
    refunded_won: Won,
    provider: String,
    /// Where the payer goes to pay.
    checkout_url: String,
    expires_at: UtcTime,
    /// Why it ended without money.
    reason: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SubjectBody {
    #[schema(example = "registration")]
    kind: &'static str,
    id: Uuid,
}

impl From<&Intent> for PaymentBody {
    fn from(intent: &Intent) -> Self {
        Self {
            id: intent.id,
            subject: SubjectBody { kind: intent.subject.kind(), id: intent.subject.id() },
            state: intent.state,
            amount_won: intent.amount,
            refunded_won: intent.refunded,
            provider: intent.provider.clone(),
            checkout_url: intent.checkout_url.clone(),
            expires_at: UtcTime(intent.expires_ms),
            reason: intent.reason.clone(),
        }
    }
}

/// One payment.
///
/// For its payer, managers and admins.
#[utoipa::path(get, path = "/api/v1/payments/{id}", operation_id = "read_payment", tag = "payments",
    params(("id" = Uuid, Path)), responses((status = 200, body = PaymentBody)), security(("bearer" = [])))]
pub async fn read(
    State(app): State<Arc<App>>,
    Claimant(caller): Claimant,
    IdPath(id): IdPath,
) -> Result<Json<PaymentBody>> {
    let helps = caller.rehearsal.is_none() && matches!(caller.role, Role::Manager | Role::Admin);
    let found = store::find(&app.db, PaymentId(id)).await?;
    let intent = found.filter(|intent| helps || intent.payer == caller.user);
    let intent = intent.ok_or_else(|| Problem::new(&codes::NOT_FOUND))?;
    Ok(Json(PaymentBody::from(&intent)))
}
