//! `POST /api/v1/races/{id}/cancellation`: the race does not take place; every place is given back.

use admission::{Move, MoveBy};
use axum::Json;
use axum::extract::State;
use garde::Validate;
use kernel::{RaceId, UserId};
use orderlog::ReturnReason;
use platform::admission::HandChange;
use platform::audit;
use platform::http::auth::Company;
use platform::http::{Body, IdPath, Problem, Result};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::model::Race;
use crate::read::RaceBody;
use crate::terms::{Faults, check_text};
use crate::{Races, access, events, store};

/// Claims returned by one look of the job; more would keep other returns out of the queue.
const RETURNS_MAX: i64 = 100;

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct CancelRace {
    #[garde(length(chars, min = 1, max = 500))]
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

/// Cancel a race.
///
/// The sale closes at once and every open registration is cancelled shortly after. A repeat changes nothing.
#[utoipa::path(post, path = "/api/v1/races/{id}/cancellation", operation_id = "cancel_race",
    tag = "races", request_body = CancelRace,
    params(("id" = Uuid, Path)), responses((status = 200, body = RaceBody)), security(("bearer" = [])))]
pub async fn cancel(
    State(races): State<Races>,
    Company(caller): Company,
    IdPath(id): IdPath,
    body: Body<CancelRace>,
) -> Result<Json<RaceBody>> {
    let race = access::managed(&races.db, RaceId(id), &caller).await?;
    let mut faults = Faults::none();
    check_text(&mut faults, "reason", &body.value.reason);
    faults.finish()?;
    if race.cancelled_ms.is_none() {
        races.mark_cancelled(race, caller.user, body.value.reason).await?;
    }
    races.wind_up(RaceId(id)).await?;
    let now = access::race(&races.db, RaceId(id)).await?;
    Ok(Json(races.body(&races.db, now).await?))
}

impl Races {
    async fn mark_cancelled(&self, race: Race, actor: UserId, reason: String) -> Result<()> {
        let id = race.id;
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    let now_ms = tx.now_ms().await?;
                    store::mark_cancelled(tx, race.id, actor, now_ms).await?;
                    let entry = audit::Entry {
                        actor: Some(actor),
                        action: "race.cancel",
                        subject: race.id.to_string(),
                        reason: Some(reason.trim()),
                        before: json!({ "title": race.title, "version": race.version }),
                        after: json!({ "cancelled_ms": now_ms }),
                    };
                    audit::record(tx, entry).await?;
                    events::tell(tx, &race, "cancelled", actor).await?;
                    Ok::<_, Problem>(())
                })
            })
            .await?;
        self.sales.forget(id);
        Ok(())
    }

    /// Closes a cancelled race's sale and returns some of its open claims; whatever remains, the job does. A claim
    /// whose payment is being decided waits for the outcome.
    pub async fn wind_up(&self, id: RaceId) -> Result<()> {
        let Some(race) = store::find_race(&self.db, id).await?.filter(|race| race.cancelled_ms.is_some()) else {
            return Ok(());
        };
        let view = self.admission.view(&self.db, race.offer).await?;
        if !view.closed {
            // The past closes at once.
            let change = HandChange { closes_ms: Some(0), ..Default::default() };
            self.admission.hand(race.offer, race.owner, "the race was cancelled", change).await?;
        }
        let open = store::registrations::open_claims(&self.db, race.offer, RETURNS_MAX).await?;
        let returns = open.into_iter().map(|claim| {
            self.admission.act(race.offer, claim, MoveBy::Organiser, Move::Return(ReturnReason::Cancelled))
        });
        for outcome in futures::future::join_all(returns).await {
            match outcome {
                // Somebody else's move came first.
                Err(problem) if problem.status() == 409 => {}
                outcome => drop(outcome?),
            }
        }
        Ok(())
    }
}
