//! `POST /api/v1/registrations/{id}/cancellation`: the organiser takes a place back; the whole fee goes back.

use admission::{Move, MoveBy};
use axum::Json;
use axum::extract::State;
use garde::Validate;
use kernel::{ClaimId, Role};
use orderlog::ReturnReason;
use platform::audit;
use platform::http::auth::Company;
use platform::http::{Body, IdPath, Problem, Result, codes};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::Races;
use crate::registration::RegistrationBody;
use crate::store::registrations;
use crate::terms::{Faults, check_text};

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct WithdrawPlace {
    #[garde(length(chars, min = 1, max = 500))]
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

/// Take a place back.
///
/// For the race's organiser and admins. The whole fee goes back. A repeat changes nothing; while a payment is being
/// decided it is refused with 409 `admission/state`.
#[utoipa::path(post, path = "/api/v1/registrations/{id}/cancellation", operation_id = "withdraw_place",
    tag = "registrations", request_body = WithdrawPlace, params(("id" = Uuid, Path)),
    responses((status = 200, body = RegistrationBody)), security(("bearer" = [])))]
pub async fn withdraw(
    State(races): State<Races>,
    Company(caller): Company,
    IdPath(id): IdPath,
    body: Body<WithdrawPlace>,
) -> Result<Json<RegistrationBody>> {
    let missing = || Problem::new(&codes::NOT_FOUND);
    let row = registrations::find(&races.db, ClaimId(id)).await?.ok_or_else(missing)?;
    if caller.role != Role::Admin && row.race_owner != caller.user {
        return Err(missing());
    }
    let mut faults = Faults::none();
    check_text(&mut faults, "reason", &body.value.reason);
    faults.finish()?;
    let entry = audit::Entry {
        actor: Some(caller.user),
        action: "registration.withdraw",
        subject: row.id.to_string(),
        reason: Some(body.value.reason.trim()),
        before: json!({ "state": row.state.as_str() }),
        after: json!({ "state": "cancelled" }),
    };
    let rows = vec![audit::row(&entry, races.clock.now_ms())];
    let mv = Move::Return(ReturnReason::Cancelled);
    races.admission.act_with(row.offer, row.id, MoveBy::Organiser, mv, rows).await?;
    let now = registrations::find(&races.db, row.id).await?.ok_or_else(missing)?;
    Ok(Json(RegistrationBody::of_row(&now, None)))
}
