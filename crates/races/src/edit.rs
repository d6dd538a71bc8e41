//! `PATCH /api/v1/races/{id}`: the organiser changes his race; once the sale has started its terms stand.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use kernel::{RaceId, UserId, UtcTime};
use orderlog::{Eligibility, PoolRule, Rules};
use platform::admission::HandChange;
use platform::audit;
use platform::http::auth::Company;
use platform::http::{Body, IdPath, IfMatch, Problem, Result, codes};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::error::{CANCELLED, TERMS_FROZEN};
use crate::model::{COURSE_GROUP, CourseType, Race, RulesEdit, SOUVENIR_GROUP, SouvenirRule};
use crate::read::RaceBody;
use crate::terms::{
    CourseInput, EligibilityBody, Faults, Reception, RefundRuleBody, ReturnPolicy, SouvenirInput, check_eligibility,
    check_text, check_times, courses_of, refund_rules_of, souvenirs_of,
};
use crate::{Races, access, events, store};

/// What to change; what is absent or null stays. Before the sale starts anything; then title, description, place
/// and race day, while capacity, pause and closing go by the organiser's hand (`PUT …/offer`).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields, default)]
#[garde(allow_unvalidated)]
pub struct EditRace {
    #[garde(length(chars, min = 1, max = 100))]
    #[schema(min_length = 1, max_length = 100)]
    pub title: Option<String>,
    #[garde(length(chars, max = 10_000))]
    #[schema(max_length = 10_000)]
    pub description: Option<String>,
    #[garde(length(chars, min = 1, max = 100))]
    #[schema(min_length = 1, max_length = 100)]
    pub place: Option<String>,
    pub race_at: Option<UtcTime>,
    pub reception: Option<Reception>,
    pub opens_at: Option<UtcTime>,
    pub closes_at: Option<UtcTime>,
    #[garde(dive)]
    #[schema(min_items = 1, max_items = 20)]
    pub courses: Option<Vec<CourseInput>>,
    /// Of the only course, as are the next four.
    #[serde(rename = "type")]
    pub kind: Option<CourseType>,
    #[garde(range(min = 1, max = 1_000_000))]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub distance_m: Option<i64>,
    #[garde(range(min = 1, max = 1_000_000))]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub capacity: Option<u32>,
    #[garde(range(min = 0, max = 10_000_000))]
    #[schema(minimum = 0, maximum = 10_000_000)]
    pub fee_won: Option<i64>,
    #[garde(range(min = 0, max = 1_000_000))]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub held_back: Option<u32>,
    #[garde(range(min = 60, max = 86_400))]
    #[schema(minimum = 60, maximum = 86_400)]
    pub hold_s: Option<u32>,
    pub waitlist: Option<bool>,
    #[garde(range(min = 60, max = 2_592_000))]
    #[schema(minimum = 60, maximum = 2_592_000)]
    pub waitlist_hold_s: Option<u32>,
    pub return_to: Option<ReturnPolicy>,
    #[garde(length(chars, max = 50_000))]
    #[schema(max_length = 50_000)]
    pub terms: Option<String>,
    pub souvenir_rule: Option<SouvenirRule>,
    #[garde(length(max = 20), dive)]
    #[schema(max_items = 20)]
    pub souvenirs: Option<Vec<SouvenirInput>>,
    #[garde(length(max = 20), dive)]
    #[schema(max_items = 20)]
    pub refund_rules: Option<Vec<RefundRuleBody>>,
    #[garde(dive)]
    pub eligibility: Option<EligibilityBody>,
}

