//! Commands of a running yard, for whoever may open its socket: the organiser's hand without an account.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{post, put};
use axum::{Json, Router};
use kernel::{RaceId, UserId};
use platform::http::{Body, IdPath, IfMatch, Result};
use uuid::Uuid;

use crate::adjust::{AdjustOffer, OfferBody};
use crate::assign::AssignPlace;
use crate::registration::RegistrationBody;
use crate::{Races, access};

/// Who the audit log names for them: nobody with an account.
const OPERATOR: UserId = UserId(Uuid::nil());

pub fn routes(races: &Races) -> Router {
    Router::new()
        .route("/races/{id}/offer", put(adjust))
        .route("/races/{id}/offer/assignments", post(assign))
        .with_state(races.clone())
}

async fn adjust(State(races): State<Races>, IdPath(id): IdPath, body: Body<AdjustOffer>) -> Result<Json<OfferBody>> {
    let race = access::race(&races.db, RaceId(id)).await?;
    Ok(Json(races.adjust(&race, OPERATOR, &IfMatch(None), body.value).await?))
}

async fn assign(
    State(races): State<Races>,
    IdPath(id): IdPath,
    body: Body<AssignPlace>,
) -> Result<(StatusCode, Json<RegistrationBody>)> {
    let race = access::race(&races.db, RaceId(id)).await?;
    races.assign(&race, OPERATOR, None, body.value).await
}
