//! New claims and the organiser's assignments.

use std::borrow::Cow;

use orderlog::{Event, Outcome, ReturnTo};

use super::{Batch, Reply, Work};
use crate::batch::{Answer, NeedLine};
use crate::claim::{Claim, ClaimInput, ClaimState};

impl<'a> Batch<'a> {
    /// Somebody's click. What he already has comes first, then whether the offer takes claims, then the units.
    pub(super) fn claim(&mut self, input: &'a ClaimInput) -> Reply {
        if let Some(reply) = self.known_by_key(input).or_else(|| self.already(input)) {
            return reply;
        }
        if let Some(answer) = self.shut() {
            return Reply::Done(answer);
        }
        if let Err(error) = self.head.rules.check_want(&input.want) {
            return Reply::Done(Answer::BadWant(error));
        }
        if self.head.is_free(&input.want) {
            debug_assert!(!self.somebody_could_take(), "a newcomer never takes what somebody waiting could have");
            self.head.take(&input.want);
            let hold_s = self.head.rules.hold_s;
            let outcome = if self.confirms_at_once() { Outcome::Confirmed } else { Outcome::Held };
            let (state, hold_until_ms, confirm_no) = self.placed(&input.want, hold_s);
            return self.make(input, outcome, state, hold_until_ms, confirm_no);
        }
        if self.head.rules.waitlist {
            self.head.waiting += 1;
            let reply = self.make(input, Outcome::Waitlisted, ClaimState::Waitlisted, None, None);
            self.line.push(self.work.len() - 1);
            return reply;
        }
        Reply::Done(self.refuse(input))
    }

    /// The organiser places somebody: who waits is moved, who holds keeps what he has.
    pub(super) fn assign(&mut self, input: &'a ClaimInput) -> Result<Reply, NeedLine> {
        if let Some(reply) = self.known_by_key(input) {
            return Ok(reply);
        }
        let open = |at: &usize| self.claim_at(*at).state.open();
        let newest = |batch: &Self, at: &usize| batch.claim_at(*at).seq;
        let waiting = self
            .of_person(&input.person)
            .filter(|at| self.claim_at(*at).state == ClaimState::Waitlisted)
            .max_by_key(|at| newest(self, at));
        if waiting.is_none() {
            if let Some(at) = self.of_person(&input.person).filter(open).max_by_key(|at| newest(self, at)) {
                return Ok(Reply::Has(at));
            }
            if self.returned_here(input) {
                return Ok(Reply::Done(Answer::NextBatch));
            }
        }
        if let Err(error) = self.head.rules.check_want(&input.want) {
            return Ok(Reply::Done(Answer::BadWant(error)));
        }
        if !self.head.is_assignable(&input.want) {
            return Ok(Reply::Done(Answer::NoUnits));
        }
        match waiting {
            Some(at) => Ok(self.assign_waiting(at, input)),
            None => {
                self.head.take_assigned(&input.want);
                let end = self.hold_end(self.head.rules.waitlist_hold_s);
                Ok(self.make(input, Outcome::Assigned, ClaimState::Held, end, None))
            }
        }
    }

    /// Moves somebody out of the line, first to the want the organiser named where that differs.
    fn assign_waiting(&mut self, at: usize, input: &ClaimInput) -> Reply {
        if self.claim_at(at).want != input.want
            && let (_, Some(granted)) = self.amend_waiting(at, &input.want)
        {
            return Reply::Moved(at, Some(granted));
        }
        self.head.take_assigned(&input.want);
        let end = self.hold_end(self.head.rules.waitlist_hold_s);
        let seq = self.claim_at(at).seq;
        let leaf = self.log(Event::Assign { seq });
        let claim = self.change(at);
        claim.state = ClaimState::Held;
        claim.hold_until_ms = end;
        self.work[at].granted = true;
        self.head.waiting -= 1;
        Reply::Moved(at, Some(leaf))
    }

    /// The claim this person's idempotency key made, whatever became of it.
    fn known_by_key(&self, input: &ClaimInput) -> Option<Reply> {
        let (key, body) = input.idem.as_ref()?;
        let at = *self.by_key.get(&(input.user_id, key.as_str()))?;
        let same = self.claim_at(at).idem_body.as_ref() == Some(body);
        Some(if same { Reply::Idempotent(at) } else { Reply::Done(Answer::IdemMismatch) })
    }

    /// The reply to somebody who has as much as he may, or had it until this very batch.
    fn already(&mut self, input: &ClaimInput) -> Option<Reply> {
        if !self.by_person.contains_key(&input.person) {
            return None;
        }
        let per_person = self.head.rules.per_person;
        let open = self.of_person(&input.person).filter(|at| self.claim_at(*at).state.open()).count();
        let full = open as u64 >= u64::from(per_person);
        if full && per_person > 1 && input.idem.is_some() {
            return Some(Reply::Done(Answer::Limit));
        }
        if open > 0 && (full || input.idem.is_none()) {
            return self.click_of_the_waiting(input).or_else(|| self.newest_open(input).map(Reply::Has));
        }
        self.returned_here(input).then_some(Reply::Done(Answer::NextBatch))
    }

