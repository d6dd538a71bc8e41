//! Races as they are, without I/O: courses, souvenirs, their pools, and what a claim for them asks.

use kernel::contracts::identity::Eligibility as Person;
use kernel::{OfferId, RaceId, UserId, UtcTime, Won};
use orderlog::{Eligibility, PoolCode, PoolRule, ReturnTo, Rules, Verified, Want, WantRule};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

mod steps;

pub use steps::{Address, NextStep, PaymentProgress, Progress, Wizard, parse_reason, quote, reason_text};

pub const COURSE_GROUP: &str = "course";
pub const SOUVENIR_GROUP: &str = "souvenir";

#[derive(Clone, Debug, PartialEq)]
pub struct Race {
    pub id: RaceId,
    pub owner: UserId,
    pub offer: OfferId,
    pub title: String,
    pub description: String,
    pub place: String,
    pub race_at_ms: i64,
    pub terms: String,
    pub terms_version: i64,
    pub souvenir_rule: SouvenirRule,
    pub souvenirs: Vec<Souvenir>,
    pub refund_rules: Vec<RefundRule>,
    pub courses: Vec<Course>,
    pub rules_edit: Option<RulesEdit>,
    pub hidden: bool,
    pub version: i64,
    pub created_ms: i64,
    pub cancelled_ms: Option<i64>,
    pub deleted_ms: Option<i64>,
}

/// A distance of a race with its own places and fee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    pub code: PoolCode,
    pub kind: CourseType,
    pub distance_m: i64,
    pub fee: Won,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CourseType {
    Km5,
    Km10,
    Half,
    Full,
    /// Any distance; says it in `distance_m`.
    Free,
}

impl CourseType {
    pub const ALL: [CourseType; 5] =
        [CourseType::Km5, CourseType::Km10, CourseType::Half, CourseType::Full, CourseType::Free];

    pub fn as_str(self) -> &'static str {
        match self {
            CourseType::Km5 => "km5",
            CourseType::Km10 => "km10",
            CourseType::Half => "half",
            CourseType::Full => "full",
            CourseType::Free => "free",
        }
    }

    pub fn parse(text: &str) -> Option<CourseType> {
        CourseType::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The length of a named distance in whole metres (World Athletics: 21,097.5 m and 42,195 m).
    pub fn distance_m(self) -> Option<i64> {
        match self {
            CourseType::Km5 => Some(5_000),
            CourseType::Km10 => Some(10_000),
            CourseType::Half => Some(21_097),
            CourseType::Full => Some(42_195),
            CourseType::Free => None,
        }
    }
}

impl Course {
    /// What the published rules call it.
    pub fn label(&self) -> String {
        match self.kind {
            CourseType::Half => "Half marathon".to_owned(),
            CourseType::Full => "Marathon".to_owned(),
            _ if self.distance_m % 1_000 == 0 => format!("{} km", self.distance_m / 1_000),
            _ => format!("{} m", self.distance_m),
        }
    }
}

/// Must a registration end up with a souvenir?
///
/// Either way a claim may bring its souvenir or leave it to the souvenir step; `required` means that the step
/// does not take none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SouvenirRule {
    #[default]
    Optional,
    Required,
}

impl SouvenirRule {
    pub fn as_str(self) -> &'static str {
        match self {
            SouvenirRule::Optional => "optional",
            SouvenirRule::Required => "required",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Souvenir {
    pub id: Uuid,
    pub name: String,
    pub sizes: Vec<String>,
}

/// A souvenir in a size, as a claim asks for it and a registration shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, garde::Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct SouvenirChoice {
    pub id: Uuid,
    pub size: String,
}

/// So many percent of the fee come back until that moment; the first rule that is not over counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRule {
    pub until_ms: i64,
    pub percent: i64,
}

/// The pool of the `size`-th size of the `souvenir`-th souvenir, both from 0.
pub fn souvenir_code(souvenir: usize, size: usize) -> String {
    format!("s{}-{}", souvenir + 1, size + 1)
}

/// Whether a code is written like a souvenir's, which no course's may be.
pub fn is_souvenir_code(code: &str) -> bool {
    souvenir_place(code).is_some()
}

fn souvenir_place(code: &str) -> Option<(usize, usize)> {
    let (souvenir, size) = code.strip_prefix('s')?.split_once('-')?;
    let number = |text: &str| text.parse::<usize>().ok()?.checked_sub(1);
    Some((number(souvenir)?, number(size)?))
}

