//! `PUT /api/v1/registrations/{id}/steps/payment`: opens the payment of the fee.

use axum::Json;
use axum::extract::State;
use garde::Validate;
use kernel::contracts::payments::{OpenPayment, Subject};
use platform::http::auth::Claimant;
use platform::http::{Body, IdPath, Problem, Result};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{check_turn, out_of_turn, own};
use crate::Races;
use crate::model::NextStep;
use crate::registration::RegistrationBody;
use crate::store::progress;

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct PayFee {
    /// Who takes the money: `sandbox`, or a provider that this yard has keys for.
    #[garde(length(chars, min = 1, max = 32))]
    #[schema(min_length = 1, max_length = 32)]
    pub provider: String,
}

/// Open the payment of the fee.
///
/// The amount is the course's fee. Pay at `payment.checkout_url`, then confirm at `/payments/{id}/confirm`: only that pins
/// the place, which until then goes back when its hold ends.
#[utoipa::path(put, path = "/api/v1/registrations/{id}/steps/payment", operation_id = "open_payment",
    tag = "registrations", request_body = PayFee, params(("id" = Uuid, Path)),
    responses((status = 200, body = RegistrationBody)), security(("bearer" = [])))]
pub async fn open(
    State(races): State<Races>,
    Claimant(caller): Claimant,
    IdPath(id): IdPath,
    body: Body<PayFee>,
) -> Result<Json<RegistrationBody>> {
    let row = own(&races.db, id, &caller).await?;
    let under_way = row.progress.payment.as_ref().filter(|had| had.is_under_way());
    if under_way.is_some_and(|had| had.provider == body.value.provider) && row.state.open() {
        return Ok(Json(races.owners(row.id).await?));
    }
    check_turn(&row, NextStep::Payment)?;
    let asked = OpenPayment {
        subject: Subject::Registration(row.id.0),
        payer: row.user,
        payee: row.race_owner,
        amount_won: row.fee,
        provider: body.value.provider,
        title: row.race_title.clone(),
        expires_ms: row.hold_until_ms.ok_or_else(|| out_of_turn(&row))?,
    };
    let payment = races.peers.call(&asked).await?;
    let id = row.id;
    races
        .db
        .write(move |tx| {
            Box::pin(async move {
                let now_ms = tx.now_ms().await?;
                progress::opened(tx, id, &payment, now_ms).await?;
                Ok::<_, Problem>(())
            })
        })
        .await?;
    if !row.progress.payment_opened {
        row.count_step("payment", races.clock.now_ms());
    }
    Ok(Json(races.owners(row.id).await?))
}
