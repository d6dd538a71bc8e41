//! `GET /api/v1/races/{id}`: a race and its sale as they are now.

use axum::Json;
use axum::extract::State;
use kernel::{OfferId, RaceId, UserId, UtcTime, Won};
use platform::admission::OfferView;
use platform::db::Query;
use platform::http::{IdPath, Problem, Result, codes};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::model::{CourseType, Race, SouvenirRule, souvenir_code};
use crate::store::RaceState;
use crate::terms::{EligibilityBody, Reception, RefundRuleBody, ReturnPolicy};
use crate::{Races, access};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Race)]
pub struct RaceBody {
    pub id: RaceId,
    pub owner_id: UserId,
    pub offer_id: OfferId,
    /// Counts the edits of the race; an offer counts its own.
    pub version: i64,
    pub state: RaceState,
    pub title: String,
    pub description: String,
    pub place: String,
    pub reception: Reception,
    pub race_at: UtcTime,
    pub opens_at: UtcTime,
    pub closes_at: UtcTime,
    /// What a countdown counts from.
    pub server_time: UtcTime,
    pub courses: Vec<CourseBody>,
    /// Of the course, where there is one only.
    #[serde(rename = "type")]
    pub kind: Option<CourseType>,
    /// Of the course, where there is one only.
    pub fee_won: Option<Won>,
    /// Places of all courses.
    pub capacity: i64,
    pub held_back: i64,
    /// Places anybody may still take: capacity less what is taken and held back.
    pub remaining: i64,
    /// People in the line.
    pub waiting: i64,
    pub hold_s: u32,
    pub waitlist: bool,
    pub waitlist_hold_s: u32,
    pub return_to: ReturnPolicy,
    pub terms: String,
    /// Rises with each change of the terms' text.
    pub terms_version: i64,
    pub souvenir_rule: SouvenirRule,
    pub souvenirs: Vec<SouvenirBody>,
    pub refund_rules: Vec<RefundRuleBody>,
    pub eligibility: EligibilityBody,
    pub created_at: UtcTime,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Course)]
pub struct CourseBody {
    pub code: String,
    #[serde(rename = "type")]
    pub kind: CourseType,
    pub distance_m: i64,
    pub fee_won: Won,
    pub capacity: i64,
    pub held_back: i64,
    pub taken: i64,
    pub remaining: i64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Souvenir)]
pub struct SouvenirBody {
    pub id: Uuid,
    pub name: String,
    pub sizes: Vec<SizeBody>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Size)]
pub struct SizeBody {
    pub size: String,
    pub stock: i64,
    pub remaining: i64,
}

/// One race.
///
/// Hidden races (rehearsals) are shown to whoever knows their id.
#[utoipa::path(get, path = "/api/v1/races/{id}", operation_id = "read_race",
    tag = "races", params(("id" = Uuid, Path)),
    responses((status = 200, body = RaceBody)), security(()))]
pub async fn read(State(races): State<Races>, IdPath(id): IdPath) -> Result<Json<RaceBody>> {
    let race = access::race(&races.db, RaceId(id)).await?;
    Ok(Json(races.body(&races.db, race).await?))
}

impl Races {
    /// A race as its sale stands in `q`.
    pub async fn body(&self, q: &impl Query, race: Race) -> Result<RaceBody> {
        let view = self.admission.view(q, race.offer).await?;
        Ok(RaceBody::new(race, &view))
    }

    pub async fn bodies(&self, q: &impl Query, list: Vec<Race>) -> Result<Vec<RaceBody>> {
        let offers: Vec<OfferId> = list.iter().map(|race| race.offer).collect();
        let views = self.admission.views(q, &offers).await?;
        let body = |race: Race| {
            let view = views.get(&race.offer).ok_or_else(|| Problem::new(&codes::INTERNAL))?;
            Ok(RaceBody::new(race, view))
        };
        list.into_iter().map(body).collect()
    }
}

impl RaceBody {
    pub fn new(race: Race, view: &OfferView) -> Self {
        let courses: Vec<CourseBody> = race.courses.iter().map(|course| CourseBody::new(course, view)).collect();
        let souvenirs =
            race.souvenirs.iter().enumerate().map(|(at, souvenir)| SouvenirBody::new(at, souvenir, view)).collect();
        let only = match &race.courses[..] {
            [only] => Some(only),
            _ => None,
        };
        let refund_rules = race.refund_rules.iter();
        Self {
            id: race.id,
            owner_id: race.owner,
            offer_id: race.offer,
            version: race.version,
            state: state_of(&race, view),
            kind: only.map(|course| course.kind),
            fee_won: only.map(|course| course.fee),
            capacity: courses.iter().map(|course| course.capacity).sum(),
            held_back: courses.iter().map(|course| course.held_back).sum(),
            remaining: courses.iter().map(|course| course.remaining).sum(),
            waiting: view.waiting,
            reception: Reception::FirstCome,
            race_at: UtcTime(race.race_at_ms),
            opens_at: UtcTime(view.opens_ms),
            closes_at: UtcTime(view.closes_ms),
            server_time: UtcTime(view.now_ms),
            hold_s: view.rules.hold_s,
            waitlist: view.rules.waitlist,
            waitlist_hold_s: view.rules.waitlist_hold_s,
            return_to: view.rules.return_to.into(),
            refund_rules: refund_rules
                .map(|rule| RefundRuleBody { until: UtcTime(rule.until_ms), percent: rule.percent })
                .collect(),
            eligibility: (&view.rules.eligibility).into(),
            souvenir_rule: race.souvenir_rule,
            terms_version: race.terms_version,
            created_at: UtcTime(race.created_ms),
            title: race.title,
            description: race.description,
            place: race.place,
            terms: race.terms,
            courses,
            souvenirs,
        }
    }
}

impl CourseBody {
    fn new(course: &crate::model::Course, view: &OfferView) -> Self {
        let pool = view.pool(&course.code);
        Self {
            code: course.code.to_string(),
            kind: course.kind,
            distance_m: course.distance_m,
            fee_won: course.fee,
            capacity: pool.map_or(0, |pool| pool.capacity),
            held_back: pool.map_or(0, |pool| pool.held_back),
            taken: pool.map_or(0, |pool| pool.taken),
            remaining: pool.map_or(0, |pool| pool.remaining),
        }
    }
}

impl SouvenirBody {
    fn new(at: usize, souvenir: &crate::model::Souvenir, view: &OfferView) -> Self {
        let size = |(nth, size): (usize, &String)| {
            let pool = view.pool(&souvenir_code(at, nth));
            SizeBody {
                size: size.clone(),
                stock: pool.map_or(0, |pool| pool.capacity),
                remaining: pool.map_or(0, |pool| pool.remaining),
            }
        };
        Self {
            id: souvenir.id,
            name: souvenir.name.clone(),
            sizes: souvenir.sizes.iter().enumerate().map(size).collect(),
        }
    }
}

fn state_of(race: &Race, view: &OfferView) -> RaceState {
    if race.cancelled_ms.is_some() {
        return RaceState::Cancelled;
    }
    state_named(view.state())
}

/// An offer's state as its race shows it.
pub fn state_named(state: &str) -> RaceState {
    match state {
        "scheduled" => RaceState::Scheduled,
        "open" => RaceState::Open,
        "paused" => RaceState::Paused,
        "sold_out" => RaceState::SoldOut,
        _ => RaceState::Closed,
    }
}