/// Edit a race.
#[utoipa::path(patch, path = "/api/v1/races/{id}", operation_id = "edit_race",
    tag = "races", request_body = EditRace,
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = RaceBody)), security(("bearer" = [])))]
pub async fn edit(
    State(races): State<Races>,
    Company(caller): Company,
    IdPath(id): IdPath,
    if_match: IfMatch,
    body: Body<EditRace>,
) -> Result<Json<RaceBody>> {
    let before = access::managed(&races.db, RaceId(id), &caller).await?;
    if before.cancelled_ms.is_some() {
        return Err(Problem::new(&CANCELLED));
    }
    if_match.check(before.version)?;
    let edit = body.value;
    if let Some(reception) = edit.reception {
        reception.check()?;
    }
    // An earlier edit that the offer has not taken over yet would be lost under this one.
    races.follow_rules(before.id).await?;
    let view = races.admission.view(&races.db, before.offer).await?;
    let after = edit.applied(&before, &view.rules, view.now_ms)?;
    let started = view.now_ms >= view.opens_ms || store::has_claims(&races.db, before.offer).await?;
    if started && after.touches_terms(&before) {
        return Err(Problem::new(&TERMS_FROZEN).with("state", view.state()));
    }
    if after.rules.is_some() || after.race != before {
        races.write_edit(before, after, &edit, caller.user, view).await?;
    }
    let now = access::race(&races.db, RaceId(id)).await?;
    Ok(Json(races.body(&races.db, now).await?))
}

/// A race as an edit leaves it, and the edit's part that is the offer's.
struct Edited {
    race: Race,
    rules: Option<RulesEdit>,
}

impl Edited {
    /// Does it change what people signed up for?
    fn touches_terms(&self, before: &Race) -> bool {
        let terms = |race: &Race| {
            (
                race.terms.clone(),
                race.souvenir_rule,
                race.souvenirs.clone(),
                race.refund_rules.clone(),
                race.courses.clone(),
            )
        };
        self.rules.is_some() || terms(&self.race) != terms(before)
    }
}

impl EditRace {
    fn applied(&self, before: &Race, rules: &Rules, now_ms: i64) -> Result<Edited> {
        let mut faults = Faults::none();
        let mut race = Race { rules_edit: None, ..before.clone() };
        let mut edit = RulesEdit::default();
        if let Some(title) = &self.title {
            check_text(&mut faults, "title", title);
            race.title = title.trim().to_owned();
        }
        if let Some(place) = &self.place {
            check_text(&mut faults, "place", place);
            race.place = place.trim().to_owned();
        }
        if let Some(description) = &self.description {
            race.description = description.clone();
        }
        race.race_at_ms = self.race_at.map_or(race.race_at_ms, |time| time.0);
        if let Some(terms) = self.terms.as_ref().filter(|terms| **terms != before.terms) {
            race.terms = terms.clone();
            race.terms_version += 1;
        }
        race.souvenir_rule = self.souvenir_rule.unwrap_or(race.souvenir_rule);
        if let Some(inputs) = &self.refund_rules {
            race.refund_rules = refund_rules_of(&mut faults, inputs);
        }
        if let Some(inputs) = self.course_inputs(before, rules, &mut faults) {
            let (courses, pools) = courses_of(&mut faults, &inputs);
            race.courses = courses;
            edit.courses = changed_pools(rules, COURSE_GROUP, pools);
        }
        if let Some(inputs) = &self.souvenirs {
            let (souvenirs, pools) = souvenirs_of(&mut faults, inputs, &before.souvenirs);
            race.souvenirs = souvenirs;
            edit.souvenirs = changed_pools(rules, SOUVENIR_GROUP, pools);
        }
        self.rule_fields(rules, &mut edit, &mut faults);
        let opens = UtcTime(edit.opens_ms.unwrap_or(rules.opens_ms));
        let closes = UtcTime(edit.closes_ms.unwrap_or(rules.closes_ms));
        if self.opens_at.is_some() || self.closes_at.is_some() || self.race_at.is_some() {
            check_times(&mut faults, opens, closes, UtcTime(race.race_at_ms));
        }
        let ahead = edit.closes_ms.is_none_or(|closes_ms| closes_ms > now_ms);
        faults.expect(ahead, "closes_at", "past", "it closes in the future");
        faults.finish()?;
        let rules = (edit != RulesEdit::default()).then_some(edit);
        Ok(Edited { race, rules })
    }

    /// What the edit sets of the rules besides their pools, where it differs.
    fn rule_fields(&self, rules: &Rules, edit: &mut RulesEdit, faults: &mut Faults) {
        edit.opens_ms = self.opens_at.map(|time| time.0).filter(|ms| *ms != rules.opens_ms);
        edit.closes_ms = self.closes_at.map(|time| time.0).filter(|ms| *ms != rules.closes_ms);
        edit.hold_s = self.hold_s.filter(|hold_s| *hold_s != rules.hold_s);
        edit.waitlist = self.waitlist.filter(|waitlist| *waitlist != rules.waitlist);
        edit.waitlist_hold_s = self.waitlist_hold_s.filter(|hold_s| *hold_s != rules.waitlist_hold_s);
        edit.return_to = self.return_to.map(Into::into).filter(|policy| *policy != rules.return_to);
        if let Some(eligibility) = &self.eligibility {
            check_eligibility(faults, eligibility);
            edit.eligibility = Some(Eligibility::from(eligibility)).filter(|new| *new != rules.eligibility);
        }
    }

