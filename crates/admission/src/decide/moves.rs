//! Moves of existing claims.

use orderlog::{Event, ReturnReason, Want};
use uuid::Uuid;

use super::{Batch, Reply};
use crate::batch::{Answer, Move, MoveBy, NeedLine};
use crate::claim::ClaimState;

impl Batch<'_> {
    /// One step of the state machine. A step to where the claim already is changes nothing and is no error.
    pub(super) fn step(&mut self, id: Uuid, by: MoveBy, mv: &Move) -> Result<Reply, NeedLine> {
        let Some(&at) = self.by_id.get(&id) else {
            return Ok(Reply::Done(Answer::Gone));
        };
        if let MoveBy::Owner(user) = by
            && user != self.claim_at(at).user_id
        {
            return Ok(Reply::Done(Answer::Gone));
        }
        let state = self.claim_at(at).state;
        let seq = self.claim_at(at).seq;
        let moved = |leaf| Ok(Reply::Moved(at, leaf));
        match (mv, state) {
            (Move::Pay, ClaimState::Paying)
            | (Move::Unpay, ClaimState::Held)
            | (Move::Confirm, ClaimState::Confirmed) => moved(None),
            (Move::Return(_), state) if !state.open() => moved(None),
            (Move::Pay, ClaimState::Held) => {
                self.change(at).state = ClaimState::Paying;
                moved(Some(self.log(Event::Pay { seq })))
            }
            (Move::Unpay, ClaimState::Paying) => {
                self.change(at).state = ClaimState::Held;
                moved(Some(self.log(Event::Hold { seq })))
            }
            (Move::Confirm, ClaimState::Held | ClaimState::Paying) => moved(Some(self.confirm(at))),
            (Move::Return(reason), _) if self.may_return(at, by, *reason) => self.give_back(at, *reason),
            (Move::Amend(want), _) if self.claim_at(at).want == *want && state.open() => moved(None),
            (Move::Amend(want), ClaimState::Waitlisted | ClaimState::Held | ClaimState::Confirmed) => {
                self.amend(at, want)
            }
            _ => Ok(Reply::Done(Answer::Illegal { state })),
        }
    }

    fn confirm(&mut self, at: usize) -> u64 {
        let want = self.claim_at(at).want.clone();
        let confirm_no = self.next_confirm_no(&want);
        let claim = self.change(at);
        claim.state = ClaimState::Confirmed;
        claim.hold_until_ms = None;
        claim.confirm_no = confirm_no;
        let seq = claim.seq;
        self.log(Event::Confirm { seq })
    }

    /// Whether an open claim may end so. The state decides, not the clock: a hold that ran out is still a hold until
    /// its expiry is decided, and a claim being paid for ends only by the payment's outcome.
    fn may_return(&self, at: usize, by: MoveBy, reason: ReturnReason) -> bool {
        let claim = self.claim_at(at);
        match (by, reason) {
            (MoveBy::Owner(_), ReturnReason::Released) | (MoveBy::Organiser, ReturnReason::Cancelled) => {
                claim.state != ClaimState::Paying
            }
            (MoveBy::System, ReturnReason::Expired) => match claim.state {
                ClaimState::Held => claim.hold_until_ms.is_some_and(|end_ms| end_ms <= self.decided_ms),
                ClaimState::Waitlisted => !self.line_is_open(),
                _ => false,
            },
            (MoveBy::System, ReturnReason::Failed) => {
                matches!(claim.state, ClaimState::Held | ClaimState::Paying)
            }
            _ => false,
        }
    }

    fn give_back(&mut self, at: usize, reason: ReturnReason) -> Result<Reply, NeedLine> {
        let (seq, state) = (self.claim_at(at).seq, self.claim_at(at).state);
        let leaf = self.log(Event::Return { seq, reason });
        if state.holding() {
            let want = self.claim_at(at).want.clone();
            self.free(&want);
        } else {
            self.head.waiting -= 1;
        }
        let claim = self.change(at);
        claim.state = ClaimState::after(reason);
        claim.hold_until_ms = None;
        self.work[at].returned = Some(reason);
        if state.holding() {
            self.run_line()?;
        }
        Ok(Reply::Moved(at, Some(leaf)))
    }

    fn amend(&mut self, at: usize, want: &Want) -> Result<Reply, NeedLine> {
        if let Err(error) = self.head.rules.check_want(want) {
            return Ok(Reply::Done(Answer::BadWant(error)));
        }
        if self.claim_at(at).state == ClaimState::Waitlisted {
            let (amended, _) = self.amend_waiting(at, want);
            return Ok(Reply::Moved(at, Some(amended)));
        }
        if !self.fits_instead(at, want) {
            return Ok(Reply::Done(Answer::NoUnits));
        }
        let seq = self.claim_at(at).seq;
        let leaf = self.log(Event::Amend { seq, want: want.clone() });
        let old = std::mem::replace(&mut self.change(at).want, want.clone());
        self.free(&old);
        self.head.take(want);
        self.renumber(at, &old);
        self.run_line()?;
        Ok(Reply::Moved(at, Some(leaf)))
    }

    /// Another want in the same place of the line; granted at once where it is free, which concerns nobody else:
    /// no unit came free. Returns the amendment's leaf and the grant's.
    pub(super) fn amend_waiting(&mut self, at: usize, want: &Want) -> (u64, Option<u64>) {
        let claim = self.change(at);
        claim.want = want.clone();
        let seq = claim.seq;
        let amended = self.log(Event::Amend { seq, want: want.clone() });
        let granted = (self.line_is_open() && self.head.is_free(want)).then(|| self.grant(at));
        (amended, granted)
    }

    /// Whether the want of a holding claim would be free once its old units are back.
    fn fits_instead(&self, at: usize, want: &Want) -> bool {
        let old = &self.claim_at(at).want;
        want.units().iter().all(|(code, units)| {
            let free = self.head.pool(code).map_or(0, |pool| pool.free());
            u64::from(free) + u64::from(old.of(code)) >= u64::from(*units)
        })
    }

    /// A confirmed claim that went to another numbering pool needs a number of that pool.
    fn renumber(&mut self, at: usize, old: &Want) {
        let want = self.claim_at(at).want.clone();
        let confirmed = self.claim_at(at).state == ClaimState::Confirmed;
        if confirmed && self.numbering_pool(&want) != self.numbering_pool(old) {
            let confirm_no = self.next_confirm_no(&want);
            self.change(at).confirm_no = confirm_no;
        }
    }
}
