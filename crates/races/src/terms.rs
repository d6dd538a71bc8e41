//! The parts of a race's terms as requests bring them and answers show them, and the rules they obey together.

use garde::Validate;
use kernel::{UtcTime, Won};
use orderlog::{Eligibility, PoolCode, PoolRule, ReturnTo, Verified};
use platform::http::{Problem, codes};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::LOTTERY_UNAVAILABLE;
use crate::model::{
    COURSE_GROUP, Course, CourseType, RefundRule, SOUVENIR_GROUP, Souvenir, is_souvenir_code, souvenir_code,
};

const COURSES_MAX: usize = 20;
const SOUVENIRS_MAX: usize = 20;
const SIZES_MAX: usize = 20;
const REFUND_RULES_MAX: usize = 20;

/// How places are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reception {
    FirstCome,
    /// Refused with 422 `races/lottery-unavailable` for now.
    Lottery,
}

impl Reception {
    pub fn check(self) -> Result<(), Problem> {
        match self {
            Reception::FirstCome => Ok(()),
            Reception::Lottery => Err(Problem::new(&LOTTERY_UNAVAILABLE)),
        }
    }
}

/// Who gets a place that was returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReturnPolicy {
    /// The wait list, first in it first.
    #[default]
    Line,
    /// Whoever clicks next.
    Pool,
}

impl From<ReturnPolicy> for ReturnTo {
    fn from(policy: ReturnPolicy) -> Self {
        match policy {
            ReturnPolicy::Line => ReturnTo::Line,
            ReturnPolicy::Pool => ReturnTo::Pool,
        }
    }
}

