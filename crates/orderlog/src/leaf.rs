//! One leaf of the log: a line of ASCII that says what was decided.

use crate::error::{FormatError, decimal, lower_hex};
use crate::merkle::Hash;
use crate::person::Person;
use crate::want::Want;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::{self, Write};
use std::str::FromStr;

#[cfg(test)]
mod tests;

/// Longest line a leaf can be, in bytes.
pub const LEAF_BYTES_MAX: usize = 512;

/// What became of a new claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Held,
    Confirmed,
    Waitlisted,
    Refused,
    /// Placed by the organiser's hand, then held.
    Assigned,
}

/// Why a claim ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReturnReason {
    Expired,
    /// By its owner.
    Released,
    /// By the organiser.
    Cancelled,
    /// Its payment was finally refused.
    Failed,
}

/// What a leaf tells. `seq` counts the claims of the offer from 1 without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// These rules are in force from here on.
    Rules {
        sha: Hash,
    },
    Claim {
        seq: u64,
        person: Person,
        /// When the claim reached a process, by that process's clock.
        received_ms: i64,
        want: Want,
        outcome: Outcome,
    },
    /// Pinned while the payment provider decides.
    Pay {
        seq: u64,
    },
    /// Back to held until its old end: the payment was declined.
    Hold {
        seq: u64,
    },
    Confirm {
        seq: u64,
    },
    /// Old units free, new ones taken, all or nothing.
    Amend {
        seq: u64,
        want: Want,
    },
    Return {
        seq: u64,
        reason: ReturnReason,
    },
    /// A waiting claim is held now.
    Grant {
        seq: u64,
    },
    /// A waiting claim is held now by the organiser's hand.
    Assign {
        seq: u64,
    },
    Pause,
    Resume,
    Close,
    /// This log follows that one, from its first `size` leaves on.
    Continues {
        origin: String,
        size: u64,
        root: Hash,
    },
}

impl Event {
    /// The event's word in the line.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Rules { .. } => "rules",
            Event::Claim { .. } => "claim",
            Event::Pay { .. } => "pay",
            Event::Hold { .. } => "hold",
            Event::Confirm { .. } => "confirm",
            Event::Amend { .. } => "amend",
            Event::Return { .. } => "return",
            Event::Grant { .. } => "grant",
            Event::Assign { .. } => "assign",
            Event::Pause => "pause",
            Event::Resume => "resume",
            Event::Close => "close",
            Event::Continues { .. } => "continues",
        }
    }

    /// The claim the event is about.
    pub fn seq(&self) -> Option<u64> {
        match self {
            Event::Claim { seq, .. }
            | Event::Pay { seq }
            | Event::Hold { seq }
            | Event::Confirm { seq }
            | Event::Amend { seq, .. }
            | Event::Return { seq, .. }
            | Event::Grant { seq }
            | Event::Assign { seq } => Some(*seq),
            Event::Rules { .. } | Event::Pause | Event::Resume | Event::Close | Event::Continues { .. } => None,
        }
    }
}

/// An event, its position from 0, and when it was decided (Unix milliseconds, never falling).
///
/// `Display` writes the line; parsing accepts that line and no other spelling of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    pub index: u64,
    pub decided_ms: i64,
    pub event: Event,
}

impl Leaf {
    /// Appends the line to `out`; what a batch uses, to write all its leaves into one buffer.
    pub fn write_to(&self, out: &mut impl Write) -> fmt::Result {
        out.write_str("1 ")?;
        put_decimal(out, self.index)?;
        out.write_char(' ')?;
        put_decimal(out, self.decided_ms.max(0).unsigned_abs())?;
        out.write_char(' ')?;
        out.write_str(self.event.name())?;
        if let Some(seq) = self.event.seq() {
            out.write_char(' ')?;
            put_decimal(out, seq)?;
        }
        match &self.event {
            Event::Rules { sha } => {
                out.write_char(' ')?;
                out.write_str(&hex::encode(sha))
            }
            Event::Claim { person, received_ms, want, outcome, .. } => {
                out.write_char(' ')?;
                out.write_str(std::str::from_utf8(&person.hex()).unwrap_or_default())?;
                out.write_char(' ')?;
                put_decimal(out, (*received_ms).max(0).unsigned_abs())?;
                out.write_char(' ')?;
                want.write_to(out)?;
                out.write_char(' ')?;
                out.write_str(outcome.as_str())
            }
            Event::Amend { want, .. } => {
                out.write_char(' ')?;
                want.write_to(out)
            }
            Event::Return { reason, .. } => {
                out.write_char(' ')?;
                out.write_str(reason.as_str())
            }
            Event::Continues { origin, size, root } => {
                write!(out, " {origin} {size} {}", STANDARD.encode(root))
            }
            _ => Ok(()),
        }
    }

