//! New claims.

use super::{Checker, Claim, Kind, State, Take, hold_end_ms};
use crate::leaf::{Leaf, Outcome};
use crate::person::Person;
use crate::rules::{ConfirmMode, Rules};
use crate::want::Want;

impl Checker {
    /// A new claim: whether it could be made, and whether its outcome is the one due.
    pub(super) fn claim(&mut self, leaf: &Leaf, seq: u64, person: Person, want: &Want, outcome: Outcome) {
        if seq != self.next_seq {
            self.lie(leaf.index, Kind::Seq, format!("seq {} was next", self.next_seq));
        }
        self.next_seq = seq.saturating_add(1);
        let Some(rules) = self.rules.as_ref().map(|in_force| in_force.rules.clone()) else {
            return;
        };
        if let Err(error) = rules.check_want(want) {
            self.lie(leaf.index, Kind::Want, error.to_string());
        }
        if outcome != Outcome::Assigned {
            self.check_open(leaf, &rules);
        }
        if self.open_of.get(&person).copied().unwrap_or(0) >= rules.per_person {
            let detail = format!("{person} has {} open claims already", rules.per_person);
            self.lie(leaf.index, Kind::PersonLimit, detail);
        }
        self.check_outcome(leaf, &rules, want, outcome);
        self.place(leaf, &rules, seq, person, want, outcome);
    }

    fn check_open(&mut self, leaf: &Leaf, rules: &Rules) {
        if leaf.decided_ms < rules.opens_ms {
            self.lie(leaf.index, Kind::NotOpen, format!("opens at {}", rules.opens_ms));
        }
        if self.closed || leaf.decided_ms >= rules.closes_ms {
            self.lie(leaf.index, Kind::Closed, "a claim after the close");
        }
        if self.paused {
            self.lie(leaf.index, Kind::Paused, "a claim while paused");
        }
    }

    fn check_outcome(&mut self, leaf: &Leaf, rules: &Rules, want: &Want, outcome: Outcome) {
        if outcome == Outcome::Assigned {
            if !self.is_there(want, Take::HeldBackFirst) {
                self.lie(leaf.index, Kind::OverCapacity, format!("{want} was not there to assign"));
            }
            return;
        }
        let free = self.is_there(want, Take::Free);
        let due = match (free, rules.confirm, rules.waitlist) {
            (true, ConfirmMode::Later, _) => Outcome::Held,
            (true, ConfirmMode::AtOnce, _) => Outcome::Confirmed,
            (false, _, true) => Outcome::Waitlisted,
            (false, _, false) => Outcome::Refused,
        };
        let given = matches!(outcome, Outcome::Held | Outcome::Confirmed);
        if given && !free {
            self.lie(leaf.index, Kind::OverCapacity, format!("{want} was not free"));
        } else if outcome != due {
            self.lie(leaf.index, Kind::Outcome, format!("{outcome} where {due} was due"));
        }
    }

    /// Takes the claim as the leaf tells it.
    fn place(&mut self, leaf: &Leaf, rules: &Rules, seq: u64, person: Person, want: &Want, outcome: Outcome) {
        let counts = &mut self.counts;
        let (count, state, hold_s, take) = match outcome {
            Outcome::Held => (&mut counts.held, State::Held, rules.hold_s, Take::Free),
            Outcome::Confirmed => (&mut counts.confirmed_at_once, State::Confirmed, 0, Take::Free),
            Outcome::Waitlisted => (&mut counts.waitlisted, State::Waitlisted, 0, Take::Free),
            Outcome::Assigned => (&mut counts.assigned, State::Held, rules.waitlist_hold_s, Take::HeldBackFirst),
            Outcome::Refused => {
                counts.refused += 1;
                self.refuse(leaf, rules, person, want);
                return;
            }
        };
        *count += 1;
        if state == State::Waitlisted {
            self.line.entry(want.clone()).or_default().insert(seq);
        } else {
            self.take(want, take);
        }
        *self.open_of.entry(person).or_default() += 1;
        let hold_end_ms = hold_end_ms(leaf, hold_s);
        let want = want.clone();
        self.claims.insert(seq, Claim { person, want, state, hold_end_ms });
    }

    fn refuse(&mut self, leaf: &Leaf, rules: &Rules, person: Person, want: &Want) {
        self.refusals += 1;
        if self.refusals > rules.refusals_logged_max {
            self.lie(leaf.index, Kind::Refusal, "more refusals than the rules let be logged");
        }
        let first = match self.refused.get_mut(want) {
            Some(people) => people.insert(person),
            None => self.refused.entry(want.clone()).or_default().insert(person),
        };
        if !first {
            self.lie(leaf.index, Kind::Refusal, format!("{person} has a number for {want} already"));
        }
    }
}
