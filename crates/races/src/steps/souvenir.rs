//! `PUT /api/v1/registrations/{id}/steps/souvenir`: a souvenir and its size, or none; exchanged all or nothing.

use admission::{Move, MoveBy};
use axum::Json;
use axum::extract::State;
use garde::Validate;
use kernel::ClaimId;
use platform::http::auth::Claimant;
use platform::http::{Body, IdPath, Problem, Result};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{check_turn, own, race_of};
use crate::Races;
use crate::error::SOUVENIR_REQUIRED;
use crate::model::{NextStep, SouvenirChoice, SouvenirRule, course_of, souvenir_of};
use crate::registration::RegistrationBody;
use crate::store::progress;

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ChooseSouvenir {
    /// Both null: none.
    pub souvenir_id: Option<Uuid>,
    pub size: Option<String>,
}

/// Choose a souvenir, or none.
///
/// 409 `admission/no-units`: that size has run out, and what was chosen before stays.
#[utoipa::path(put, path = "/api/v1/registrations/{id}/steps/souvenir", operation_id = "choose_souvenir",
    tag = "registrations", request_body = ChooseSouvenir, params(("id" = Uuid, Path)),
    responses((status = 200, body = RegistrationBody)), security(("bearer" = [])))]
pub async fn choose(
    State(races): State<Races>,
    Claimant(caller): Claimant,
    IdPath(id): IdPath,
    body: Body<ChooseSouvenir>,
) -> Result<Json<RegistrationBody>> {
    let choice = match (body.value.souvenir_id, body.value.size) {
        (Some(id), Some(size)) => Some(SouvenirChoice { id, size }),
        (None, None) => None,
        (Some(_), None) => return Err(Problem::field("size", "required", "a souvenir has a size")),
        (None, Some(_)) => return Err(Problem::field("souvenir_id", "required", "say which souvenir")),
    };
    let row = own(&races.db, id, &caller).await?;
    let same = souvenir_of(&row.want, &row.souvenirs) == choice && (choice.is_some() || row.progress.souvenir_chosen);
    if same && row.state.open() {
        return Ok(Json(races.owners(row.id).await?));
    }
    check_turn(&row, NextStep::Souvenir)?;
    let rule = race_of(&races.db, row.race).await?.souvenir_rule;
    if choice.is_none() && rule == SouvenirRule::Required {
        return Err(Problem::new(&SOUVENIR_REQUIRED));
    }
    let sale = races.sale(row.race).await?;
    let want = sale.want(Some(&course_of(&row.want)), choice.as_ref())?;
    // Why before the exchange where none is chosen: units can always be given back, and nothing else says that he chose.
    if choice.is_none() {
        races.note_souvenir(row.id).await?;
    }
    if want != row.want {
        races.admission.act(row.offer, row.id, MoveBy::Owner(caller.user.0), Move::Amend(want)).await?;
    }
    if choice.is_some() {
        races.note_souvenir(row.id).await?;
    }
    if !row.progress.souvenir_chosen {
        row.count_step("souvenir", races.clock.now_ms());
    }
    Ok(Json(races.owners(row.id).await?))
}

impl Races {
    async fn note_souvenir(&self, id: ClaimId) -> Result<()> {
        let note = self.db.write(move |tx| {
            Box::pin(async move {
                let now_ms = tx.now_ms().await?;
                progress::chose_souvenir(tx, id, now_ms).await
            })
        });
        Ok(note.await?)
    }
}
