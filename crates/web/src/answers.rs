//! The API's answers, as far as pages show them.

use kernel::{UtcTime, Won};
use serde::Deserialize;

use platform::http::Language;

#[derive(Clone, Debug, Deserialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next_cursor: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Me {
    pub id: String,
    pub username: String,
    pub name: String,
    pub nickname: String,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub birth_date: Option<String>,
    pub language: Language,
    pub role: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct SignIn {
    pub id: String,
    pub current: bool,
    pub user_agent: Option<String>,
    pub created_at: UtcTime,
    pub last_used_at: UtcTime,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Race {
    pub id: String,
    pub version: i64,
    pub state: String,
    pub title: String,
    pub description: String,
    pub place: String,
    pub race_at: UtcTime,
    pub opens_at: UtcTime,
    pub closes_at: UtcTime,
    pub server_time: UtcTime,
    pub courses: Vec<Course>,
    pub capacity: i64,
    pub remaining: i64,
    pub waiting: i64,
    pub hold_s: i64,
    pub waitlist: bool,
    pub waitlist_hold_s: i64,
    pub return_to: String,
    pub terms: String,
    pub terms_version: i64,
    pub souvenir_rule: String,
    pub souvenirs: Vec<Souvenir>,
    pub refund_rules: Vec<RefundRule>,
    pub eligibility: Eligibility,
}

impl Race {
    pub fn course(&self, code: &str) -> Option<&Course> {
        self.courses.iter().find(|course| course.code == code)
    }

    /// Is it worth clicking?
    pub fn takes_claims(&self) -> bool {
        self.state == "open" || (self.state == "sold_out" && self.waitlist)
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Course {
    pub code: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub distance_m: i64,
    pub fee_won: Won,
    pub capacity: i64,
    pub held_back: i64,
    pub taken: i64,
    pub remaining: i64,
}

impl Course {
    /// `10 km`, `21.1 km`.
    pub fn distance(&self) -> String {
        let km = self.distance_m as f64 / 1_000.0;
        if self.distance_m % 1_000 == 0 { format!("{km:.0} km") } else { format!("{km:.1} km") }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Souvenir {
    pub id: String,
    pub name: String,
    pub sizes: Vec<Size>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Size {
    pub size: String,
    pub stock: i64,
    pub remaining: i64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct RefundRule {
    pub until: UtcTime,
    pub percent: i64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Eligibility {
    pub account_before: Option<UtcTime>,
    pub verified: String,
    pub age_min: Option<i64>,
    pub age_max: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Registration {
    pub id: String,
    pub race_id: String,
    pub course: String,
    pub souvenir: Option<SouvenirChoice>,
    pub state: String,
    pub next_step: Option<String>,
    pub log_index: i64,
    pub hold_expires_at: Option<UtcTime>,
    pub position: Option<i64>,
    pub bib: Option<i64>,
    pub terms_version: Option<i64>,
    pub address: Option<Address>,
    pub payment: Option<Payment>,
    pub refund: Option<Refund>,
    pub replaced_by: Option<String>,
}

impl Registration {
    pub fn is_open(&self) -> bool {
        matches!(self.state.as_str(), "waitlisted" | "held" | "paying" | "confirmed")
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SouvenirChoice {
    pub id: String,
    pub size: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Address {
    pub recipient: String,
    pub phone: String,
    pub postcode: String,
    pub line1: String,
    pub line2: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Payment {
    pub id: String,
    pub state: String,
}

/// A payment asked for by its own id.
#[derive(Clone, Debug, Deserialize)]
pub struct PaymentOf {
    pub subject: Subject,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Subject {
    pub id: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Checkout {
    pub id: String,
    pub title: String,
    pub amount_won: Won,
    pub expires_at: UtcTime,
    pub state: String,
    pub outcomes: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Refund {
    pub amount_won: Won,
    pub refunded_won: Won,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Quote {
    pub amount_won: Won,
    pub percent: i64,
    pub rule_until: Option<UtcTime>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Registrant {
    pub course: String,
    pub state: String,
    pub sequence: i64,
    pub bib: Option<i64>,
    pub username: Option<String>,
    pub name: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Offer {
    pub state: String,
    pub waiting: i64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Funnel {
    pub started: i64,
    pub steps: Vec<StepRate>,
    pub cancelled: i64,
    pub expired: i64,
    pub failed: i64,
    pub overall_rate: Option<f64>,
    pub from: UtcTime,
    pub to: UtcTime,
    pub intake: Vec<Intake>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct StepRate {
    pub step: String,
    pub reached: i64,
    pub rate: Option<f64>,
    pub p50_ms: Option<i64>,
    pub p95_ms: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Intake {
    pub at: UtcTime,
    pub started: i64,
    pub confirmed: i64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Application {
    pub id: String,
    pub username: String,
    pub name: String,
    pub description: String,
    pub state: String,
    pub reason: Option<String>,
    pub created_at: UtcTime,
}

#[derive(Clone, Debug, Deserialize)]
pub struct User {
    pub id: String,
    pub username: String,
    pub name: String,
    pub nickname: String,
    pub email: Option<String>,
    pub role: String,
    pub state: String,
    pub ban_reason: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Saga {
    pub id: String,
    pub name: String,
    pub subject: String,
    pub state: String,
    pub step: String,
    pub tries: i64,
    pub created_at: UtcTime,
    pub last_error: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct SagaDetail {
    #[serde(flatten)]
    pub saga: Saga,
    pub log: Vec<SagaLine>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct SagaLine {
    pub at: UtcTime,
    pub step: String,
    pub event: String,
    pub detail: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Notice {
    pub id: String,
    pub title: String,
    pub body: String,
    pub link: Option<String>,
    pub read_at: Option<UtcTime>,
    pub created_at: UtcTime,
}
