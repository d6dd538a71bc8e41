//! `PUT /api/v1/registrations/{id}/steps/terms`: agreeing to the race's terms, in the version that is in force.

use axum::Json;
use axum::extract::State;
use garde::Validate;
use platform::http::auth::Claimant;
use platform::http::{Body, IdPath, Problem, Result};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{check_turn, own, race_of};
use crate::Races;
use crate::error::TERMS_CHANGED;
use crate::model::NextStep;
use crate::registration::RegistrationBody;
use crate::store::progress;

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct AgreeToTerms {
    /// Only `true` is taken.
    pub agreed: bool,
    /// The version that was read: `terms_version` of the race.
    pub terms_version: i64,
}

/// Agree to the terms.
///
/// 409 `registration/terms-changed`: read them again, in the version it names.
#[utoipa::path(put, path = "/api/v1/registrations/{id}/steps/terms", operation_id = "agree_to_terms",
    tag = "registrations", request_body = AgreeToTerms, params(("id" = Uuid, Path)),
    responses((status = 200, body = RegistrationBody)), security(("bearer" = [])))]
pub async fn agree(
    State(races): State<Races>,
    Claimant(caller): Claimant,
    IdPath(id): IdPath,
    body: Body<AgreeToTerms>,
) -> Result<Json<RegistrationBody>> {
    if !body.value.agreed {
        return Err(Problem::field("agreed", "required", "without agreeing there is no place"));
    }
    let version = body.value.terms_version;
    let (row, done_ms) = races
        .db
        .write(move |tx| {
            Box::pin(async move {
                let row = own(tx, id, &caller).await?;
                if row.progress.terms_version == Some(version) && row.state.open() {
                    return Ok((row, None));
                }
                check_turn(&row, NextStep::Terms)?;
                let race = race_of(tx, row.race).await?;
                if race.terms_version != version {
                    return Err(Problem::new(&TERMS_CHANGED).with("terms_version", race.terms_version));
                }
                let now_ms = tx.now_ms().await?;
                progress::agreed(tx, row.id, version, now_ms).await?;
                Ok((row, Some(now_ms)))
            })
        })
        .await?;
    if let (Some(now_ms), None) = (done_ms, row.progress.terms_version) {
        row.count_step("terms", now_ms);
    }
    Ok(Json(races.owners(row.id).await?))
}
