//! `POST /api/v1/races/{id}/registrations`: somebody wants a place. The hottest path there is.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use garde::Validate;
use kernel::contracts::identity::EligibilityFacts;
use kernel::{RaceId, UserId, UtcTime};
use platform::admission::ClaimRequest;
use platform::admission::codes::NOT_ELIGIBLE;
use platform::http::auth::Claimant;
use platform::http::{Body, IdPath, Idempotency, Problem, Result, codes};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Races;
use crate::model::{SouvenirChoice, day_of, unmet_rule};
use crate::registration::RegistrationBody;
use crate::sale::Sale;
use crate::store::registrations::{find_open, positions};

#[derive(Clone, Debug, Default, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ClaimPlace {
    /// The course's code; needed where there are several.
    pub course: Option<String>,
    /// Taken together with the place, all or nothing; may also be chosen later.
    pub souvenir: Option<SouvenirChoice>,
}

/// Claim a place.
///
/// 201: placed, `held` or `waitlisted`. 200: has an open one already.
#[utoipa::path(post, path = "/api/v1/races/{id}/registrations", operation_id = "claim_place",
    tag = "registrations", request_body = ClaimPlace,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = RegistrationBody), (status = 200, body = RegistrationBody)),
    security(("bearer" = [])))]
pub async fn claim(
    State(races): State<Races>,
    Claimant(caller): Claimant,
    IdPath(id): IdPath,
    Idempotency(key): Idempotency,
    body: Body<ClaimPlace>,
) -> Result<(StatusCode, Json<RegistrationBody>)> {
    let received_ms = races.clock.now_ms();
    let race = RaceId(id);
    if caller.rehearsal.is_some_and(|only| only != race) {
        return Err(Problem::new(&codes::AUTH_ROLE));
    }
    let sale = races.sale(race).await?;
    if sale.hidden && caller.rehearsal != Some(race) {
        return Err(Problem::new(&codes::NOT_FOUND));
    }
    let want = sale.want(body.value.course.as_deref(), body.value.souvenir.as_ref())?;
    if let Some(had) = races.check_eligibility(&sale, caller.user).await? {
        return Ok((StatusCode::OK, Json(had)));
    }
    let request = ClaimRequest {
        user: caller.user,
        want,
        idem: key.map(|key| (key, body.sha)),
        tag: sale.tag.clone(),
        received_ms,
    };
    let claimed = races.admission.claim(sale.offer, request).await?;
    // Only what was made just now has no steps behind it.
    let new = claimed.fresh && claimed.claim.received_ms == received_ms;
    let mut registration = match new {
        true => RegistrationBody::of_claim(&claimed.claim, race, &sale.souvenirs),
        false => races.owners(claimed.claim.id).await?,
    };
    registration.receipt = claimed.receipt;
    registration.person_key = Some(claimed.person_key);
    let status = if claimed.fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(registration)))
}

impl Races {
    /// The rule of a sale that a person does not meet.
    pub async fn unmet_rule(&self, sale: &Sale, user: UserId) -> Result<Option<&'static str>> {
        let Some(rules) = &sale.eligibility else { return Ok(None) };
        let Some(person) = self.peers.call(&EligibilityFacts { user_id: user }).await? else {
            return Ok(Some("account"));
        };
        let race_day = day_of(UtcTime(sale.race_at_ms), self.config.offset_s).unwrap_or_default();
        Ok(unmet_rule(rules, &person, race_day))
    }

    /// Refuses a person the rules do not admit, unless the organiser's hand placed him all the same: then what he has.
    async fn check_eligibility(&self, sale: &Sale, user: UserId) -> Result<Option<RegistrationBody>> {
        let Some(rule) = self.unmet_rule(sale, user).await? else { return Ok(None) };
        let Some(had) = find_open(&self.db, sale.race, user).await? else {
            return Err(Problem::new(&NOT_ELIGIBLE).with("rule", rule));
        };
        let position = positions(&self.db, std::slice::from_ref(&had)).await?.remove(&had.id);
        Ok(Some(RegistrationBody::of_row(&had, position).for_owner(self, &had)))
    }
}
