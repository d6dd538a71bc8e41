//! A payment provider: a stranger who holds the payers' money.
//!
//! Shaped by Toss Payments (confirm and cancel under an `Idempotency-Key`, the first answer again) and PortOne (the
//! amount registered beforehand, the payment re-read and compared, Standard Webhooks). A trait, since strangers stand
//! here.
//!
//! Invariant: what a provider says of a payment when we ask it decides; never a request's or a webhook's body.

use axum::http::HeaderMap;
use futures::future::BoxFuture;
use kernel::{PaymentId, Won};

pub type Answer<'a, T> = BoxFuture<'a, Result<T, Fault>>;

/// What is to be paid.
#[derive(Clone, Debug)]
pub struct Order {
    pub id: PaymentId,
    pub amount: Won,
    pub title: String,
    pub expires_ms: i64,
}

/// Where a payment can be found and made.
#[derive(Clone, Debug)]
pub struct Created {
    /// What the provider calls it.
    pub key: String,
    /// Where the payer goes.
    pub checkout_url: String,
}

/// Which payment a call is about.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    pub id: PaymentId,
    pub key: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is decided: the payer or the provider is still at it.
    Open,
    /// Money was taken and some of it is still there.
    Captured,
    /// No money is there, and none will be: declined, voided, expired, or all of it given back.
    Closed,
}

/// The provider's own record of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    pub key: String,
    pub standing: Standing,
    /// All that was ever taken.
    pub captured: Won,
    /// All that was given back of it.
    pub cancelled: Won,
    pub reason: Option<String>,
}

/// A movement of money on a provider's statement: a capture is above zero, a cancellation below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub amount: Won,
}

#[derive(Clone, Debug, Default)]
pub struct Statement {
    pub entries: Vec<Entry>,
    pub next: Option<String>,
}

/// What a webhook is about. What it says beyond that is not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    pub event_id: String,
    pub key: String,
}

/// How a call ended that did not give what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The provider's final no: repeating it changes nothing.
    #[error("declined: {0}")]
    Declined(String),
    /// It may have been done. Asked again under the same key, never undone blindly.
    #[error("unknown: {0}")]
    Unknown(String),
    /// Nothing was sent, or it was not let in: it was not done.
    #[error("away: {0}")]
    Away(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the webhook is not the provider's: {0}")]
pub struct Forged(pub &'static str);

pub trait Provider: Send + Sync {
    fn name(&self) -> &'static str;

    /// Tells the amount beforehand; idempotent by the order's id.
    fn create<'a>(&'a self, order: &'a Order) -> Answer<'a, Created>;

    fn fetch<'a>(&'a self, payment: Named<'a>) -> Answer<'a, Reported>;

    /// Captures exactly `amount`; idempotent by the payment's id. `payer_key` is what the payer brought back.
    fn confirm<'a>(&'a self, payment: Named<'a>, amount: Won, payer_key: Option<&'a str>) -> Answer<'a, Reported>;

    /// Closes a payment that was not captured; never gives money back. Answers how it stands then.
    fn void<'a>(&'a self, payment: Named<'a>) -> Answer<'a, Reported>;

    /// Gives back a part or all, once per `key`.
    fn cancel<'a>(&'a self, payment: Named<'a>, key: &'a str, amount: Won, reason: &'a str) -> Answer<'a, Reported>;

    /// The movements from `from_ms` to before `to_ms`, in pages.
    fn statement<'a>(&'a self, from_ms: i64, to_ms: i64, cursor: Option<&'a str>) -> Answer<'a, Statement>;

    /// Whose webhook is it, and what about?
    fn verify_webhook(&self, headers: &HeaderMap, body: &[u8], now_ms: i64) -> Result<Hook, Forged>;
}
