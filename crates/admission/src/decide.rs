//! The decision about one batch.

use std::borrow::Cow;
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use orderlog::{ConfirmMode, Event, Hash, Leaf, Person, PoolCode, ReturnReason, Rules, Want};
use uuid::Uuid;

use crate::batch::{Answer, Decided, Decision, Facts, Input, NeedLine, Refused};
use crate::claim::{Claim, ClaimState};
use crate::head::Head;

mod hand;
mod line;
mod moves;
mod place;
#[cfg(test)]
mod tests;

/// Decides a batch in the order given. Give moves before claims: what they free is then there for the line, and
/// no claim waits for a batch of its own.
///
/// `now_ms` is the database's clock; the decision's time is that or the newest leaf's, whichever is later. The first
/// batch at or after `closes_ms`, an empty one too, closes the offer before anything else.
///
/// Errors: [`NeedLine`] when units came free and more of the line must be known; nothing was decided then.
pub fn decide(
    head: &Head,
    facts: &Facts,
    refused: &dyn Refused,
    inputs: &[Input],
    now_ms: i64,
) -> Result<Decision, NeedLine> {
    let mut batch = Batch::new(head, facts, refused, inputs.len(), now_ms);
    batch.close_if_due();
    for input in inputs {
        let reply = match input {
            Input::Claim(input) => batch.claim(input),
            Input::Move { claim, by, mv } => batch.step(*claim, *by, mv)?,
            Input::Assign { claim } => batch.assign(claim)?,
            Input::Hand(hand) => batch.hand(hand)?,
        };
        batch.replies.push(reply);
    }
    Ok(batch.finish())
}

/// An answer whose claim, by its place in [`Batch::work`], may still move within the batch.
enum Reply {
    Placed(usize, u64),
    Has(usize),
    Idempotent(usize),
    Moved(usize, Option<u64>),
    Done(Answer),
}

/// A claim the batch knows; owned once it is made or changed here.
struct Work<'a> {
    claim: Cow<'a, Claim>,
    /// State before the batch; none for a claim it made.
    was: Option<ClaimState>,
    granted: bool,
    /// Returned in this batch, and why: its row still has its ordinal.
    returned: Option<ReturnReason>,
    /// The same person's claim met before this one.
    previous: Option<usize>,
}

struct Batch<'a> {
    head: Head,
    refused_before: &'a dyn Refused,
    decided_ms: i64,
    leaves: Vec<Leaf>,
    replies: Vec<Reply>,
    work: Vec<Work<'a>>,
    by_id: HashMap<Uuid, usize>,
    /// The claim of a person met last; the others follow by [`Work::previous`].
    by_person: HashMap<Person, usize>,
    by_key: HashMap<(Uuid, &'a str), usize>,
    /// Waiting claims by seq; those that left the line stay in it and are skipped.
    line: Vec<usize>,
    /// How much of `line` came with the facts.
    line_loaded: usize,
    line_complete: bool,
    /// Nobody before this place in `line` still waits.
    line_start: usize,
    /// Per pool: units came free that somebody may have been waiting for.
    freed: Vec<bool>,
    came_free: bool,
    rules: Vec<(Hash, Arc<Rules>)>,
    refused: Vec<(Person, Want, u64, u64)>,
    refused_now: HashMap<(Person, Want), (u64, u64)>,
}

impl<'a> Batch<'a> {
    fn new(head: &Head, facts: &'a Facts, refused: &'a dyn Refused, inputs: usize, now_ms: i64) -> Self {
        let known = facts.claims.len() + facts.line.len();
        let mut batch = Self {
            head: head.clone(),
            refused_before: refused,
            decided_ms: now_ms.max(head.decided_ms),
            leaves: Vec::with_capacity(inputs + 1),
            replies: Vec::with_capacity(inputs),
            work: Vec::with_capacity(known + inputs),
            by_id: HashMap::with_capacity(known + inputs),
            by_person: HashMap::with_capacity(known + inputs),
            by_key: HashMap::with_capacity(known + inputs),
            line: Vec::with_capacity(facts.line.len()),
            line_loaded: facts.line.len(),
            line_complete: facts.line_complete || facts.line.len() as u64 >= head.waiting,
            line_start: 0,
            freed: vec![false; head.pools.len()],
            came_free: false,
            rules: Vec::new(),
            refused: Vec::new(),
            refused_now: HashMap::new(),
        };
        debug_assert!(facts.line.is_sorted_by(|a, b| a.seq < b.seq), "the line comes by seq");
        for claim in &facts.claims {
            batch.know(claim);
        }
        for claim in &facts.line {
            let at = batch.know(claim);
            batch.line.push(at);
        }
        batch
    }

