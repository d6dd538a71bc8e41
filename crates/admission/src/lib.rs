//! The deciding core of everything scarce: first come, first served, over one or several pools.
//!
//! [`decide`] is a pure function from the head of an offer, the facts about the people of a batch, the fold of
//! its refusals and the inputs in their order, to a new head, the leaves of the public order log, the claims
//! that changed and an answer for each input. Whoever stores things gives it what it read under the head's lock
//! and writes what comes back in one transaction.
//!
//! Invariants the core keeps, whatever it is fed:
//! - in every pool `taken + held_back <= capacity`, and `taken` is the sum of the units of the claims that hold;
//! - nobody has more open claims than the rules allow, and their ordinals differ;
//! - sequence numbers and log indexes rise without gaps, and `decided_ms` never falls;
//! - while units return to the line, nobody waiting could take what is free, so a newcomer never jumps it.
//!
//! It never reads a clock, draws randomness, does I/O, or knows SQL or HTTP: time, ids and facts are arguments.
//! [`sim`] drives it through seeded histories with crashes, stale memory and a disk that forgets.

mod batch;
mod claim;
mod decide;
mod head;
mod refusals;
#[cfg(any(test, feature = "sim"))]
pub mod sim;

pub use batch::{Answer, Basis, Decided, Decision, Facts, Hand, Input, Move, MoveBy, NeedLine, Refused, RulesClash};
pub use claim::{Claim, ClaimInput, ClaimState, UnknownState};
pub use decide::decide;
pub use head::{Head, Pool};
pub use refusals::{FoldError, Refusals};