impl From<ReturnTo> for ReturnPolicy {
    fn from(policy: ReturnTo) -> Self {
        match policy {
            ReturnTo::Line => ReturnPolicy::Line,
            ReturnTo::Pool => ReturnPolicy::Pool,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct CourseInput {
    /// `[a-z0-9-]{1,16}`, unlike the souvenirs' `s<i>-<j>`.
    #[garde(length(chars, min = 1, max = 16))]
    #[schema(min_length = 1, max_length = 16, pattern = "^[a-z0-9-]{1,16}$")]
    pub code: String,
    #[serde(rename = "type")]
    pub kind: CourseType,
    /// Of a `free` course; the others have their own.
    #[garde(range(min = 1, max = 1_000_000))]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub distance_m: Option<i64>,
    #[garde(range(min = 1, max = 1_000_000))]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub capacity: u32,
    #[garde(range(min = 0, max = 10_000_000))]
    #[schema(minimum = 0, maximum = 10_000_000)]
    pub fee_won: i64,
    /// Places that only the organiser's hand gives.
    #[serde(default)]
    #[garde(range(min = 0, max = 1_000_000))]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub held_back: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct SouvenirInput {
    #[garde(length(chars, min = 1, max = 50))]
    #[schema(min_length = 1, max_length = 50)]
    pub name: String,
    #[garde(length(min = 1, max = SIZES_MAX), dive)]
    #[schema(min_items = 1, max_items = 20)]
    pub sizes: Vec<SizeInput>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct SizeInput {
    #[garde(length(chars, min = 1, max = 20))]
    #[schema(min_length = 1, max_length = 20)]
    pub size: String,
    #[garde(range(min = 0, max = 1_000_000))]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub stock: u32,
}

/// So many percent of the fee come back until that moment; the first rule whose moment is to come counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RefundRuleBody {
    pub until: UtcTime,
    #[garde(range(min = 0, max = 100))]
    #[schema(minimum = 0, maximum = 100)]
    pub percent: i64,
}

/// Who may claim a place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields, default)]
#[garde(allow_unvalidated)]
pub struct EligibilityBody {
    /// Accounts made before this moment.
    pub account_before: Option<UtcTime>,
    pub verified: VerifiedBody,
    /// In years, on the race day.
    #[garde(range(min = 0, max = 150))]
    #[schema(minimum = 0, maximum = 150)]
    pub age_min: Option<u32>,
    #[garde(range(min = 0, max = 150))]
    #[schema(minimum = 0, maximum = 150)]
    pub age_max: Option<u32>,
}

/// What an account must have shown of its person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Verified)]
pub enum VerifiedBody {
    #[default]
    None,
    Email,
    Phone,
    Identity,
}

impl From<&EligibilityBody> for Eligibility {
    fn from(body: &EligibilityBody) -> Self {
        Eligibility {
            account_before_ms: body.account_before.map(|time| time.0),
            verified: match body.verified {
                VerifiedBody::None => Verified::None,
                VerifiedBody::Email => Verified::Email,
                VerifiedBody::Phone => Verified::Phone,
                VerifiedBody::Identity => Verified::Identity,
            },
            age_min: body.age_min,
            age_max: body.age_max,
        }
    }
}

impl From<&Eligibility> for EligibilityBody {
    fn from(rules: &Eligibility) -> Self {
        EligibilityBody {
            account_before: rules.account_before_ms.map(UtcTime),
            verified: match rules.verified {
                Verified::None => VerifiedBody::None,
                Verified::Email => VerifiedBody::Email,
                Verified::Phone => VerifiedBody::Phone,
                Verified::Identity => VerifiedBody::Identity,
            },
            age_min: rules.age_min,
            age_max: rules.age_max,
        }
    }
}

/// Wrong fields, gathered so that all are told at once.
pub struct Faults(Problem);

impl Faults {
    pub fn none() -> Self {
        Self(Problem::new(&codes::INVALID))
    }

    pub fn add(&mut self, field: &str, code: &str, message: impl Into<String>) {
        let problem = std::mem::replace(&mut self.0, Problem::new(&codes::INVALID));
        self.0 = problem.and_field(field, code, message);
    }

    /// Notes a fault unless `fine`.
    pub fn expect(&mut self, fine: bool, field: &str, code: &str, message: &str) {
        if !fine {
            self.add(field, code, message);
        }
    }

    pub fn finish(self) -> Result<(), Problem> {
        if self.0.errors.is_empty() { Ok(()) } else { Err(self.0) }
    }
}

/// A text that has something to read in it.
pub fn check_text(faults: &mut Faults, field: &str, text: &str) {
    faults.expect(!text.trim().is_empty(), field, "blank", "this cannot be blank");
}

pub fn check_times(faults: &mut Faults, opens: UtcTime, closes: UtcTime, race_at: UtcTime) {
    faults.expect(opens < closes, "closes_at", "order", "it closes after it opens");
    faults.expect(opens < race_at, "race_at", "order", "the race is run after its sale opens");
}

pub fn check_eligibility(faults: &mut Faults, rules: &EligibilityBody) {
    let fine = rules.age_min.zip(rules.age_max).is_none_or(|(min, max)| min <= max);
    faults.expect(fine, "eligibility.age_max", "order", "the oldest age is not below the youngest");
}

/// The courses and their pools.
pub fn courses_of(faults: &mut Faults, inputs: &[CourseInput]) -> (Vec<Course>, Vec<PoolRule>) {
    faults.expect((1..=COURSES_MAX).contains(&inputs.len()), "courses", "length", "a race has 1 to 20 courses");
    let (mut courses, mut pools) = (Vec::new(), Vec::new());
    for (at, input) in inputs.iter().enumerate() {
        let field = |name: &str| format!("courses[{at}].{name}");
        let Ok(code) = PoolCode::new(&input.code) else {
            faults.add(&field("code"), "pattern", "a code has 1 to 16 of a-z, 0-9 and -");
            continue;
        };
        let taken = courses.iter().any(|course: &Course| course.code == code);
        faults.expect(!taken, &field("code"), "unique", "two courses have this code");
        let reserved = is_souvenir_code(&input.code);
        faults.expect(!reserved, &field("code"), "reserved", "codes like s1-1 are the souvenirs'");
        let enough = input.held_back <= input.capacity;
        faults.expect(enough, &field("held_back"), "range", "no more can be held back than there is");
        let own = input.kind.distance_m();
        let distance_m = match (own, input.distance_m) {
            (Some(own), None) => own,
            (Some(own), Some(given)) => {
                // A half marathon has 21,097.5 m, so both roundings are right.
                let right = given == own || (input.kind == CourseType::Half && given == own + 1);
                let message = format!("a {} course has {own} m", input.kind.as_str());
                faults.expect(right, &field("distance_m"), "range", &message);
                own
            }
            (None, Some(given)) => given,
            (None, None) => {
                faults.add(&field("distance_m"), "required", "a free course says its distance");
                continue;
            }
        };
        let course = Course { code, kind: input.kind, distance_m, fee: Won(input.fee_won) };
        let (capacity, held_back) = (input.capacity, input.held_back);
        pools.push(PoolRule { code, label: course.label(), group: COURSE_GROUP.to_owned(), capacity, held_back });
        courses.push(course);
    }
    (courses, pools)
}

/// The souvenirs and their pools; one that keeps its name keeps its id.
pub fn souvenirs_of(
    faults: &mut Faults,
    inputs: &[SouvenirInput],
    known: &[Souvenir],
) -> (Vec<Souvenir>, Vec<PoolRule>) {
    faults.expect(inputs.len() <= SOUVENIRS_MAX, "souvenirs", "length", "a race has at most 20 souvenirs");
    let (mut souvenirs, mut pools): (Vec<Souvenir>, Vec<PoolRule>) = (Vec::new(), Vec::new());
    for (at, input) in inputs.iter().enumerate() {
        let twice = souvenirs.iter().any(|souvenir| souvenir.name == input.name);
        faults.expect(!twice, &format!("souvenirs[{at}].name"), "unique", "two souvenirs have this name");
        let mut sizes: Vec<String> = Vec::new();
        for (nth, size) in input.sizes.iter().enumerate() {
            let field = format!("souvenirs[{at}].sizes[{nth}].size");
            faults.expect(!sizes.contains(&size.size), &field, "unique", "this size is there twice");
            sizes.push(size.size.clone());
            let Ok(code) = PoolCode::new(&souvenir_code(at, nth)) else { continue };
            let label = format!("{} {}", input.name, size.size);
            let group = SOUVENIR_GROUP.to_owned();
            pools.push(PoolRule { code, label, group, capacity: size.stock, held_back: 0 });
        }
        let same = known.iter().find(|souvenir| souvenir.name == input.name);
        let id = same.map_or_else(Uuid::now_v7, |souvenir| souvenir.id);
        souvenirs.push(Souvenir { id, name: input.name.clone(), sizes });
    }
    (souvenirs, pools)
}

/// The refund rules, earliest first, so that the first whose moment is to come counts.
pub fn refund_rules_of(faults: &mut Faults, inputs: &[RefundRuleBody]) -> Vec<RefundRule> {
    faults.expect(inputs.len() <= REFUND_RULES_MAX, "refund_rules", "length", "a race has at most 20 refund rules");
    let mut rules: Vec<RefundRule> =
        inputs.iter().map(|rule| RefundRule { until_ms: rule.until.0, percent: rule.percent }).collect();
    rules.sort_by_key(|rule| rule.until_ms);
    let distinct = rules.is_sorted_by(|a, b| a.until_ms < b.until_ms);
    faults.expect(distinct, "refund_rules", "unique", "two rules end at the same moment");
    rules
}