    fn know(&mut self, claim: &'a Claim) -> usize {
        let at = self.work.len();
        match self.by_id.entry(claim.id) {
            Entry::Occupied(known) => return *known.get(),
            Entry::Vacant(place) => place.insert(at),
        };
        if let Some(key) = &claim.idem_key {
            self.by_key.insert((claim.user_id, key), at);
        }
        let previous = self.by_person.insert(claim.person, at);
        self.work.push(Work {
            claim: Cow::Borrowed(claim),
            was: Some(claim.state),
            granted: false,
            returned: None,
            previous,
        });
        at
    }

    fn claim_at(&self, at: usize) -> &Claim {
        &self.work[at].claim
    }

    /// The claim, to change it.
    fn change(&mut self, at: usize) -> &mut Claim {
        self.work[at].claim.to_mut()
    }

    /// The places in `work` of a person's claims, ended ones too, in no order of meaning.
    fn of_person(&self, person: &Person) -> impl Iterator<Item = usize> {
        std::iter::successors(self.by_person.get(person).copied(), |at| self.work[*at].previous)
    }

    fn log(&mut self, event: Event) -> u64 {
        let index = self.head.size;
        self.leaves.push(Leaf { index, decided_ms: self.decided_ms, event });
        self.head.size += 1;
        self.head.decided_ms = self.decided_ms;
        index
    }

    fn hold_end(&self, hold_s: u32) -> Option<i64> {
        Some(self.decided_ms.saturating_add(i64::from(hold_s) * 1000))
    }

    fn confirms_at_once(&self) -> bool {
        self.head.rules.confirm == ConfirmMode::AtOnce
    }

    /// State, end of hold and bib of a claim that takes `want` now, its units being taken already.
    fn placed(&mut self, want: &Want, hold_s: u32) -> (ClaimState, Option<i64>, Option<u32>) {
        if self.confirms_at_once() {
            (ClaimState::Confirmed, None, self.next_confirm_no(want))
        } else {
            (ClaimState::Held, self.hold_end(hold_s), None)
        }
    }

    /// The pool a want's confirmation is numbered in: its first of the first wanted group.
    fn numbering_pool(&self, want: &Want) -> Option<usize> {
        let rules = &self.head.rules;
        let group = rules.want.first().map(|rule| &rule.group);
        let numbering = |code: &&PoolCode| rules.pool(code).map(|pool| &pool.group) == group;
        let mut codes = want.units().iter().map(|(code, _)| code);
        let code = codes.clone().find(numbering).or_else(|| codes.next())?;
        self.head.place(code)
    }

    fn next_confirm_no(&mut self, want: &Want) -> Option<u32> {
        let at = self.numbering_pool(want)?;
        let pool = &mut self.head.pools[at];
        pool.confirm_no += 1;
        Some(pool.confirm_no)
    }

    fn close_if_due(&mut self) {
        if !self.head.closed && self.decided_ms >= self.head.rules.closes_ms {
            self.log(Event::Close);
            self.head.closed = true;
        }
    }

    fn finish(mut self) -> Decision {
        if self.came_free {
            self.head.free_epoch += 1;
        }
        let mut changed = Vec::with_capacity(self.leaves.len());
        let claims: Vec<Final<'_>> = self
            .work
            .into_iter()
            .map(|work| match work.claim {
                Cow::Borrowed(claim) => Final::Same(claim),
                Cow::Owned(claim) => {
                    let claim = Arc::new(claim);
                    changed.push(Decided {
                        claim: claim.clone(),
                        was: work.was,
                        returned: work.returned,
                        granted: work.granted,
                    });
                    Final::Changed(claim)
                }
            })
            .collect();
        let answers = self
            .replies
            .into_iter()
            .map(|reply| match reply {
                Reply::Placed(at, leaf) => Answer::Placed { claim: claims[at].share(), leaf },
                Reply::Has(at) => Answer::Has { claim: claims[at].share() },
                Reply::Idempotent(at) => Answer::Idempotent { claim: claims[at].share() },
                Reply::Moved(at, leaf) => Answer::Moved { claim: claims[at].share(), leaf },
                Reply::Done(answer) => answer,
            })
            .collect();
        Decision { head: self.head, leaves: self.leaves, changed, answers, rules: self.rules, refused: self.refused }
    }
}

/// A claim at the end of the batch.
enum Final<'a> {
    Same(&'a Claim),
    Changed(Arc<Claim>),
}

impl Final<'_> {
    fn share(&self) -> Arc<Claim> {
        match self {
            Self::Same(claim) => Arc::new((*claim).clone()),
            Self::Changed(claim) => claim.clone(),
        }
    }
}
