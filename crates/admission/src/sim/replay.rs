//! What the claims must be, read from the log alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use orderlog::{ConfirmMode, Event, Hash, Leaf, Outcome, Person, Rules, Want};

use crate::{Claim, ClaimState, Head};

/// The state of the offer after some leaves.
#[derive(Default)]
pub(super) struct Replay {
    claims: BTreeMap<u64, Told>,
    rules: Option<Arc<Rules>>,
    paused: bool,
    closed: bool,
    refusals: u64,
    size: u64,
    decided_ms: i64,
}

/// A claim as the log tells it.
#[derive(PartialEq, Debug)]
struct Told {
    person: Person,
    want: Want,
    state: ClaimState,
    log_index: u64,
    /// End of its hold; meant only while held or paying.
    hold_until_ms: i64,
}

impl Replay {
    pub(super) fn push(&mut self, leaf: &Leaf, rules: &HashMap<Hash, Arc<Rules>>) -> Result<(), String> {
        self.size = leaf.index + 1;
        self.decided_ms = leaf.decided_ms;
        if let Event::Rules { sha } = &leaf.event {
            self.rules = Some(rules.get(sha).ok_or("rules that were never published")?.clone());
        }
        let rules = self.rules.clone().ok_or("no rules")?;
        let end_ms = |hold_s: u32| leaf.decided_ms + i64::from(hold_s) * 1000;
        match &leaf.event {
            Event::Claim { outcome: Outcome::Refused, .. } => self.refusals += 1,
            Event::Claim { seq, person, want, outcome, .. } => {
                let (state, hold_s) = match outcome {
                    Outcome::Confirmed => (ClaimState::Confirmed, 0),
                    Outcome::Waitlisted => (ClaimState::Waitlisted, 0),
                    Outcome::Assigned => (ClaimState::Held, rules.waitlist_hold_s),
                    _ => (ClaimState::Held, rules.hold_s),
                };
                let hold_until_ms = end_ms(hold_s);
                let told = Told { person: *person, want: want.clone(), state, log_index: leaf.index, hold_until_ms };
                self.claims.insert(*seq, told);
            }
            Event::Pause => self.paused = true,
            Event::Resume => self.paused = false,
            Event::Close => self.closed = true,
            Event::Rules { .. } | Event::Continues { .. } => {}
            event => {
                let seq = event.seq().ok_or("a step of no claim")?;
                let claim = self.claims.get_mut(&seq).ok_or("a step of an unknown claim")?;
                match event {
                    Event::Pay { .. } => claim.state = ClaimState::Paying,
                    Event::Hold { .. } => claim.state = ClaimState::Held,
                    Event::Confirm { .. } => claim.state = ClaimState::Confirmed,
                    Event::Amend { want, .. } => claim.want = want.clone(),
                    Event::Return { reason, .. } => claim.state = ClaimState::after(*reason),
                    Event::Grant { .. } if rules.confirm == ConfirmMode::AtOnce => {
                        claim.state = ClaimState::Confirmed;
                    }
                    _ => {
                        claim.state = ClaimState::Held;
                        claim.hold_until_ms = end_ms(rules.waitlist_hold_s);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the stored head and claims are those of the log.
    pub(super) fn compare<'a>(&self, head: &Head, claims: impl Iterator<Item = &'a Claim>) -> Result<(), String> {
        let told = (self.paused, self.closed, self.size, self.decided_ms, self.refusals);
        if told != (head.paused, head.closed, head.size, head.decided_ms, head.refusals) {
            return Err(format!("the head is {head:?} where the log tells {told:?}"));
        }
        if self.rules.as_ref() != Some(&head.rules) {
            return Err("the head's rules are not the log's".to_owned());
        }
        let mut seen = 0;
        for claim in claims {
            seen += 1;
            let told = self.claims.get(&claim.seq).ok_or_else(|| format!("no leaf made {claim:?}"))?;
            let timed = matches!(claim.state, ClaimState::Held | ClaimState::Paying);
            let stored = Told {
                person: claim.person,
                want: claim.want.clone(),
                state: claim.state,
                log_index: claim.log_index,
                hold_until_ms: claim.hold_until_ms.unwrap_or(told.hold_until_ms),
            };
            if stored != *told || timed != claim.hold_until_ms.is_some() {
                return Err(format!("{claim:?} where the log tells {told:?}"));
            }
        }
        if seen != self.claims.len() {
            return Err(format!("{seen} claims are stored, the log made {}", self.claims.len()));
        }
        Ok(())
    }
}
