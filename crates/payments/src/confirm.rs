//! `POST /api/v1/payments/{id}/confirm`: the payer has done his part at the provider; the money is taken.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use kernel::PaymentId;
use kernel::contracts::payments::PaymentState;
use platform::http::auth::Claimant;
use platform::http::{Body, IdPath, Problem, ProblemBody, Result, codes};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::model::Intent;
use crate::read::PaymentBody;
use crate::settle::{Try, Word};
use crate::{App, error, store};

/// No amount, no owner, no outcome: those are the yard's and the provider's.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    #[garde(dive)]
    #[schema(inline)]
    provider_payload: Option<ProviderPayload>,
}

/// What the provider's page gave the payer to bring back.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderPayload {
    /// The provider's key of this payment, where it wants it for the confirmation. The sandbox does not.
    #[garde(length(chars, min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    payment_key: Option<String>,
}

/// Confirm a payment.
///
/// For its payer. The place is pinned first, then the provider takes the money. `captured` and `declined` are final;
/// `confirming` means that the provider does not say yet: the yard asks on, and so may you. A repeat changes nothing.
/// 409 `payments/expired`: there is nothing left to pay for, and nothing was charged.
#[utoipa::path(post, path = "/api/v1/payments/{id}/confirm", operation_id = "confirm_payment", tag = "payments",
    params(("id" = Uuid, Path)), request_body = Confirmation,
    responses(
        (status = 200, body = PaymentBody),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "Over: `state` and `next_step` say how it ended and what to do"),
    ), security(("bearer" = [])))]
pub async fn confirm(
    State(app): State<Arc<App>>,
    Claimant(caller): Claimant,
    IdPath(id): IdPath,
    body: Body<Confirmation>,
) -> Result<Json<PaymentBody>> {
    let found = store::find(&app.db, PaymentId(id)).await?.filter(|intent| intent.payer == caller.user);
    let found = found.ok_or_else(|| Problem::new(&codes::NOT_FOUND))?;
    let payer_key = body.value.provider_payload.and_then(|payload| payload.payment_key);
    let (intent, attempt) = match found.state {
        PaymentState::Ready => begin(&app, found.id, payer_key).await?,
        _ => (found, Try::Again),
    };
    let (intent, word) = match intent.state {
        PaymentState::Confirming => app.settle(intent, attempt).await?,
        _ => (intent, Word::Decided),
    };
    answer(&intent, word)
}

/// Writes that the provider may be told, before it is; of two at once the second finds it written.
async fn begin(app: &App, id: PaymentId, payer_key: Option<String>) -> Result<(Intent, Try)> {
    let settle_after_ms = app.config.settle_after_ms;
    app.db
        .write(move |tx| {
            Box::pin(async move {
                let intent = store::locked(tx, id).await?;
                if intent.state != PaymentState::Ready {
                    return Ok((intent, Try::Again));
                }
                let Some(next) = intent.step(PaymentState::Confirming) else { return Ok((intent, Try::Again)) };
                let now_ms = tx.now_ms().await?;
                let next = Intent { payer_key, next_look_ms: now_ms + settle_after_ms, ..next };
                store::save(tx, &next, now_ms).await?;
                Ok((next, Try::First))
            })
        })
        .await
}

fn answer(intent: &Intent, word: Word) -> Result<Json<PaymentBody>> {
    match (intent.state, word) {
        (PaymentState::Expired | PaymentState::Voided, _) => Err(Problem::new(&error::EXPIRED)
            .detail("Nothing was charged. Claim a place again, then open a payment for it.")
            .with("state", intent.state.as_str())
            .with("next_step", "claim_again")),
        // Why it stays `confirming`: the place is pinned, and only an outcome frees it. Going back to `ready` would
        // leave a pinned place that nobody is bound to settle; so the job asks on, and a repeat asks at once.
        (PaymentState::Confirming, Word::Away) => {
            Err(Problem::new(&error::PROVIDER_AWAY).with("state", intent.state.as_str()).retry_after_ms(1_000))
        }
        _ => Ok(Json(PaymentBody::from(intent))),
    }
}
