//! The steps of claims that exist.

use super::{Checker, Claim, Kind, State, Take, hold_end_ms};
use crate::leaf::{Event, Leaf, ReturnReason};
use crate::rules::{ConfirmMode, ReturnTo, Rules};
use crate::want::Want;
use std::sync::Arc;

impl Checker {
    /// A leaf about an open claim.
    pub(super) fn step(&mut self, leaf: &Leaf, seq: u64) {
        let Some(rules) = self.rules.as_ref().map(|in_force| in_force.rules.clone()) else {
            return;
        };
        let Some(claim) = self.claims.get(&seq).cloned() else {
            self.lie(leaf.index, Kind::IllegalMove, format!("{} of seq {seq}, which is not open", leaf.event.name()));
            return;
        };
        match &leaf.event {
            Event::Amend { want, .. } => self.amend(leaf, &rules, seq, claim, want),
            Event::Return { reason, .. } => self.give_back(leaf, &rules, seq, claim, *reason),
            Event::Grant { .. } => self.grant(leaf, &rules, seq, claim),
            Event::Assign { .. } => self.assign(leaf, &rules, seq, claim),
            _ => self.turn(leaf, seq, claim),
        }
    }

    /// Steps that change the state and nothing else.
    fn turn(&mut self, leaf: &Leaf, seq: u64, claim: Claim) {
        let (state, legal) = match leaf.event {
            Event::Pay { .. } => (State::Paying, claim.state == State::Held),
            Event::Hold { .. } => (State::Held, claim.state == State::Paying),
            _ => (State::Confirmed, matches!(claim.state, State::Held | State::Paying)),
        };
        if !legal {
            self.illegal(leaf, seq, &claim);
        }
        self.claims.insert(seq, Claim { state, ..claim });
    }

    fn amend(&mut self, leaf: &Leaf, rules: &Rules, seq: u64, claim: Claim, want: &Want) {
        if let Err(error) = rules.check_want(want) {
            self.lie(leaf.index, Kind::Want, error.to_string());
        }
        match claim.state {
            State::Waitlisted => {
                self.leave_line(seq, &claim.want);
                self.line.entry(want.clone()).or_default().insert(seq);
                self.grants_due = true;
            }
            State::Paying | State::Held | State::Confirmed => {
                if claim.state == State::Paying {
                    self.illegal(leaf, seq, &claim);
                }
                self.free(&claim.want);
                if !self.is_there(want, Take::Free) {
                    self.lie(leaf.index, Kind::OverCapacity, format!("{want} was not free"));
                }
                self.take(want, Take::Free);
            }
        }
        let want = want.clone();
        self.claims.insert(seq, Claim { want, ..claim });
    }

    fn give_back(&mut self, leaf: &Leaf, rules: &Arc<Rules>, seq: u64, claim: Claim, reason: ReturnReason) {
        let line_ended = self.closed && !rules.line_after_close;
        let may_expire = match claim.state {
            State::Held => leaf.decided_ms >= claim.hold_end_ms,
            State::Waitlisted => line_ended,
            State::Paying | State::Confirmed => false,
        };
        let legal = match reason {
            ReturnReason::Expired => matches!(claim.state, State::Held | State::Waitlisted),
            ReturnReason::Released | ReturnReason::Cancelled => claim.state != State::Paying,
            ReturnReason::Failed => matches!(claim.state, State::Held | State::Paying),
        };
        if !legal {
            self.illegal(leaf, seq, &claim);
        } else if reason == ReturnReason::Expired && !may_expire {
            self.lie(leaf.index, Kind::EarlyExpiry, format!("seq {seq} had not ended"));
        }
        let count = match reason {
            ReturnReason::Expired => &mut self.counts.expired,
            ReturnReason::Released => &mut self.counts.released,
            ReturnReason::Cancelled => &mut self.counts.cancelled,
            ReturnReason::Failed => &mut self.counts.failed,
        };
        *count += 1;
        if claim.state == State::Waitlisted {
            self.leave_line(seq, &claim.want);
        } else {
            self.free(&claim.want);
        }
        self.claims.remove(&seq);
        if let Some(open) = self.open_of.get_mut(&claim.person) {
            *open -= 1;
            if *open == 0 {
                self.open_of.remove(&claim.person);
            }
        }
    }

    fn grant(&mut self, leaf: &Leaf, rules: &Arc<Rules>, seq: u64, claim: Claim) {
        if claim.state != State::Waitlisted {
            self.illegal(leaf, seq, &claim);
            return;
        }
        let to_line = rules.return_to == ReturnTo::Line;
        if !self.line_goes_on() {
            self.lie(leaf.index, Kind::Closed, "a grant after the close");
        }
        if !self.is_there(&claim.want, Take::Free) {
            self.lie(leaf.index, Kind::OverCapacity, format!("{} was not free", claim.want));
        } else if to_line && let Some(first) = self.first_grantable().filter(|first| *first != seq) {
            self.lie(leaf.index, Kind::OutOfOrder, format!("seq {first} was before seq {seq}"));
        }
        self.counts.granted += 1;
        let (state, hold_s) = match rules.confirm {
            ConfirmMode::Later => (State::Held, rules.waitlist_hold_s),
            ConfirmMode::AtOnce => (State::Confirmed, 0),
        };
        self.leave_line(seq, &claim.want);
        self.take(&claim.want, Take::Free);
        let hold_end_ms = hold_end_ms(leaf, hold_s);
        self.claims.insert(seq, Claim { state, hold_end_ms, ..claim });
    }

    fn assign(&mut self, leaf: &Leaf, rules: &Arc<Rules>, seq: u64, claim: Claim) {
        if claim.state != State::Waitlisted {
            self.illegal(leaf, seq, &claim);
            return;
        }
        if !self.is_there(&claim.want, Take::HeldBackFirst) {
            self.lie(leaf.index, Kind::OverCapacity, format!("{} was not there to assign", claim.want));
        }
        self.counts.assigned_from_line += 1;
        self.leave_line(seq, &claim.want);
        self.take(&claim.want, Take::HeldBackFirst);
        let hold_end_ms = hold_end_ms(leaf, rules.waitlist_hold_s);
        let state = State::Held;
        self.claims.insert(seq, Claim { state, hold_end_ms, ..claim });
    }

    fn leave_line(&mut self, seq: u64, want: &Want) {
        if let Some(waiting) = self.line.get_mut(want) {
            waiting.remove(&seq);
            if waiting.is_empty() {
                self.line.remove(want);
            }
        }
    }

    fn illegal(&mut self, leaf: &Leaf, seq: u64, claim: &Claim) {
        let detail = format!("{} of seq {seq}, which is {:?}", leaf.event.name(), claim.state);
        self.lie(leaf.index, Kind::IllegalMove, detail);
    }
}
