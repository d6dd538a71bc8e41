//! An order in the sandbox and what becomes of it. Pure.

use kernel::PaymentId;

use super::{Outcome, Timing};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The payer can still choose.
    Ready,
    /// An outcome is on its way.
    Processing,
    Captured,
    Declined,
    /// Closed before money was taken, or all of it given back.
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Late,
    Twice,
    WrongAmount,
    Unknown,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    pub id: String,
    pub order_id: PaymentId,
    pub title: String,
    pub amount_won: i64,
    pub captured_won: i64,
    pub cancelled_won: i64,
    pub state: State,
    pub reason: Option<String>,
    /// Does the payer pay? `None` until he said.
    pub pays: Option<bool>,
    pub fault: Option<Fault>,
    pub expires_ms: i64,
    /// When one that is processing comes to its end.
    pub ripe_ms: Option<i64>,
    pub notify_url: String,
}

/// Why something is not done; a text for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It will not be done.
    No(&'static str),
    /// Nobody knows yet.
    Unknown,
}

type Moved = Result<Order, Refusal>;

/// By how much a wrong amount is wrong.
const WRONG_BY_WON: i64 = 1_000;

impl Order {
    /// The payer chooses; he may change his mind until the merchant confirms.
    pub fn choose(mut self, outcome: Outcome, now_ms: i64, timing: Timing) -> Moved {
        if self.state != State::Ready {
            return Err(Refusal::No("this payment is not open any more"));
        }
        if now_ms >= self.expires_ms {
            return Err(Refusal::No("the time to pay is over"));
        }
        (self.pays, self.fault) = match outcome {
            Outcome::Approve => (Some(true), None),
            Outcome::Decline => (Some(false), None),
            Outcome::Twice => (Some(true), Some(Fault::Twice)),
            Outcome::WrongAmount => (Some(true), Some(Fault::WrongAmount)),
            Outcome::Late => (Some(true), Some(Fault::Late)),
            Outcome::Unknown => (self.pays.or(Some(true)), Some(Fault::Unknown)),
        };
        if self.fault == Some(Fault::Late) {
            // Nothing the merchant does stops this money any more.
            (self.state, self.ripe_ms) = (State::Processing, Some(now_ms + timing.late_ms));
        }
        Ok(self)
    }

    /// The merchant takes the money. `Ok` where the order moved or had its outcome.
    pub fn confirm(mut self, amount_won: i64, now_ms: i64, timing: Timing) -> Moved {
        if amount_won != self.amount_won {
            return Err(Refusal::No("another amount was ordered"));
        }
        match self.state {
            State::Captured | State::Declined | State::Cancelled => Ok(self),
            State::Processing => Err(Refusal::Unknown),
            State::Ready if self.fault == Some(Fault::Unknown) => {
                (self.state, self.ripe_ms) = (State::Processing, Some(now_ms + timing.unknown_ms));
                Ok(self)
            }
            State::Ready if now_ms >= self.expires_ms => Ok(self.decline("the time to pay is over")),
            State::Ready => Ok(self.end()),
        }
    }

    /// An outcome on its way arrives.
    pub fn ripen(self) -> Order {
        if self.state == State::Processing { self.end() } else { self }
    }

    /// Closes an order nobody paid; money that was taken stays.
    pub fn void(mut self) -> Order {
        if self.state == State::Ready {
            (self.state, self.reason) = (State::Cancelled, Some("voided by the merchant".to_owned()));
        }
        self
    }

    /// Gives back a part or all.
    pub fn cancel(mut self, amount_won: i64) -> Moved {
        match self.state {
            State::Processing => return Err(Refusal::Unknown),
            State::Captured => {}
            _ => return Err(Refusal::No("no money is there")),
        }
        let left_won = self.captured_won - self.cancelled_won;
        if amount_won <= 0 || amount_won > left_won {
            return Err(Refusal::No("so much is not there"));
        }
        self.cancelled_won += amount_won;
        if self.cancelled_won == self.captured_won {
            (self.state, self.reason) = (State::Cancelled, Some("given back".to_owned()));
        }
        Ok(self)
    }

    fn end(mut self) -> Order {
        match self.pays {
            None => self.decline("the payer did not pay"),
            Some(false) => self.decline("the payer's bank said no"),
            Some(true) => {
                let wrong_by_won = if self.fault == Some(Fault::WrongAmount) { WRONG_BY_WON } else { 0 };
                self.captured_won = self.amount_won + wrong_by_won;
                (self.state, self.ripe_ms) = (State::Captured, None);
                self
            }
        }
    }

    fn decline(mut self, reason: &str) -> Order {
        (self.state, self.reason, self.ripe_ms) = (State::Declined, Some(reason.to_owned()), None);
        self
    }
}

macro_rules! names {
    ($($kind:ident { $($name:ident = $text:literal,)+ })+) => {$(
        impl $kind {
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)+ _ => None }
            }
        }
    )+};
}

names! {
    State {
        Ready = "ready", Processing = "processing", Captured = "captured", Declined = "declined", Cancelled = "cancelled",
    }
    Fault { Late = "late", Twice = "twice", WrongAmount = "wrong_amount", Unknown = "unknown", }
}
