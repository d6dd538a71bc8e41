//! `DELETE /api/v1/registrations/{id}`: somebody gives up his place, or his turn in the line.

use admission::{Move, MoveBy};
use axum::Json;
use axum::extract::State;
use kernel::ClaimId;
use orderlog::ReturnReason;
use platform::http::auth::Claimant;
use platform::http::{IdPath, Problem, Result, codes};

use crate::Races;
use crate::registration::RegistrationBody;
use crate::store::registrations;

/// Give up a place.
///
/// What comes back of the fee is in `refund`, by the rules that `refund-quote` shows before. A repeat gets the same answer. While a payment is being decided it is refused with 409 `admission/state`.
#[utoipa::path(delete, path = "/api/v1/registrations/{id}", operation_id = "give_up_place",
    tag = "registrations", params(("id" = Uuid, Path)),
    responses((status = 200, body = RegistrationBody)), security(("bearer" = [])))]
pub async fn leave(
    State(races): State<Races>,
    Claimant(caller): Claimant,
    IdPath(id): IdPath,
) -> Result<Json<RegistrationBody>> {
    let missing = || Problem::new(&codes::NOT_FOUND);
    let had = registrations::find(&races.db, ClaimId(id)).await?.filter(|had| had.user == caller.user);
    let had = had.ok_or_else(missing)?;
    let by = MoveBy::Owner(caller.user.0);
    races.admission.act(had.offer, had.id, by, Move::Return(ReturnReason::Released)).await?;
    let now = registrations::find(&races.db, had.id).await?.ok_or_else(missing)?;
    Ok(Json(RegistrationBody::of_row(&now, None).for_owner(&races, &now)))
}
