//! The line of those who wait.

use orderlog::{Event, ReturnTo, Want};

use super::Batch;
use crate::batch::NeedLine;
use crate::claim::ClaimState;

impl Batch<'_> {
    /// Whether places still go to those who wait.
    pub(super) fn line_is_open(&self) -> bool {
        !self.head.closed || self.head.rules.line_after_close
    }

    /// Whether units that come free go to the line by themselves.
    pub(super) fn line_moves(&self) -> bool {
        self.head.rules.return_to == ReturnTo::Line && self.line_is_open()
    }

    /// Gives units back to their pools.
    pub(super) fn free(&mut self, want: &Want) {
        for (code, units) in want.units() {
            let Some(i) = self.head.place(code) else {
                continue;
            };
            let pool = &mut self.head.pools[i];
            // Why: nobody was waiting for a pool that had enough for the largest want there can be.
            self.freed[i] |= pool.free() < self.head.rules.units_max;
            pool.taken = pool.taken.saturating_sub(*units);
        }
    }

    /// Makes every pool count as freed: the rules may have changed what the line could take anywhere.
    pub(super) fn free_everywhere(&mut self) {
        self.freed = vec![true; self.head.pools.len()];
    }

    /// Grants what the freed units allow: lowest seq first, passing over whose whole want is not free. To be called
    /// after each leaf that freed units, before anything else is decided.
    pub(super) fn run_line(&mut self) -> Result<(), NeedLine> {
        if self.line_moves() {
            self.grant_in_turn()?;
        }
        let left = self.freed.iter().zip(&self.head.pools).any(|(freed, pool)| *freed && pool.free() > 0);
        self.came_free |= left;
        self.freed.fill(false);
        Ok(())
    }

    fn grant_in_turn(&mut self) -> Result<(), NeedLine> {
        let mut at = self.line_start;
        let mut leading = true;
        let mut worth_looking = self.head.waiting > 0 && self.somebody_could_want();
        while worth_looking {
            if at == self.line_loaded && !self.line_complete {
                let after_seq = self.line[..at].last().map_or(0, |last| self.claim_at(*last).seq);
                return Err(NeedLine { after_seq });
            }
            let Some(&work) = self.line.get(at) else {
                break;
            };
            at += 1;
            let claim = self.claim_at(work);
            if claim.state == ClaimState::Waitlisted {
                if self.head.is_free(&claim.want) {
                    self.grant(work);
                    worth_looking = self.head.waiting > 0 && self.somebody_could_want();
                } else {
                    leading = false;
                }
            }
            if leading {
                self.line_start = at;
            }
        }
        Ok(())
    }

    /// Whether the walk through the line can still find anybody: only who wants a freed pool can have become
    /// grantable, and everybody wants something of each required group. Ends the walk of a long line early.
    fn somebody_could_want(&self) -> bool {
        let rules = &self.head.rules;
        let has_room = |i: usize| self.head.pools[i].free() > 0;
        self.freed.iter().enumerate().any(|(i, freed)| *freed && has_room(i))
            && rules.want.iter().filter(|rule| rule.min > 0).all(|rule| {
                let mut of_group = rules.pools.iter().filter(|pool| pool.group == rule.group);
                of_group.any(|pool| self.head.place(&pool.code).is_some_and(has_room))
            })
    }

    /// A waiting claim whose want is free is held now, or confirmed where that is the rule.
    pub(super) fn grant(&mut self, at: usize) -> u64 {
        let want = self.claim_at(at).want.clone();
        let seq = self.claim_at(at).seq;
        let leaf = self.log(Event::Grant { seq });
        self.head.take(&want);
        self.head.waiting -= 1;
        let hold_s = self.head.rules.waitlist_hold_s;
        let (state, hold_until_ms, confirm_no) = self.placed(&want, hold_s);
        let claim = self.change(at);
        claim.state = state;
        claim.hold_until_ms = hold_until_ms;
        claim.confirm_no = confirm_no;
        self.work[at].granted = true;
        leaf
    }

    /// Whether somebody known to wait could take what is free although the line should have given it to him.
    pub(super) fn somebody_could_take(&self) -> bool {
        self.line_moves()
            && self
                .line
                .iter()
                .map(|at| self.claim_at(*at))
                .any(|claim| claim.state == ClaimState::Waitlisted && self.head.is_free(&claim.want))
    }
}
