//! What a payment is and how it moves. Pure.

use kernel::contracts::payments::{Payment, PaymentState, Subject};
use kernel::{PaymentId, UserId, Won};

use crate::provider::{Reported, Standing};

/// One try to pay for a subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    pub id: PaymentId,
    pub subject: Subject,
    pub payer: UserId,
    pub payee: UserId,
    pub title: String,
    pub amount: Won,
    pub refunded: Won,
    pub provider: String,
    /// What the provider calls it.
    pub provider_key: String,
    pub checkout_url: String,
    /// What the payer brought back from the provider's page, where the provider wants it for the confirmation.
    pub payer_key: Option<String>,
    pub state: PaymentState,
    pub reason: Option<String>,
    pub expires_ms: i64,
    /// How often the provider was asked and did not say.
    pub looks: i64,
    pub next_look_ms: i64,
    /// It ended here without money, and the provider has yet to close it.
    pub void_due: bool,
}

/// What the provider's word means for an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Captured,
    /// Money was taken, but not what we asked for: it goes back.
    WrongAmount(Won),
    /// No money was taken, or none is left there, and none will be.
    Declined(String),
    /// Nothing is decided at the provider.
    Open,
}

/// Said of a payment whose amount was not ours.
const WRONG_AMOUNT: &str = "wrong_amount";

impl Intent {
    /// Holds the provider's own record against what was asked for.
    pub fn judge(&self, said: &Reported) -> Verdict {
        match said.standing {
            Standing::Open => Verdict::Open,
            Standing::Captured if said.captured == self.amount => Verdict::Captured,
            Standing::Captured => Verdict::WrongAmount(said.captured),
            Standing::Closed if said.captured > Won(0) && said.captured != self.amount => {
                Verdict::Declined(WRONG_AMOUNT.to_owned())
            }
            Standing::Closed => Verdict::Declined(said.reason.clone().unwrap_or_else(|| "closed".to_owned())),
        }
    }

    /// The intent in its next state; `None` where that is not a move, so that whoever comes second changes nothing.
    pub fn step(&self, to: PaymentState) -> Option<Intent> {
        if !may(self.state, to) {
            return None;
        }
        let void_due = matches!(to, PaymentState::Voided | PaymentState::Expired);
        Some(Intent { state: to, void_due, looks: 0, reason: None, ..self.clone() })
    }

    pub fn because(self, reason: &str) -> Intent {
        Intent { reason: Some(reason.chars().take(REASON_CHARS_MAX).collect()), ..self }
    }

    /// The payment as others know it.
    pub fn told(&self) -> Payment {
        Payment {
            payment_id: self.id,
            subject: self.subject,
            payer: self.payer,
            state: self.state,
            amount_won: self.amount,
            refunded_won: self.refunded,
            provider: self.provider.clone(),
            checkout_url: self.checkout_url.clone(),
            expires_ms: self.expires_ms,
            reason: self.reason.clone(),
            title: self.title.clone(),
        }
    }
}

/// Longer ones of a provider are cut.
const REASON_CHARS_MAX: usize = 300;

/// The moves of a payment. Captured is the end. Money that a provider took late is money all the same, whatever
/// the intent had come to: it is recorded, and the subject's part gives it back or takes it.
pub fn may(from: PaymentState, to: PaymentState) -> bool {
    use PaymentState::{Captured, Confirming, Declined, Expired, Ready, Voided};
    match from {
        Ready => to != Ready,
        Confirming => matches!(to, Captured | Declined | Expired),
        Declined | Voided | Expired => to == Captured,
        Captured => false,
    }
}

const STATES: [PaymentState; 6] = [
    PaymentState::Ready,
    PaymentState::Confirming,
    PaymentState::Captured,
    PaymentState::Declined,
    PaymentState::Voided,
    PaymentState::Expired,
];

/// The state of a row; the schema holds no other names.
pub fn state_of(name: &str) -> Option<PaymentState> {
    STATES.into_iter().find(|state| state.as_str() == name)
}

/// When to ask again after so many times without an outcome: 1 s, 2 s, 4 s … one minute.
pub fn back_off_ms(looks: i64) -> i64 {
    (1_000_i64 << looks.clamp(0, 6)).min(60_000)
}

#[cfg(test)]
mod tests;
