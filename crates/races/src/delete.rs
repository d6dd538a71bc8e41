//! `DELETE /api/v1/races/{id}`: a race that nobody has a place in goes away.

use axum::extract::State;
use axum::http::StatusCode;
use kernel::{RaceId, UserId};
use platform::admission::HandChange;
use platform::audit;
use platform::http::auth::Company;
use platform::http::{IdPath, IfMatch, Problem, Result};
use serde_json::json;

use crate::error::HAS_REGISTRATIONS;
use crate::model::Race;
use crate::{Races, access, events, store};

/// Delete a race.
///
/// Refused with 409 `races/has-registrations` while somebody has a place or waits; cancel the race then. Its order log
/// stays public.
#[utoipa::path(delete, path = "/api/v1/races/{id}", operation_id = "delete_race",
    tag = "races",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204)), security(("bearer" = [])))]
pub async fn delete(
    State(races): State<Races>,
    Company(caller): Company,
    IdPath(id): IdPath,
    if_match: IfMatch,
) -> Result<StatusCode> {
    let race = access::managed(&races.db, RaceId(id), &caller).await?;
    if_match.check(race.version)?;
    if store::has_open_claims(&races.db, race.offer).await? {
        return Err(Problem::new(&HAS_REGISTRATIONS));
    }
    let view = races.admission.view(&races.db, race.offer).await?;
    let pauses = !view.paused && view.state() != "closed";
    // Why first: whoever claims while the race is being deleted hears `paused`, and loses no place.
    if pauses {
        races.pause(&race, caller.user, true).await?;
    }
    let deleted = races.mark_deleted(race.clone(), caller.user, if_match).await;
    races.sales.forget(race.id);
    if deleted.is_err() && pauses {
        races.pause(&race, caller.user, false).await?;
    }
    deleted.map(|()| StatusCode::NO_CONTENT)
}

impl Races {
    async fn pause(&self, race: &Race, actor: UserId, paused: bool) -> Result<()> {
        let change = HandChange { paused: Some(paused), ..Default::default() };
        self.admission.hand(race.offer, actor, "the race is being deleted", change).await?;
        Ok(())
    }

    async fn mark_deleted(&self, race: Race, actor: UserId, if_match: IfMatch) -> Result<()> {
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    store::lock_offer(tx, race.offer).await?;
                    let race = access::race(tx, race.id).await?;
                    if_match.check(race.version)?;
                    if store::has_open_claims(tx, race.offer).await? {
                        return Err(Problem::new(&HAS_REGISTRATIONS));
                    }
                    let now_ms = tx.now_ms().await?;
                    store::mark_deleted(tx, race.id, actor, now_ms).await?;
                    let entry = audit::Entry {
                        actor: Some(actor),
                        action: "race.delete",
                        subject: race.id.to_string(),
                        reason: None,
                        before: json!({ "title": race.title, "version": race.version }),
                        after: json!({ "deleted_ms": now_ms }),
                    };
                    audit::record(tx, entry).await?;
                    events::tell(tx, &race, "deleted", actor).await?;
                    Ok(())
                })
            })
            .await
    }
}