    /// Where units return to the pool nobody is granted by himself: the click of somebody who waits takes them.
    fn click_of_the_waiting(&mut self, input: &ClaimInput) -> Option<Reply> {
        if self.head.rules.return_to != ReturnTo::Pool || !self.line_is_open() {
            return None;
        }
        let grantable = |at: &usize| {
            let claim = self.claim_at(*at);
            claim.state == ClaimState::Waitlisted && self.head.is_free(&claim.want)
        };
        let at = self.of_person(&input.person).filter(grantable).min_by_key(|at| self.claim_at(*at).seq)?;
        self.grant(at);
        Some(Reply::Has(at))
    }

    fn newest_open(&self, input: &ClaimInput) -> Option<usize> {
        self.of_person(&input.person)
            .filter(|at| self.claim_at(*at).state.open())
            .max_by_key(|at| self.claim_at(*at).seq)
    }

    fn returned_here(&self, input: &ClaimInput) -> bool {
        self.of_person(&input.person).any(|at| self.work[at].returned.is_some())
    }

    fn shut(&self) -> Option<Answer> {
        let opens_ms = self.head.rules.opens_ms;
        if self.head.closed {
            Some(Answer::Closed)
        } else if self.decided_ms < opens_ms {
            Some(Answer::NotOpen { opens_ms })
        } else if self.head.paused {
            Some(Answer::Paused)
        } else {
            None
        }
    }

    /// A refusal keeps its number for good, so only the first one for a want is a leaf.
    fn refuse(&mut self, input: &ClaimInput) -> Answer {
        let here = if self.refused_now.is_empty() {
            None
        } else {
            self.refused_now.get(&(input.person, input.want.clone())).copied()
        };
        if let Some((seq, index)) = here.or_else(|| self.refused_before.get(&input.person, &input.want)) {
            return Answer::Refused { seq: Some(seq), index: Some(index), repeat: true };
        }
        if self.head.refusals >= self.head.rules.refusals_logged_max {
            return Answer::Refused { seq: None, index: None, repeat: false };
        }
        self.head.refusals += 1;
        let (seq, index) = self.log_claim(input, Outcome::Refused);
        self.refused_now.insert((input.person, input.want.clone()), (seq, index));
        self.refused.push((input.person, input.want.clone(), seq, index));
        Answer::Refused { seq: Some(seq), index: Some(index), repeat: false }
    }

    fn log_claim(&mut self, input: &ClaimInput, outcome: Outcome) -> (u64, u64) {
        let seq = self.head.next_seq;
        self.head.next_seq += 1;
        let index = self.log(Event::Claim {
            seq,
            person: input.person,
            // Why: the log's times have no sign; a clock before 1970 is the receiver's mistake.
            received_ms: input.received_ms.max(0),
            want: input.want.clone(),
            outcome,
        });
        (seq, index)
    }

    fn make(
        &mut self,
        input: &'a ClaimInput,
        outcome: Outcome,
        state: ClaimState,
        hold_until_ms: Option<i64>,
        confirm_no: Option<u32>,
    ) -> Reply {
        let (seq, log_index) = self.log_claim(input, outcome);
        let claim = Claim {
            id: input.id,
            seq,
            person: input.person,
            user_id: input.user_id,
            ordinal: self.free_ordinal(input),
            state,
            want: input.want.clone(),
            log_index,
            hold_until_ms,
            confirm_no,
            idem_key: input.idem.as_ref().map(|(key, _)| key.clone()),
            idem_body: input.idem.as_ref().map(|(_, body)| *body),
            received_ms: input.received_ms,
            replaces: self.newest_ended(input),
            tag: input.tag.clone(),
        };
        let at = self.work.len();
        self.by_id.insert(claim.id, at);
        if let Some((key, _)) = &input.idem {
            self.by_key.insert((input.user_id, key), at);
        }
        let previous = self.by_person.insert(input.person, at);
        self.work.push(Work { claim: Cow::Owned(claim), was: None, granted: false, returned: None, previous });
        Reply::Placed(at, log_index)
    }

    fn free_ordinal(&self, input: &ClaimInput) -> u32 {
        let used = |ordinal: &u32| {
            self.of_person(&input.person)
                .map(|at| self.claim_at(at))
                .any(|claim| claim.state.open() && claim.ordinal == *ordinal)
        };
        (1..).find(|ordinal| !used(ordinal)).unwrap_or(u32::MAX)
    }

    fn newest_ended(&self, input: &ClaimInput) -> Option<uuid::Uuid> {
        self.of_person(&input.person)
            .map(|at| self.claim_at(at))
            .filter(|claim| !claim.state.open())
            .max_by_key(|claim| claim.seq)
            .map(|claim| claim.id)
    }
}
