//! What payments answers and tells.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Event, Request};
use crate::{PaymentId, UserId, Won};

/// What is paid for. Its part is asked to pin it before money can move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Subject {
    Registration(Uuid),
}

impl Subject {
    pub fn id(&self) -> Uuid {
        match self {
            Subject::Registration(id) => *id,
        }
    }

    /// The name in tables.
    pub fn kind(&self) -> &'static str {
        match self {
            Subject::Registration(_) => "registration",
        }
    }
}

/// `ready → confirming → captured | declined`; an intent nobody confirmed ends `voided` or `expired`. One that ended so
/// may still turn out captured: a provider can be late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    Ready,
    /// The provider was, or may have been, told to capture: only its own word ends this.
    Confirming,
    Captured,
    Declined,
    Voided,
    Expired,
}

impl PaymentState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Confirming => "confirming",
            Self::Captured => "captured",
            Self::Declined => "declined",
            Self::Voided => "voided",
            Self::Expired => "expired",
        }
    }
}

/// A payment as its subject's part needs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Payment {
    pub payment_id: PaymentId,
    pub subject: Subject,
    pub payer: UserId,
    pub state: PaymentState,
    pub amount_won: Won,
    /// Given back so far.
    pub refunded_won: Won,
    pub provider: String,
    /// Where the payer goes to pay.
    pub checkout_url: String,
    pub expires_ms: i64,
    /// The provider's own reason, once declined.
    pub reason: Option<String>,
    /// What the payer reads on the provider's page.
    #[serde(default)]
    pub title: String,
}

/// Opens the intent a subject is paid by, or answers the one there is: at most one is `ready` or `confirming`. A `ready` one
/// of another amount, provider or expiry is replaced (voided); one that is `confirming` or `captured` is answered as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OpenPayment {
    pub subject: Subject,
    pub payer: UserId,
    /// To whom the money is owed once captured.
    pub payee: UserId,
    pub amount_won: Won,
    /// A provider's name; 422 `payments/provider` when it is not offered.
    pub provider: String,
    /// What the payer reads on the provider's page.
    pub title: String,
    pub expires_ms: i64,
}

impl Request for OpenPayment {
    const PATH: &'static str = "payments/open";
    type Answer = Payment;
}

/// Ends the subject's `ready` intent, if there is one; answers its newest intent as it is then.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VoidPayment {
    pub subject: Subject,
}

impl Request for VoidPayment {
    const PATH: &'static str = "payments/void";
    type Answer = Option<Payment>;
}

/// Asks the provider where the outcome is not known yet, and answers the payment as it is now. A payment still
/// `confirming` is unknown: ask again, never undo blindly.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SettlePayment {
    pub payment_id: PaymentId,
}

impl Request for SettlePayment {
    const PATH: &'static str = "payments/settle";
    type Answer = Option<Payment>;
}

/// Gives money back, once per key however often it is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RefundPayment {
    /// The asking saga's step: the refund's own id, and the provider's idempotency key.
    pub key: Uuid,
    pub payment_id: PaymentId,
    pub amount_won: Won,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Refund {
    Done {
        refunded_won: Won,
    },
    /// It will not be done: nothing to give back, or the provider's final no.
    Refused {
        reason: String,
    },
    /// Ask again with the same key.
    Unknown {
        reason: String,
    },
}

impl Request for RefundPayment {
    const PATH: &'static str = "payments/refund";
    type Answer = Refund;
}

/// The newest payment of each subject that has one, in one question.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PaymentsOf {
    pub subjects: Vec<Subject>,
}

impl Request for PaymentsOf {
    const PATH: &'static str = "payments/of";
    type Answer = Vec<Payment>;
}

macro_rules! payment_events {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub struct $name {
            pub payment: Payment,
        }

        impl Event for $name {
            const KIND: &'static str = $kind;
            const VERSION: u32 = 1;
            fn key(&self) -> String {
                self.payment.subject.id().to_string()
            }
        }
    )+};
}

payment_events! {
    /// The provider has the money, by its own fetched word.
    PaymentCaptured = "payment.captured";
    /// The provider's final no, or the payer's; another intent may be opened.
    PaymentDeclined = "payment.declined";
    /// The provider does not say; it is asked again until it does.
    PaymentUnknown = "payment.unknown";
    /// Money went back; `refunded_won` is the sum so far.
    PaymentRefunded = "payment.refunded";
}
