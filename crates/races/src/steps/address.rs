//! `PUT /api/v1/registrations/{id}/steps/address`: where the souvenir goes. The last step where there is no fee.

use axum::Json;
use axum::extract::State;
use kernel::Won;
use platform::http::auth::Claimant;
use platform::http::{Body, IdPath, Problem, Result};

use super::{check_turn, own};
use crate::Races;
use crate::model::{Address, NextStep};
use crate::registration::RegistrationBody;
use crate::store::progress;
use crate::terms::{Faults, check_text};

/// Say where the souvenir goes.
///
/// Where the race costs nothing this confirms the place: it is the last step.
#[utoipa::path(put, path = "/api/v1/registrations/{id}/steps/address", operation_id = "set_address",
    tag = "registrations", request_body = Address, params(("id" = Uuid, Path)),
    responses((status = 200, body = RegistrationBody)), security(("bearer" = [])))]
pub async fn set(
    State(races): State<Races>,
    Claimant(caller): Claimant,
    IdPath(id): IdPath,
    body: Body<Address>,
) -> Result<Json<RegistrationBody>> {
    let address = body.value;
    let mut faults = Faults::none();
    check_text(&mut faults, "recipient", &address.recipient);
    check_text(&mut faults, "line1", &address.line1);
    faults.finish()?;
    let (mut row, done_ms) = races
        .db
        .write(move |tx| {
            Box::pin(async move {
                let row = own(tx, id, &caller).await?;
                if row.progress.address.as_ref() == Some(&address) && row.state.open() {
                    return Ok((row, None));
                }
                check_turn(&row, NextStep::Address)?;
                let now_ms = tx.now_ms().await?;
                progress::addressed(tx, row.id, &address, now_ms).await?;
                Ok::<_, Problem>((row, Some(now_ms)))
            })
        })
        .await?;
    if let (Some(now_ms), None) = (done_ms, &row.progress.address) {
        row.count_step("address", now_ms);
        row.progress.newest_ms = Some(now_ms);
    }
    if row.fee == Won(0) && row.state == admission::ClaimState::Held {
        races.confirm_free(&row).await?;
    }
    Ok(Json(races.owners(row.id).await?))
}
