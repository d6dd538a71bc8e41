//! The organiser's hand on the offer.

use std::sync::Arc;

use orderlog::{Event, Rules};

use super::{Batch, Reply};
use crate::batch::{Answer, Hand, NeedLine, RulesClash};

impl Batch<'_> {
    /// A closed offer neither pauses nor resumes; what already is so is no error.
    pub(super) fn hand(&mut self, hand: &Hand) -> Result<Reply, NeedLine> {
        let leaf = match hand {
            Hand::Pause | Hand::Resume if self.head.closed => {
                return Ok(Reply::Done(Answer::Closed));
            }
            Hand::Pause if !self.head.paused => {
                self.head.paused = true;
                Some(self.log(Event::Pause))
            }
            Hand::Resume if self.head.paused => {
                self.head.paused = false;
                Some(self.log(Event::Resume))
            }
            Hand::Close if !self.head.closed => {
                self.head.closed = true;
                Some(self.log(Event::Close))
            }
            Hand::Pause | Hand::Resume | Hand::Close => None,
            Hand::Rules(rules) => return self.new_rules(rules),
            Hand::Edit { basis, .. } if !basis.holds(&self.head) => return Ok(Reply::Done(Answer::MovedOn)),
            Hand::Edit { rules, .. } => return self.new_rules(rules),
        };
        Ok(Reply::Done(Answer::Hand { leaf }))
    }

    fn new_rules(&mut self, rules: &Rules) -> Result<Reply, NeedLine> {
        if let Err(clash) = self.check_rules(rules) {
            return Ok(Reply::Done(Answer::BadRules(clash)));
        }
        let pools = match self.head.pools_under(rules) {
            Ok(pools) => pools,
            Err(pool) => return Ok(Reply::Done(Answer::BelowTaken { pool })),
        };
        let sha = rules.sha();
        if sha == self.head.rules_sha && pools == self.head.pools {
            return Ok(Reply::Done(Answer::Hand { leaf: None }));
        }
        let leaf = self.log(Event::Rules { sha });
        self.head.rules = Arc::new(rules.clone());
        self.rules.push((sha, self.head.rules.clone()));
        self.head.rules_sha = sha;
        self.head.version += 1;
        self.head.pools = pools;
        // Why: rules are rare, and any of their fields may open what was refused; memory starts afresh.
        self.came_free = true;
        self.free_everywhere();
        self.run_line()?;
        self.close_if_due();
        Ok(Reply::Done(Answer::Hand { leaf: Some(leaf) }))
    }

    /// While somebody waits, every waiting claim must stay within the rules: the walk through the line ends where
    /// no claim that keeps them could go on.
    fn check_rules(&self, rules: &Rules) -> Result<(), RulesClash> {
        let old = &self.head.rules;
        if rules.offer != old.offer {
            return Err(RulesClash::OtherOffer);
        }
        rules.validate()?;
        if self.head.waiting == 0 {
            return Ok(());
        }
        let clash = |what| Err(RulesClash::LineWantsOtherwise(what));
        if rules.units_max < old.units_max {
            return clash("fewer units");
        }
        let kept = |pool: &orderlog::PoolRule| rules.pools.iter().any(|p| p.code == pool.code && p.group == pool.group);
        if !old.pools.iter().all(kept) {
            return clash("a pool left or changed its group");
        }
        let min_before = |group: &str| old.want.iter().find(|rule| *rule.group == *group).map_or(0, |rule| rule.min);
        if rules.want.iter().any(|rule| rule.min > min_before(&rule.group)) {
            return clash("more of a group is required");
        }
        Ok(())
    }
}