    /// The courses as a list, whichever way they were told; none where they stay.
    fn course_inputs(&self, before: &Race, rules: &Rules, faults: &mut Faults) -> Option<Vec<CourseInput>> {
        let short = self.kind.is_some()
            || self.distance_m.is_some()
            || self.capacity.is_some()
            || self.fee_won.is_some()
            || self.held_back.is_some();
        if let Some(courses) = &self.courses {
            faults.expect(!short, "courses", "either", "say either courses, or type, capacity and fee_won");
            return Some(courses.clone());
        }
        let [only] = &before.courses[..] else {
            faults.expect(!short, "courses", "required", "this race has several courses: say all of them");
            return None;
        };
        let pool = rules.pool(&only.code).filter(|_| short)?;
        let kind = self.kind.unwrap_or(only.kind);
        let free = kind == CourseType::Free;
        Some(vec![CourseInput {
            code: if kind == only.kind { only.code.to_string() } else { kind.as_str().to_owned() },
            kind,
            distance_m: self.distance_m.or_else(|| (free && only.kind == kind).then_some(only.distance_m)),
            capacity: self.capacity.unwrap_or(pool.capacity),
            fee_won: self.fee_won.unwrap_or(only.fee.0),
            held_back: self.held_back.unwrap_or(pool.held_back),
        }])
    }
}

/// The pools of a group, unless the rules have just those.
fn changed_pools(rules: &Rules, group: &str, mut pools: Vec<PoolRule>) -> Option<Vec<PoolRule>> {
    pools.sort_by_key(|pool| pool.code);
    let same = rules.pools.iter().filter(|pool| pool.group == group).eq(&pools);
    (!same).then_some(pools)
}

impl Races {
    /// Writes the race with what its offer has still to take over, then has it do so.
    async fn write_edit(
        &self,
        before: Race,
        after: Edited,
        edit: &EditRace,
        actor: UserId,
        view: platform::admission::OfferView,
    ) -> Result<()> {
        let id = before.id;
        let race = Race { rules_edit: after.rules, ..after.race };
        let told = json!(edit);
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    let now_ms = tx.now_ms().await?;
                    if !store::update_race(tx, &race, actor, now_ms).await? {
                        return Err(Problem::new(&codes::VERSION));
                    }
                    let entry = audit::Entry {
                        actor: Some(actor),
                        action: "race.edit",
                        subject: race.id.to_string(),
                        reason: None,
                        before: json!(RaceBody::new(before, &view)),
                        after: told,
                    };
                    audit::record(tx, entry).await?;
                    events::tell(tx, &race, "edited", actor).await?;
                    Ok(())
                })
            })
            .await?;
        self.follow_rules(id).await
    }

    /// Has the offer take over what an edit of its race left for it; nothing to do is fine.
    ///
    /// Why two steps: rules change through the offer's own queue. What a crash leaves between them, the job does.
    pub async fn follow_rules(&self, id: RaceId) -> Result<()> {
        let Some(race) = store::find_race(&self.db, id).await? else { return Ok(()) };
        let Some(edit) = race.rules_edit else { return Ok(()) };
        let change = {
            let edit = edit.clone();
            HandChange {
                edit: Some(Arc::new(move |rules: &mut Rules| *rules = edit.apply(rules))),
                ..Default::default()
            }
        };
        let done = self.admission.hand(race.offer, race.owner, "the race was edited", change).await.map(|_view| ());
        if let Err(problem) = &done {
            if problem.status() == 503 {
                return done;
            }
            tracing::error!(race.id = %id, code = problem.code.code, "an edit was refused by its offer and is dropped");
        }
        self.db.write(move |tx| Box::pin(async move { store::clear_rules_edit(tx, id, &edit).await })).await?;
        self.sales.forget(id);
        done
    }
}
