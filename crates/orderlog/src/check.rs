//! The checker: recomputes a sale from its public log by its published rules, and names every lie.
//!
//! It knows the rules and the log, nothing of who decided: [`Checker`] takes the leaves one by one,
//! [`verify`] reads a whole log from wherever it is served or saved, with its signature, tree, tiles
//! and receipts.
//!
//! What the rules mean, where their text leaves room:
//! - **Return to the line.** After each leaf that frees units (`return` of a holding claim, `amend` of
//!   one, `rules`) all grants it allows stand at once: the very next leaves, lowest seq first, passing
//!   over whose whole want is not free. Nobody is granted after `close` unless `line_after_close`.
//! - **Return to the pool.** Nobody is granted by himself: units are open to whoever clicks next, a
//!   newcomer or somebody waiting, whose click is a `grant` whenever his whole want is free.
//! - **`rules`** set capacity and held-back units of every pool to their own values. Pools may be
//!   added, and removed while nothing of them is taken. The first leaf of a log that `continues`
//!   another repeats the rules in force and changes nothing.
//! - **The organiser's hand.** `assigned` and `assign` take from what is held back of each pool first,
//!   the rest from what is free, and skip opening, pause, line and close. Freed units never become
//!   held back again.
//! - **Holds.** `held` lasts `hold_s`; `grant`, `assign` and `assigned` last `waitlist_hold_s`; each by
//!   the rules in force at that leaf. `hold` goes back to the old end, even one that has passed.
//!   With `confirm: at_once`, `confirmed` stands in place of `held`, and a grant is confirmed.
//! - **`amend`** of a holding claim frees its old units and takes the new ones, all or nothing, and
//!   keeps its end; of a waiting one it changes the want only, and a grant follows if that is free.
//! - **One each.** Every open claim counts, a waiting one too.
//! - **Close.** The first leaf at or after `closes_ms` is `close`, unless rules of that very time
//!   brought the closing forward. Waiting claims may expire once no grant can come any more.
//! - **Refusals** are logged once per person and want, in each log anew.

use crate::want::PoolCode;
use std::fmt;
use uuid::Uuid;

mod sale;
mod verify;

pub use sale::Checker;
pub use verify::{Comparison, Source, compare, verify};

/// How many violations a report shows; it counts them all.
pub const VIOLATIONS_SHOWN_MAX: usize = 20;

/// What kind of lie a violation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ViolationKind {
    /// Something that must be served is not.
    Missing,
    /// The checkpoint is not signed by the published key, or names another log.
    Signature,
    /// The leaves do not hash to the checkpoint's root.
    Root,
    /// A hash tile is not what the leaves give.
    Tile,
    /// A receipt is not of this log, or its leaf is not what the log has there.
    Receipt,
    /// A receipt's checkpoint and this log are not one history: a split view.
    SplitView,
    /// Not a leaf of this format.
    Malformed,
    /// An index that does not follow the one before.
    Index,
    /// A time before the one before.
    Time,
    /// A seq that does not follow the one before.
    Seq,
    /// Rules that are not there, not those of the hash, not sound, or of another offer.
    Rules,
    /// Rules with less than is taken.
    BelowTaken,
    /// A log that does not continue the one it says.
    Continues,
    /// A claim before the opening.
    NotOpen,
    /// A claim after the close.
    Closed,
    /// A claim while paused.
    Paused,
    /// A want the rules do not allow.
    Want,
    /// More open claims than one person may have.
    PersonLimit,
    /// An outcome that the free units and the rules do not give.
    Outcome,
    /// Units given that were not there.
    OverCapacity,
    /// A grant before somebody who was first in the line.
    OutOfOrder,
    /// A grant that was due and did not come.
    GrantMissing,
    /// A step the claim could not take.
    IllegalMove,
    /// A hold or a wait ended before its time.
    EarlyExpiry,
    /// The same refusal numbered twice, or more refusals than the rules let be logged.
    Refusal,
    /// Paused while paused, resumed while not.
    PauseState,
    /// Closed twice, or not when it was time.
    Close,
}

impl fmt::Display for ViolationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        serde::Serialize::serialize(self, f)
    }
}

/// One lie: where and what.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// Which log of the offer, from 1.
    pub log_no: u32,
    /// The leaf's position; none where the log as a whole is meant.
    pub index: Option<u64>,
    pub kind: ViolationKind,
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log {}", self.log_no)?;
        if let Some(index) = self.index {
            write!(f, ", leaf {index}")?;
        }
        write!(f, ": {}: {}", self.kind, self.detail)
    }
}

/// The violations found so far: the first few in full, all of them counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    total: u64,
    shown: Vec<Violation>,
}

impl Findings {
    fn add(&mut self, log_no: u32, index: Option<u64>, kind: ViolationKind, detail: impl Into<String>) {
        self.total += 1;
        if self.shown.len() < VIOLATIONS_SHOWN_MAX {
            let detail = detail.into();
            self.shown.push(Violation { log_no, index, kind, detail });
        }
    }

    /// What was found after `before`, from which these findings went on.
    fn since(mut self, before: &Findings) -> Findings {
        self.total -= before.total;
        self.shown.drain(..before.shown.len());
        self
    }

    fn merge(&mut self, other: Findings) {
        self.total += other.total;
        let room = VIOLATIONS_SHOWN_MAX - self.shown.len();
        self.shown.extend(other.shown.into_iter().take(room));
    }
}

/// How often each thing happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Claims by their outcome; together they are the numbers given.
    pub held: u64,
    pub confirmed_at_once: u64,
    pub waitlisted: u64,
    pub refused: u64,
    pub assigned: u64,
    /// Waiting claims that got a place from the line, and from the organiser's hand.
    pub granted: u64,
    pub assigned_from_line: u64,
    /// Claims that ended, by reason.
    pub expired: u64,
    pub released: u64,
    pub cancelled: u64,
    pub failed: u64,
}

/// The open claims at the end of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct OpenClaims {
    pub waitlisted: u64,
    pub held: u64,
    pub paying: u64,
    pub confirmed: u64,
}

/// A pool at the end of the log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PoolReport {
    pub code: PoolCode,
    pub label: String,
    pub capacity: u64,
    pub held_back: u64,
    pub taken: u64,
}

/// One log of the offer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LogReport {
    pub log_no: u32,
    pub origin: String,
    pub size: u64,
    /// Base64, as in the checkpoint.
    pub root: String,
}

/// A receipt that was shown to the checker.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ReceiptReport {
    pub index: u64,
    pub leaf: String,
    /// The size of its checkpoint.
    pub size: u64,
}

/// What the log of an offer says, and whether it is true.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// No violation was found.
    pub verified: bool,
    pub offer: Option<Uuid>,
    /// Oldest first.
    pub logs: Vec<LogReport>,
    /// Numbers given: the highest seq.
    pub claims: u64,
    pub counts: Counts,
    pub open: OpenClaims,
    pub pools: Vec<PoolReport>,
    /// The receipts that hold, in the order given.
    pub receipts: Vec<ReceiptReport>,
    pub violations_total: u64,
    /// The first twenty.
    pub violations: Vec<Violation>,
}
