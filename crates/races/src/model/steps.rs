//! The steps from a place to a bib: which one is next, which may be taken, and what a refund comes to.

use admission::ClaimState;
use kernel::{PaymentId, Won};
use orderlog::{ReturnReason, Want};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{RefundRule, is_souvenir_code};

/// What the owner of a registration does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NextStep {
    Terms,
    Souvenir,
    Address,
    Payment,
}

impl NextStep {
    pub const fn as_str(self) -> &'static str {
        match self {
            NextStep::Terms => "terms",
            NextStep::Souvenir => "souvenir",
            NextStep::Address => "address",
            NextStep::Payment => "payment",
        }
    }
}

/// Where the souvenir, if there is one, is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, garde::Validate)]
#[serde(deny_unknown_fields)]
pub struct Address {
    #[garde(length(chars, min = 1, max = 100))]
    #[schema(min_length = 1, max_length = 100)]
    pub recipient: String,
    /// Digits, spaces, `+`, `-` and parentheses.
    #[garde(length(chars, min = 5, max = 30), pattern(r"^[0-9+() -]+$"))]
    #[schema(min_length = 5, max_length = 30, pattern = "^[0-9+() -]+$")]
    pub phone: String,
    #[garde(length(chars, min = 3, max = 12), pattern(r"^[0-9A-Za-z -]+$"))]
    #[schema(min_length = 3, max_length = 12, pattern = "^[0-9A-Za-z -]+$")]
    pub postcode: String,
    #[garde(length(chars, min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub line1: String,
    #[garde(length(chars, max = 200))]
    #[schema(max_length = 200)]
    #[serde(default)]
    pub line2: String,
}

/// What has been done so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    pub terms_version: Option<i64>,
    pub souvenir_chosen: bool,
    pub address: Option<Address>,
    pub payment: Option<PaymentProgress>,
    /// Ever: a course of another fee drops the payment.
    pub payment_opened: bool,
    /// When the newest of the steps was done for the first time.
    pub newest_ms: Option<i64>,
}

/// The newest payment of a registration, as payments told of it last.
#[derive(Clone, Debug, PartialEq)]
pub struct PaymentProgress {
    pub id: PaymentId,
    /// `ready`, `confirming`, `captured`, `declined`, `voided`, `expired`.
    pub state: String,
    pub amount: Won,
    pub refunded: Won,
    pub provider: String,
    pub checkout_url: String,
    pub expires_ms: i64,
}

impl PaymentProgress {
    /// Being decided, or paid and not given back whole: there is nothing to pay beside it.
    pub fn is_under_way(&self) -> bool {
        self.state == "confirming" || (self.state == "captured" && self.refunded < self.amount)
    }
}

/// What a registration has to go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wizard {
    pub state: ClaimState,
    pub has_souvenirs: bool,
    pub wants_souvenir: bool,
    pub fee: Won,
}

impl Wizard {
    pub fn new(state: ClaimState, want: &Want, has_souvenirs: bool, fee: Won) -> Self {
        let wants_souvenir = want.units().iter().any(|(code, _)| is_souvenir_code(code));
        Self { state, has_souvenirs, wants_souvenir, fee }
    }

    /// None while waiting, paying, and once it is over one way or the other.
    pub fn next(&self, done: &Progress) -> Option<NextStep> {
        if self.state != ClaimState::Held {
            return None;
        }
        Some(if done.terms_version.is_none() {
            NextStep::Terms
        } else if self.has_souvenirs && !self.wants_souvenir && !done.souvenir_chosen {
            NextStep::Souvenir
        } else if done.address.is_none() || self.fee <= Won(0) {
            // Without a fee the address is the last step, and taking it confirms.
            NextStep::Address
        } else {
            NextStep::Payment
        })
    }

    /// Whether a step may be taken now: the next one, or an earlier one again.
    pub fn allows(&self, done: &Progress, step: NextStep) -> bool {
        let exists = match step {
            NextStep::Souvenir => self.has_souvenirs,
            NextStep::Payment => self.fee > Won(0),
            NextStep::Terms | NextStep::Address => true,
        };
        exists && self.next(done).is_some_and(|next| step <= next)
    }
}

/// What comes back of a fee, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    pub amount: Won,
    pub percent: i64,
    /// Until when this percentage holds; none after the last rule, and where the organiser bears it.
    pub until_ms: Option<i64>,
}

/// The first rule that is not over counts, after the last nothing comes back; what the organiser ends comes back whole.
pub fn quote(rules: &[RefundRule], paid: Won, by: ReturnReason, at_ms: i64) -> Quote {
    if by != ReturnReason::Released {
        return Quote { amount: paid, percent: 100, until_ms: None };
    }
    let rule = rules.iter().find(|rule| at_ms < rule.until_ms);
    let percent = rule.map_or(0, |rule| rule.percent);
    // Won and percent are bounded far below an overflow; fractions of a won are dropped.
    Quote { amount: Won(paid.0 * percent / 100), percent, until_ms: rule.map(|rule| rule.until_ms) }
}

const REASONS: [(ReturnReason, &str); 4] = [
    (ReturnReason::Expired, "expired"),
    (ReturnReason::Released, "released"),
    (ReturnReason::Cancelled, "cancelled"),
    (ReturnReason::Failed, "failed"),
];

/// The name of a reason in tables and answers.
pub fn reason_text(reason: ReturnReason) -> &'static str {
    REASONS.iter().find(|(known, _)| *known == reason).map_or("", |(_, text)| text)
}

pub fn parse_reason(text: &str) -> Option<ReturnReason> {
    REASONS.iter().find(|(_, known)| *known == text).map(|(reason, _)| *reason)
}
