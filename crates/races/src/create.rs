//! `POST /api/v1/races`: an organiser puts a race up for sale.

use axum::extract::State;
use axum::http::StatusCode;
use garde::Validate;
use kernel::{OfferId, RaceId, UserId, UtcTime};
use orderlog::{ConfirmMode, Eligibility, Policy, PoolRule, Rules};
use platform::db::Tx;
use platform::http::auth::Company;
use platform::http::{Body, Idempotency, Problem, Remembered, Result};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::model::{CourseType, Race, SouvenirRule, want_rules};
use crate::read::RaceBody;
use crate::terms::{
    CourseInput, EligibilityBody, Faults, Reception, RefundRuleBody, ReturnPolicy, SouvenirInput, check_eligibility,
    check_text, check_times, courses_of, refund_rules_of, souvenirs_of,
};
use crate::{Races, events, store};
use platform::http::once;

/// A race to be. Either `courses`, or `type`, `capacity` and `fee_won` of the only one.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct CreateRace {
    #[garde(length(chars, min = 1, max = 100))]
    #[schema(min_length = 1, max_length = 100)]
    pub title: String,
    #[serde(default)]
    #[garde(length(chars, max = 10_000))]
    #[schema(max_length = 10_000)]
    pub description: String,
    pub reception: Reception,
    pub opens_at: UtcTime,
    pub closes_at: UtcTime,
    pub race_at: UtcTime,
    #[garde(length(chars, min = 1, max = 100))]
    #[schema(min_length = 1, max_length = 100)]
    pub place: String,
    #[garde(dive)]
    #[schema(min_items = 1, max_items = 20)]
    pub courses: Option<Vec<CourseInput>>,
    #[serde(rename = "type")]
    pub kind: Option<CourseType>,
    /// Of a single `free` course.
    #[garde(range(min = 1, max = 1_000_000))]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub distance_m: Option<i64>,
    #[garde(range(min = 1, max = 1_000_000))]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub capacity: Option<u32>,
    #[garde(range(min = 0, max = 10_000_000))]
    #[schema(minimum = 0, maximum = 10_000_000)]
    pub fee_won: Option<i64>,
    /// Of the single course; with `courses` each says its own.
    #[garde(range(min = 0, max = 1_000_000))]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub held_back: Option<u32>,
    #[serde(default = "hold_s_default")]
    #[garde(range(min = 60, max = 86_400))]
    #[schema(minimum = 60, maximum = 86_400, default = 600)]
    pub hold_s: u32,
    #[serde(default)]
    pub waitlist: bool,
    #[serde(default = "waitlist_hold_s_default")]
    #[garde(range(min = 60, max = 2_592_000))]
    #[schema(minimum = 60, maximum = 2_592_000, default = 86_400)]
    pub waitlist_hold_s: u32,
    #[serde(default)]
    pub return_to: ReturnPolicy,
    #[serde(default)]
    #[garde(length(chars, max = 50_000))]
    #[schema(max_length = 50_000)]
    pub terms: String,
    #[serde(default)]
    pub souvenir_rule: SouvenirRule,
    #[serde(default)]
    #[garde(length(max = 20), dive)]
    #[schema(max_items = 20)]
    pub souvenirs: Vec<SouvenirInput>,
    #[serde(default)]
    #[garde(length(max = 20), dive)]
    #[schema(max_items = 20)]
    pub refund_rules: Vec<RefundRuleBody>,
    #[serde(default)]
    #[garde(dive)]
    pub eligibility: EligibilityBody,
}

fn hold_s_default() -> u32 {
    600
}

fn waitlist_hold_s_default() -> u32 {
    86_400
}

/// Create a race.
#[utoipa::path(post, path = "/api/v1/races", operation_id = "create_race",
    tag = "races", request_body = CreateRace,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = RaceBody)), security(("bearer" = [])))]
pub async fn create(
    State(races): State<Races>,
    Company(caller): Company,
    key: Idempotency,
    body: Body<CreateRace>,
) -> Result<Remembered> {
    body.value.reception.check()?;
    let plan = body.value.plan(&races, caller.user, races.clock.now_ms())?;
    let db = races.db.clone();
    once(&db, key, caller.user, "races.create", body.sha, move |tx| {
        let (races, plan) = (races.clone(), plan.clone());
        Box::pin(async move {
            races.publish(tx, &plan).await?;
            let body = races.body(tx, plan.race).await?;
            Ok(Remembered::of(StatusCode::CREATED, &body))
        })
    })
    .await
}

