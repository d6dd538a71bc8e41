//! `GET /api/v1/races/{id}/stream`: how many places are left, as it changes.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures::FutureExt;
use kernel::{OfferId, RaceId};
use platform::admission::Admission;
use platform::db::{Db, DbError};
use platform::http::{self, IdPath, Stopping};
use platform::live::{self, Live};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Races;
use crate::read::state_named;
use crate::store::{self, RaceState};

/// The watched races of this process, each with its event as it goes over the wire.
pub type Watched = Live<RaceId, Bytes>;

#[derive(Serialize, ToSchema)]
#[schema(as = RaceNow)]
pub struct RaceNow {
    pub state: RaceState,
    /// Places anybody may still take.
    pub remaining: i64,
    /// People in the line.
    pub waiting: i64,
    pub courses: Vec<CourseNow>,
}

#[derive(Serialize, ToSchema)]
pub struct CourseNow {
    pub code: String,
    pub remaining: i64,
}

/// Watch a race.
///
/// Server-sent events `race` with the present state, at once and after each change, at most four a second; states in
/// between may be left out, the last one never is.
#[utoipa::path(get, path = "/api/v1/races/{id}/stream", operation_id = "watch_race",
    tag = "races", params(("id" = Uuid, Path)),
    responses((status = 200, body = RaceNow, content_type = "text/event-stream")), security(()))]
pub async fn watch(State(races): State<Races>, stopping: Stopping, IdPath(id): IdPath) -> http::Result<Response> {
    // Why from memory: a crowd that comes back at once reads the race once.
    let race = races.sale(RaceId(id)).await?.race;
    let states = live::states(races.watched.watch(race));
    Ok(live::respond("race", states, async move { stopping.wait().await }))
}

/// Reads all watched races in three statements, however many watch.
pub fn watched(db: Db, admission: Admission) -> Watched {
    Live::new(move |known: Vec<(RaceId, Option<Bytes>)>| {
        let (db, admission) = (db.clone(), admission.clone());
        async move { read(&db, &admission, known.into_iter().map(|(race, _)| race).collect()).await }.boxed()
    })
}

async fn read(db: &Db, admission: &Admission, wanted: Vec<RaceId>) -> Result<Vec<(RaceId, Bytes)>, DbError> {
    let mut states = Vec::with_capacity(wanted.len());
    for some in wanted.chunks(RACES_AT_ONCE) {
        let races = store::watched_races(db, some).await?;
        let offers: Vec<OfferId> = races.iter().map(|race| OfferId(race.offer_id)).collect();
        let views = admission
            .views(db, &offers)
            .await
            .map_err(|problem| DbError::Failed(anyhow::anyhow!(problem.code.code)))?;
        for (offer, race) in offers.iter().zip(&races) {
            let Some(view) = views.get(offer) else { continue };
            let state = if race.cancelled_ms.is_some() { RaceState::Cancelled } else { state_named(view.state()) };
            let courses =
                view.wanted_pools().map(|pool| CourseNow { code: pool.code.clone(), remaining: pool.remaining });
            let now = RaceNow { state, remaining: view.remaining(), waiting: view.waiting, courses: courses.collect() };
            states.push((RaceId(race.id), live::event("race", None, &now)));
        }
    }
    Ok(states)
}

/// The databases limit how many values a statement has.
const RACES_AT_ONCE: usize = 500;
