//! `GET|PUT /api/v1/races/{id}/offer`: the sale's public state, and the organiser's hand on it.

use axum::Json;
use axum::extract::State;
use garde::Validate;
use kernel::{OfferId, RaceId, UserId, UtcTime};
use orderlog::origin;
use platform::admission::{HandChange, OfferView, PoolView};
use platform::http::auth::Company;
use platform::http::{Body, IdPath, IfMatch, Problem, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::CANCELLED;
use crate::model::Race;
use crate::terms::{Faults, check_text};
use crate::{Races, access};

/// A change of a running sale; what is absent stays.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct AdjustOffer {
    /// The course that `capacity` and `held_back` are about; needed where there are several.
    pub course: Option<String>,
    #[garde(range(min = 1, max = 1_000_000))]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub capacity: Option<u32>,
    /// Places that only the organiser's hand gives.
    #[garde(range(min = 0, max = 1_000_000))]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub held_back: Option<u32>,
    pub paused: Option<bool>,
    /// Not after now closes at once, and for good.
    pub closes_at: Option<UtcTime>,
    #[garde(length(chars, min = 1, max = 500))]
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Offer)]
pub struct OfferBody {
    pub offer_id: OfferId,
    /// The name of its newest order log.
    pub origin: String,
    /// Counts the logs of this offer from 1. A later one was begun anew after a restore and says which leaves of the one
    /// before it follows; all of them are below `logs/{k}`.
    pub log_no: u32,
    /// The path below which the order log is.
    pub prefix: String,
    /// `scheduled`, `open`, `paused`, `sold_out` or `closed`.
    pub state: String,
    /// Counts the rules, not the claims.
    pub version: i64,
    pub opens_at: UtcTime,
    pub closes_at: UtcTime,
    pub server_time: UtcTime,
    pub pools: Vec<PoolBody>,
    pub waiting: i64,
    /// Leaves in the newest order log.
    pub size: i64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Pool)]
pub struct PoolBody {
    pub code: String,
    pub label: String,
    pub group: String,
    pub capacity: i64,
    pub held_back: i64,
    pub taken: i64,
    pub remaining: i64,
}

/// A race's offer.
#[utoipa::path(get, path = "/api/v1/races/{id}/offer", operation_id = "read_offer",
    tag = "races", params(("id" = Uuid, Path)),
    responses((status = 200, body = OfferBody)), security(()))]
pub async fn read(State(races): State<Races>, IdPath(id): IdPath) -> Result<Json<OfferBody>> {
    let race = access::race(&races.db, RaceId(id)).await?;
    let view = races.admission.view(&races.db, race.offer).await?;
    Ok(Json(OfferBody::new(race.id, &view)))
}

/// Change a running sale by the organiser's hand.
///
/// Each change is kept with its reason and is a leaf of the public order log.
#[utoipa::path(put, path = "/api/v1/races/{id}/offer", operation_id = "adjust_offer",
    tag = "races", request_body = AdjustOffer,
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = OfferBody)), security(("bearer" = [])))]
pub async fn adjust(
    State(races): State<Races>,
    Company(caller): Company,
    IdPath(id): IdPath,
    if_match: IfMatch,
    body: Body<AdjustOffer>,
) -> Result<Json<OfferBody>> {
    let race = access::managed(&races.db, RaceId(id), &caller).await?;
    Ok(Json(races.adjust(&race, caller.user, &if_match, body.value).await?))
}

impl Races {
    /// Applies a change by the organiser's hand, or by the yard's own command line.
    pub async fn adjust(
        &self,
        race: &Race,
        actor: UserId,
        if_match: &IfMatch,
        change: AdjustOffer,
    ) -> Result<OfferBody> {
        if race.cancelled_ms.is_some() {
            return Err(Problem::new(&CANCELLED));
        }
        let pool = change.check(race)?;
        let hand = HandChange {
            pool,
            capacity: change.capacity,
            held_back: change.held_back,
            paused: change.paused,
            closes_ms: change.closes_at.map(|time| time.0),
            version: if_match.0,
            edit: None,
        };
        let view = self.admission.hand(race.offer, actor, change.reason.trim(), hand).await?;
        self.sales.forget(race.id);
        Ok(OfferBody::new(race.id, &view))
    }
}

impl AdjustOffer {
    /// Checks what the fields say together; answers the pool the counts are about.
    fn check(&self, race: &Race) -> Result<Option<String>> {
        let mut faults = Faults::none();
        check_text(&mut faults, "reason", &self.reason);
        let counts = self.capacity.is_some() || self.held_back.is_some();
        let anything = counts || self.paused.is_some() || self.closes_at.is_some();
        faults.expect(anything, "", "required", "say what to change: capacity, held_back, paused or closes_at");
        let pool = match (&self.course, &race.courses[..]) {
            (Some(code), courses) => {
                let known = courses.iter().any(|course| course.code.as_str() == code);
                faults.expect(known, "course", "unknown", "this race has no such course");
                Some(code.clone())
            }
            (None, [only]) => Some(only.code.to_string()),
            (None, _) => {
                faults.expect(!counts, "course", "required", "this race has several courses: say which");
                None
            }
        };
        faults.finish()?;
        Ok(pool.filter(|_| counts))
    }
}

impl OfferBody {
    pub fn new(race: RaceId, view: &OfferView) -> Self {
        let pool = |pool: &PoolView| PoolBody {
            code: pool.code.clone(),
            label: pool.label.clone(),
            group: pool.group.clone(),
            capacity: pool.capacity,
            held_back: pool.held_back,
            taken: pool.taken,
            remaining: pool.remaining,
        };
        Self {
            offer_id: view.offer_id,
            origin: origin(&view.base, view.log_no),
            log_no: view.log_no,
            prefix: format!("/api/v1/races/{race}/offer"),
            state: view.state().to_owned(),
            version: view.version,
            opens_at: UtcTime(view.opens_ms),
            closes_at: UtcTime(view.closes_ms),
            server_time: UtcTime(view.now_ms),
            pools: view.pools.iter().map(pool).collect(),
            waiting: view.waiting,
            size: view.size,
        }
    }
}