/// A race that obeys its rules, ready to be written.
#[derive(Clone)]
pub struct Plan {
    pub race: Race,
    pub rules: Rules,
}

impl CreateRace {
    fn plan(&self, races: &Races, owner: UserId, now_ms: i64) -> Result<Plan> {
        let mut faults = Faults::none();
        check_text(&mut faults, "title", &self.title);
        check_text(&mut faults, "place", &self.place);
        check_times(&mut faults, self.opens_at, self.closes_at, self.race_at);
        faults.expect(self.closes_at.0 > now_ms, "closes_at", "past", "it closes in the future");
        check_eligibility(&mut faults, &self.eligibility);
        let inputs = self.course_inputs(&mut faults);
        let (courses, mut pools) = courses_of(&mut faults, &inputs);
        let (souvenirs, stocks) = souvenirs_of(&mut faults, &self.souvenirs, &[]);
        pools.extend(stocks);
        let refund_rules = refund_rules_of(&mut faults, &self.refund_rules);
        faults.finish()?;
        let race = Race {
            id: RaceId::fresh(),
            owner,
            offer: OfferId::fresh(),
            title: self.title.trim().to_owned(),
            description: self.description.clone(),
            place: self.place.trim().to_owned(),
            race_at_ms: self.race_at.0,
            terms: self.terms.clone(),
            terms_version: 1,
            souvenir_rule: self.souvenir_rule,
            souvenirs,
            refund_rules,
            courses,
            rules_edit: None,
            hidden: false,
            version: 1,
            created_ms: now_ms,
            cancelled_ms: None,
            deleted_ms: None,
        };
        let mut rules = races.rules(race.offer, self.opens_at.0, self.closes_at.0, pools);
        rules.hold_s = self.hold_s;
        rules.waitlist = self.waitlist;
        rules.waitlist_hold_s = self.waitlist_hold_s;
        rules.return_to = self.return_to.into();
        rules.eligibility = Eligibility::from(&self.eligibility);
        Ok(Plan { race, rules })
    }

    /// The courses as a list, whichever way they were told.
    fn course_inputs(&self, faults: &mut Faults) -> Vec<CourseInput> {
        let short = self.kind.is_some()
            || self.capacity.is_some()
            || self.fee_won.is_some()
            || self.distance_m.is_some()
            || self.held_back.is_some();
        match (&self.courses, self.kind, self.capacity, self.fee_won) {
            (Some(courses), ..) => {
                faults.expect(!short, "courses", "either", "say either courses, or type, capacity and fee_won");
                courses.clone()
            }
            (None, Some(kind), Some(capacity), Some(fee_won)) => vec![CourseInput {
                code: kind.as_str().to_owned(),
                kind,
                distance_m: self.distance_m,
                capacity,
                fee_won,
                held_back: self.held_back.unwrap_or(0),
            }],
            _ => {
                for (field, given) in [
                    ("type", self.kind.is_some()),
                    ("capacity", self.capacity.is_some()),
                    ("fee_won", self.fee_won.is_some()),
                ] {
                    faults.expect(given, field, "required", "say either courses, or type, capacity and fee_won");
                }
                Vec::new()
            }
        }
    }
}

impl Races {
    /// The rules of a race's offer, with all that its organiser did not say.
    pub fn rules(&self, offer: OfferId, opens_ms: i64, closes_ms: i64, mut pools: Vec<PoolRule>) -> Rules {
        pools.sort_by_key(|pool| pool.code);
        Rules {
            format: 1,
            offer: offer.0,
            opens_ms,
            closes_ms,
            policy: Policy::FirstCome,
            hold_s: hold_s_default(),
            waitlist: false,
            waitlist_hold_s: waitlist_hold_s_default(),
            line_after_close: false,
            return_to: ReturnPolicy::default().into(),
            confirm: ConfirmMode::Later,
            per_person: 1,
            units_max: 1,
            paying_max_s: self.config.paying_max_s,
            refusals_logged_max: self.config.refusals_logged_max,
            eligibility: Eligibility::from(&EligibilityBody::default()),
            want: want_rules(&pools),
            pools,
        }
    }

    /// Writes a race, its offer and the event that tells of it.
    pub async fn publish(&self, tx: &Tx, plan: &Plan) -> std::result::Result<(), Problem> {
        store::insert_race(tx, &plan.race).await?;
        self.admission.create(tx, plan.rules.clone()).await?;
        events::tell(tx, &plan.race, "created", plan.race.owner).await?;
        Ok(())
    }
}