/// The course a want names.
pub fn course_of(want: &Want) -> String {
    let course = want.units().iter().find(|(code, _)| !is_souvenir_code(code));
    course.map(|(code, _)| code.to_string()).unwrap_or_default()
}

/// The souvenir and size a want names.
pub fn souvenir_of(want: &Want, souvenirs: &[Souvenir]) -> Option<SouvenirChoice> {
    let (souvenir, size) = want.units().iter().find_map(|(code, _)| souvenir_place(code))?;
    let souvenir = souvenirs.get(souvenir)?;
    Some(SouvenirChoice { id: souvenir.id, size: souvenir.sizes.get(size)?.clone() })
}

/// One course, and at most one souvenir in one size.
pub fn want_rules(pools: &[PoolRule]) -> Vec<WantRule> {
    let mut rules = vec![WantRule { group: COURSE_GROUP.to_owned(), min: 1, max: 1 }];
    if pools.iter().any(|pool| pool.group == SOUVENIR_GROUP) {
        rules.push(WantRule { group: SOUVENIR_GROUP.to_owned(), min: 0, max: 1 });
    }
    rules
}

/// The parts of an offer's rules that an edit sets; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RulesEdit {
    pub opens_ms: Option<i64>,
    pub closes_ms: Option<i64>,
    pub hold_s: Option<u32>,
    pub waitlist: Option<bool>,
    pub waitlist_hold_s: Option<u32>,
    pub return_to: Option<ReturnTo>,
    pub eligibility: Option<Eligibility>,
    /// All pools of the courses.
    pub courses: Option<Vec<PoolRule>>,
    /// All pools of the souvenirs.
    pub souvenirs: Option<Vec<PoolRule>>,
}

impl RulesEdit {
    pub fn apply(&self, rules: &Rules) -> Rules {
        let mut new = rules.clone();
        new.opens_ms = self.opens_ms.unwrap_or(rules.opens_ms);
        new.closes_ms = self.closes_ms.unwrap_or(rules.closes_ms);
        new.hold_s = self.hold_s.unwrap_or(rules.hold_s);
        new.waitlist = self.waitlist.unwrap_or(rules.waitlist);
        new.waitlist_hold_s = self.waitlist_hold_s.unwrap_or(rules.waitlist_hold_s);
        new.return_to = self.return_to.unwrap_or(rules.return_to);
        new.eligibility = self.eligibility.clone().unwrap_or_else(|| rules.eligibility.clone());
        for (group, pools) in [(COURSE_GROUP, &self.courses), (SOUVENIR_GROUP, &self.souvenirs)] {
            if let Some(pools) = pools {
                new.pools.retain(|pool| pool.group != group);
                new.pools.extend(pools.iter().cloned());
            }
        }
        new.pools.sort_by_key(|pool| pool.code);
        new.want = want_rules(&new.pools);
        new
    }
}

/// Whether the rules ask anything of a person that only identity knows.
pub fn asks_something(rules: &Eligibility) -> bool {
    rules.account_before_ms.is_some()
        || rules.verified != Verified::None
        || rules.age_min.is_some()
        || rules.age_max.is_some()
}

/// The rule that a person does not meet. Ages are those of the race day; who gave no birth date meets no age rule.
pub fn unmet_rule(rules: &Eligibility, person: &Person, race_day: chrono::NaiveDate) -> Option<&'static str> {
    let verified = match rules.verified {
        Verified::None => true,
        Verified::Email => person.email_verified,
        Verified::Phone => person.phone_verified,
        Verified::Identity => person.identity_verified,
    };
    let age = person.birth_date.and_then(|born| race_day.years_since(born));
    let checks = [
        ("account_before", rules.account_before_ms.is_none_or(|before_ms| person.created_ms < before_ms)),
        ("verified", verified),
        ("age_min", rules.age_min.is_none_or(|min| age.is_some_and(|age| age >= min))),
        ("age_max", rules.age_max.is_none_or(|max| age.is_some_and(|age| age <= max))),
    ];
    checks.into_iter().find(|(_, met)| !met).map(|(rule, _)| rule)
}

/// The calendar day of a moment, `offset_s` east of UTC.
pub fn day_of(time: UtcTime, offset_s: i32) -> Option<chrono::NaiveDate> {
    let zone = chrono::FixedOffset::east_opt(offset_s)?;
    Some(chrono::DateTime::from_timestamp_millis(time.0)?.with_timezone(&zone).date_naive())
}

#[cfg(test)]
mod tests;