    /// Reads the bytes of a leaf; anything but the one canonical line is refused.
    pub fn parse(bytes: &[u8]) -> Result<Leaf, FormatError> {
        let line = std::str::from_utf8(bytes).map_err(|_| FormatError::new("leaf", "not a line of text"))?;
        line.parse()
    }
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(f)
    }
}

impl FromStr for Leaf {
    type Err = FormatError;

    fn from_str(line: &str) -> Result<Self, FormatError> {
        if line.len() > LEAF_BYTES_MAX {
            return Err(FormatError::new("leaf", "longer than 512 bytes"));
        }
        parse_line(line).ok_or_else(|| FormatError::new("leaf", format!("{line:?} is not a leaf of format 1")))
    }
}

impl Outcome {
    pub const ALL: [Outcome; 5] =
        [Outcome::Held, Outcome::Confirmed, Outcome::Waitlisted, Outcome::Refused, Outcome::Assigned];

    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Held => "held",
            Outcome::Confirmed => "confirmed",
            Outcome::Waitlisted => "waitlisted",
            Outcome::Refused => "refused",
            Outcome::Assigned => "assigned",
        }
    }
}

impl ReturnReason {
    pub const ALL: [ReturnReason; 4] =
        [ReturnReason::Expired, ReturnReason::Released, ReturnReason::Cancelled, ReturnReason::Failed];

    pub fn as_str(self) -> &'static str {
        match self {
            ReturnReason::Expired => "expired",
            ReturnReason::Released => "released",
            ReturnReason::Cancelled => "cancelled",
            ReturnReason::Failed => "failed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for ReturnReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn parse_line(line: &str) -> Option<Leaf> {
    let mut fields = line.split(' ');
    if fields.next() != Some("1") {
        return None;
    }
    let index = decimal(fields.next()?)?;
    let decided_ms = time_ms(fields.next()?)?;
    let event = parse_event(fields.next()?, &mut fields)?;
    // Every field was in its one spelling, so nothing is left to check but the end.
    fields.next().is_none().then_some(Leaf { index, decided_ms, event })
}

fn parse_event<'a>(name: &str, fields: &mut impl Iterator<Item = &'a str>) -> Option<Event> {
    let mut field = || fields.next();
    let event = match name {
        "rules" => Event::Rules { sha: lower_hex(field()?)? },
        "claim" => Event::Claim {
            seq: seq(field()?)?,
            person: field()?.parse().ok()?,
            received_ms: time_ms(field()?)?,
            want: field()?.parse().ok()?,
            outcome: named(&Outcome::ALL, Outcome::as_str, field()?)?,
        },
        "pay" => Event::Pay { seq: seq(field()?)? },
        "hold" => Event::Hold { seq: seq(field()?)? },
        "confirm" => Event::Confirm { seq: seq(field()?)? },
        "amend" => Event::Amend { seq: seq(field()?)?, want: field()?.parse().ok()? },
        "return" => {
            Event::Return { seq: seq(field()?)?, reason: named(&ReturnReason::ALL, ReturnReason::as_str, field()?)? }
        }
        "grant" => Event::Grant { seq: seq(field()?)? },
        "assign" => Event::Assign { seq: seq(field()?)? },
        "pause" => Event::Pause,
        "resume" => Event::Resume,
        "close" => Event::Close,
        "continues" => {
            Event::Continues { origin: origin_name(field()?)?, size: decimal(field()?)?, root: hash_base64(field()?)? }
        }
        _ => return None,
    };
    Some(event)
}

fn seq(text: &str) -> Option<u64> {
    decimal(text).filter(|seq| *seq > 0)
}

fn time_ms(text: &str) -> Option<i64> {
    decimal(text).and_then(|ms| i64::try_from(ms).ok())
}

fn named<T: Copy>(all: &[T], name: fn(T) -> &'static str, text: &str) -> Option<T> {
    all.iter().copied().find(|value| name(*value) == text)
}

/// An origin is a key name too: visible ASCII without `+`.
fn origin_name(text: &str) -> Option<String> {
    let named = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'+');
    named.then(|| text.to_owned())
}

/// Standard base64 with padding; the decoder refuses stray trailing bits, so one spelling remains.
fn hash_base64(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// `fmt`'s integers cost a third of a leaf's time; this is the plain loop.
fn put_decimal(out: &mut impl Write, mut value: u64) -> fmt::Result {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.write_str(std::str::from_utf8(&digits[start..]).unwrap_or_default())
}
