//! What goes into a decision and what comes out of it.

use std::sync::Arc;

use orderlog::{FormatError, Hash, Leaf, Person, PoolCode, ReturnReason, Rules, Want, WantError};
use uuid::Uuid;

use crate::claim::{Claim, ClaimInput, ClaimState};
use crate::head::Head;

/// One thing to decide.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody wants a place.
    Claim(ClaimInput),
    /// An existing claim moves.
    Move { claim: Uuid, by: MoveBy, mv: Move },
    /// The organiser places somebody: skips opening, pause, eligibility, line and closing.
    Assign { claim: ClaimInput },
    /// The organiser's hand on the offer itself.
    Hand(Hand),
}

/// Who moves a claim; decides which reasons of return he may give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MoveBy {
    /// The person with this user id. Somebody else's claim answers [`Answer::Gone`].
    Owner(Uuid),
    /// A job or the outcome of a payment.
    System,
    Organiser,
}

/// A step of the claim's state machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Move {
    /// `held → paying`: pinned before any call that can capture money.
    Pay,
    /// `paying → held`, until its old end.
    Unpay,
    /// `held | paying → confirmed`.
    Confirm,
    /// Any open state to its end. While paying only `failed` is legal.
    Return(ReturnReason),
    /// Another want, all or nothing; not while paying.
    Amend(Want),
}

/// What the organiser does to the offer.
#[derive(Clone, Debug)]
pub enum Hand {
    Pause,
    Resume,
    /// Closes early and for good.
    Close,
    /// New rules of the same offer. Every pool's capacity and held-back units become those of the rules, so
    /// whoever writes them puts in the held-back units that remain.
    Rules(Box<Rules>),
    /// The same, where the offer still is as it was when the rules were written; else [`Answer::MovedOn`].
    Edit {
        rules: Box<Rules>,
        basis: Basis,
    },
}

/// What new rules were made from. Another change of the rules, or an assignment of held-back units meanwhile, would be
/// undone by them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Basis {
    /// [`Head::version`].
    pub version: u64,
    /// The held-back units of every pool of the rules.
    pub held_back: Vec<(PoolCode, u32)>,
}

impl Basis {
    /// Whether the offer still is so.
    pub fn holds(&self, head: &Head) -> bool {
        // Why not all of the head's pools: a stored head still has those that earlier rules took away.
        let same = |(code, units): &(PoolCode, u32)| head.pool(code).is_some_and(|pool| pool.held_back == *units);
        self.version == head.version && self.held_back.iter().all(same)
    }
}

/// What the store read under the head's lock about the people and claims of a batch.
#[derive(Clone, Default, Debug)]
pub struct Facts {
    /// In any order, repeats allowed: all open claims of the people who claim or are assigned, their newest ended
    /// claim (it becomes `replaces`), the claims found by (user, idempotency key), the claims that moves name.
    pub claims: Vec<Claim>,
    /// Waiting claims by rising `seq` from the start of the line; may be empty when the batch frees no units.
    pub line: Vec<Claim>,
    /// Whether nobody waits behind `line`.
    pub line_complete: bool,
}

/// Units came free and the loaded part of the line was used up: load the waiting claims behind `after_seq` as
/// well (all loaded before stay in [`Facts::line`]) and decide the same batch again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NeedLine {
    pub after_seq: u64,
}

/// The fold of the log's refusals, complete up to the head's size.
pub trait Refused {
    /// `(seq, index)` of the leaf that refused this person this want.
    fn get(&self, person: &Person, want: &Want) -> Option<(u64, u64)>;
}

/// What one batch did. Nothing of it is true before it is committed.
#[derive(Clone, Debug)]
pub struct Decision {
    pub head: Head,
    /// To append, with indexes from the old head's size.
    pub leaves: Vec<Leaf>,
    /// Every claim inserted or changed, once, in its final state.
    pub changed: Vec<Decided>,
    /// One per input, in the same order.
    pub answers: Vec<Answer>,
    /// Every rules that came into force, oldest first, with the hash their leaf names: each is to be published,
    /// though only the last is in force in `head`.
    pub rules: Vec<(Hash, Arc<Rules>)>,
    /// Refusals numbered by this batch: person, want, seq, index.
    pub refused: Vec<(Person, Want, u64, u64)>,
}

/// A claim inserted or changed by a batch.
#[derive(Clone, Debug)]
pub struct Decided {
    pub claim: Arc<Claim>,
    /// Its state before the batch; none when the batch made it.
    pub was: Option<ClaimState>,
    /// Why it was returned in this batch, if it was.
    pub returned: Option<ReturnReason>,
    /// Whether it left the line for a place in this batch, by grant or by the organiser's hand.
    pub granted: bool,
}

/// The answer to one input. Claims in it are in their state at the end of the batch.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// A new claim: held, confirmed, waiting or assigned. `leaf` is the index of its leaf.
    Placed {
        claim: Arc<Claim>,
        leaf: u64,
    },
    /// He has an open claim already: the newest.
    Has {
        claim: Arc<Claim>,
    },
    /// The claim his idempotency key made, ended or not.
    Idempotent {
        claim: Arc<Claim>,
    },
    /// Nothing free and no line. `repeat`: numbered by an earlier leaf. Both numbers are none past the limit of
    /// logged refusals.
    Refused {
        seq: Option<u64>,
        index: Option<u64>,
        repeat: bool,
    },
    NotOpen {
        opens_ms: i64,
    },
    Closed,
    Paused,
    /// As many open claims as the rules allow.
    Limit,
    /// The key came before with another body.
    IdemMismatch,
    /// To be decided again in the next batch: a claim of the same person was returned in this one, and its
    /// row must give up its ordinal in a transaction of its own.
    NextBatch,
    /// `leaf` is none when the claim already was where the move leads.
    Moved {
        claim: Arc<Claim>,
        leaf: Option<u64>,
    },
    /// The state machine, or who moves, does not allow it.
    Illegal {
        state: ClaimState,
    },
    /// No such claim, or not his.
    Gone,
    /// `leaf` is none when the offer already was so.
    Hand {
        leaf: Option<u64>,
    },
    /// The new rules were made from what no longer is; nothing changed.
    MovedOn,
    /// The new rules leave this pool less room than is taken.
    BelowTaken {
        pool: PoolCode,
    },
    /// The new rules contradict what stands.
    BadRules(RulesClash),
    /// The rules do not allow this want.
    BadWant(WantError),
    /// Not enough units for the organiser's assignment or the amended want; nothing changed.
    NoUnits,
}

/// Why new rules are refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RulesClash {
    #[error("the rules are another offer's")]
    OtherOffer,
    #[error(transparent)]
    Invalid(#[from] FormatError),
    /// Why: the end of a walk through the line is found by what every waiting claim must want.
    #[error("claims that wait may want what the new rules forbid: {0}")]
    LineWantsOtherwise(&'static str),
}
