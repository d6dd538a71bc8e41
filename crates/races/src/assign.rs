//! `POST /api/v1/races/{id}/offer/assignments`: the organiser gives a place to a person of his choice.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use garde::Validate;
use kernel::contracts::identity::FindUser;
use kernel::{RaceId, UserId};
use platform::admission::ClaimRequest;
use platform::http::auth::Company;
use platform::http::{Body, IdPath, Idempotency, Problem, Result};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::error::{CANCELLED, NO_SUCH_USER};
use crate::model::{Race, SouvenirChoice};
use crate::registration::RegistrationBody;
use crate::store::progress::guest_row;
use crate::terms::{Faults, check_text};
use crate::{Races, access};

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct AssignPlace {
    #[garde(length(chars, min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    pub username: String,
    /// The course's code; needed where there are several.
    pub course: Option<String>,
    pub souvenir: Option<SouvenirChoice>,
    #[garde(length(chars, min = 1, max = 500))]
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

/// Give somebody a place.
///
/// It is held for `waitlist_hold_s` and skips opening, pause, eligibility and the line; held-back places go first.
/// 201: placed. 200: waited before and is placed now, or has a place already.
#[utoipa::path(post, path = "/api/v1/races/{id}/offer/assignments", operation_id = "assign_place",
    tag = "races", request_body = AssignPlace,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = RegistrationBody), (status = 200, body = RegistrationBody)),
    security(("bearer" = [])))]
pub async fn assign(
    State(races): State<Races>,
    Company(caller): Company,
    IdPath(id): IdPath,
    Idempotency(key): Idempotency,
    body: Body<AssignPlace>,
) -> Result<(StatusCode, Json<RegistrationBody>)> {
    let race = access::managed(&races.db, RaceId(id), &caller).await?;
    races.assign(&race, caller.user, key.map(|key| (key, body.sha)), body.value).await
}

impl Races {
    /// Places somebody by the organiser's hand, or by the yard's own command line.
    pub async fn assign(
        &self,
        race: &Race,
        actor: UserId,
        idem: Option<(String, [u8; 32])>,
        wish: AssignPlace,
    ) -> Result<(StatusCode, Json<RegistrationBody>)> {
        if race.cancelled_ms.is_some() {
            return Err(Problem::new(&CANCELLED));
        }
        let mut faults = Faults::none();
        check_text(&mut faults, "reason", &wish.reason);
        faults.finish()?;
        let received_ms = self.clock.now_ms();
        let sale = self.sale(race.id).await?;
        let want = sale.want(wish.course.as_deref(), wish.souvenir.as_ref())?;
        let found = self.peers.call(&FindUser { username: wish.username }).await?;
        let user = found.ok_or_else(|| Problem::new(&NO_SUCH_USER))?.user_id;
        let rows = vec![guest_row(race.id, user)];
        let request = ClaimRequest { user, want, idem, tag: sale.tag.clone(), received_ms };
        let claimed = self.admission.assign(race.offer, actor, wish.reason.trim(), request, rows).await?;
        let mut body = RegistrationBody::of_claim(&claimed.claim, race.id, &sale.souvenirs);
        // The person's key is shown to that person only.
        body.receipt = claimed.receipt;
        let status = if claimed.fresh { StatusCode::CREATED } else { StatusCode::OK };
        Ok((status, Json(body)))
    }
}
