//! `PUT /api/v1/registrations/{id}/steps/course`: another course in the place of the one that was claimed.

use admission::{ClaimState, Move, MoveBy};
use axum::Json;
use axum::extract::State;
use garde::Validate;
use platform::http::auth::Claimant;
use platform::http::{Body, IdPath, Result};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{out_of_turn, own, race_of};
use crate::Races;
use crate::model::{course_of, souvenir_of};
use crate::registration::RegistrationBody;
use crate::store::progress;

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ChangeCourse {
    /// The course's code.
    pub course: String,
}

/// Change the course.
///
/// Also while waiting. 409 `admission/no-units`: nothing is free there, and what was had before stays. A payment that
/// was opened for another fee is dropped; open it again.
#[utoipa::path(put, path = "/api/v1/registrations/{id}/steps/course", operation_id = "change_course",
    tag = "registrations", request_body = ChangeCourse, params(("id" = Uuid, Path)),
    responses((status = 200, body = RegistrationBody)), security(("bearer" = [])))]
pub async fn change(
    State(races): State<Races>,
    Claimant(caller): Claimant,
    IdPath(id): IdPath,
    body: Body<ChangeCourse>,
) -> Result<Json<RegistrationBody>> {
    let row = own(&races.db, id, &caller).await?;
    if row.state.open() && course_of(&row.want) == body.value.course {
        return Ok(Json(races.owners(row.id).await?));
    }
    if !matches!(row.state, ClaimState::Held | ClaimState::Waitlisted) {
        return Err(out_of_turn(&row));
    }
    let souvenir = souvenir_of(&row.want, &row.souvenirs);
    let want = races.sale(row.race).await?.want(Some(&body.value.course), souvenir.as_ref())?;
    let race = race_of(&races.db, row.race).await?;
    let fee = race.courses.iter().find(|course| *course.code == *body.value.course).map(|course| course.fee);
    let rows = if fee == Some(row.fee) { Vec::new() } else { vec![progress::payment_row(row.id, None)] };
    races.admission.act_with(row.offer, row.id, MoveBy::Owner(caller.user.0), Move::Amend(want), rows).await?;
    Ok(Json(races.owners(row.id).await?))
}
