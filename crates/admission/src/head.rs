//! The head of an offer: everything a batch needs besides the facts about its people.

use std::sync::Arc;

use orderlog::{Event, Hash, Leaf, PoolCode, Rules, Want};

/// A counted stock of units.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pool {
    pub code: PoolCode,
    pub capacity: u32,
    /// Units only the organiser's hand gives.
    pub held_back: u32,
    /// Sum of the units of all holding claims.
    pub taken: u32,
    /// The last confirmation number given.
    pub confirm_no: u32,
}

impl Pool {
    /// Units anybody may take.
    pub const fn free(&self) -> u32 {
        self.capacity.saturating_sub(self.held_back).saturating_sub(self.taken)
    }

    /// Units the organiser's hand may give: held back, then free.
    pub const fn assignable(&self) -> u32 {
        self.capacity.saturating_sub(self.taken)
    }
}

/// The offer row and its pools, as read under the lock.
#[derive(Clone, PartialEq, Debug)]
pub struct Head {
    pub rules: Arc<Rules>,
    pub rules_sha: Hash,
    /// Which log of the offer this is, from 1.
    pub log_no: u32,
    pub paused: bool,
    /// Closed for good.
    pub closed: bool,
    pub next_seq: u64,
    /// Leaves in the log.
    pub size: u64,
    /// Time of the newest leaf in Unix milliseconds.
    pub decided_ms: i64,
    /// Rises whenever a want that was refused could now be held or wait-listed.
    pub free_epoch: u64,
    /// Claims in the line.
    pub waiting: u64,
    /// Refusal leaves in this log.
    pub refusals: u64,
    /// Counts the rules, from 1.
    pub version: u64,
    /// Sorted by code.
    pub pools: Vec<Pool>,
}

impl Head {
    /// The head of a new offer and its first leaf. The rules are to be valid ([`Rules::validate`]).
    pub fn create(rules: Arc<Rules>, now_ms: i64) -> (Self, Vec<Leaf>) {
        let rules_sha = rules.sha();
        let pools = pools_of(&rules);
        let head = Self {
            rules,
            rules_sha,
            log_no: 1,
            paused: false,
            closed: false,
            next_seq: 1,
            size: 1,
            decided_ms: now_ms,
            free_epoch: 0,
            waiting: 0,
            refusals: 0,
            version: 1,
            pools,
        };
        (head, vec![Leaf { index: 0, decided_ms: now_ms, event: Event::Rules { sha: rules_sha } }])
    }

    /// The head of the log that follows this one, which was restored from a backup or whose key was lost: indexes
    /// start at 0, sequence numbers go on. `origin` and `root` are the old log's, at this head's size. Refusals of
    /// the old log lose their standing; a person refused there gets a new number here.
    pub fn continues(&self, origin: String, root: Hash, now_ms: i64) -> (Self, Vec<Leaf>) {
        let decided_ms = now_ms.max(self.decided_ms);
        let events = [Event::Rules { sha: self.rules_sha }, Event::Continues { origin, size: self.size, root }];
        let leaves: Vec<Leaf> = (0u64..).zip(events).map(|(index, event)| Leaf { index, decided_ms, event }).collect();
        let head = Self {
            log_no: self.log_no + 1,
            size: leaves.len() as u64,
            decided_ms,
            free_epoch: self.free_epoch + 1,
            refusals: 0,
            ..self.clone()
        };
        (head, leaves)
    }

    /// The pool of this code.
    pub fn pool(&self, code: &PoolCode) -> Option<&Pool> {
        self.place(code).map(|i| &self.pools[i])
    }

    /// Whether the whole want is free of capacity that is not held back.
    pub fn is_free(&self, want: &Want) -> bool {
        want.units().iter().all(|(code, units)| self.pool(code).is_some_and(|p| p.free() >= *units))
    }

    /// Whether the organiser's hand could give the whole want.
    pub fn is_assignable(&self, want: &Want) -> bool {
        want.units().iter().all(|(code, units)| self.pool(code).is_some_and(|p| p.assignable() >= *units))
    }

    pub(crate) fn place(&self, code: &PoolCode) -> Option<usize> {
        self.pools.binary_search_by(|p| p.code.cmp(code)).ok()
    }

    /// Takes a want that is free.
    pub(crate) fn take(&mut self, want: &Want) {
        debug_assert!(self.is_free(want), "units are taken only where they are free");
        for (code, units) in want.units() {
            if let Some(i) = self.place(code) {
                self.pools[i].taken += units;
            }
        }
    }

    /// Takes a want that is assignable: of what is held back first, then of what is free.
    pub(crate) fn take_assigned(&mut self, want: &Want) {
        debug_assert!(self.is_assignable(want), "the organiser gives only what is there");
        for (code, units) in want.units() {
            if let Some(i) = self.place(code) {
                let pool = &mut self.pools[i];
                pool.held_back -= pool.held_back.min(*units);
                pool.taken += units;
            }
        }
    }

    /// The pools of `rules` with what is taken and numbered here, or the code of one that could not hold it.
    pub(crate) fn pools_under(&self, rules: &Rules) -> Result<Vec<Pool>, PoolCode> {
        let mut pools = pools_of(rules);
        for old in &self.pools {
            match pools.binary_search_by(|p| p.code.cmp(&old.code)) {
                Ok(i) => {
                    pools[i].taken = old.taken;
                    pools[i].confirm_no = old.confirm_no;
                }
                // A pool that gave numbers stays too: were it made anew, it would give them a second time.
                Err(_) if old.taken > 0 || old.confirm_no > 0 => return Err(old.code),
                Err(_) => {}
            }
        }
        let short = pools.iter().find(|p| u64::from(p.taken) + u64::from(p.held_back) > u64::from(p.capacity));
        match short {
            Some(pool) => Err(pool.code),
            None => Ok(pools),
        }
    }
}

fn pools_of(rules: &Rules) -> Vec<Pool> {
    rules
        .pools
        .iter()
        .map(|p| Pool { code: p.code, capacity: p.capacity, held_back: p.held_back, taken: 0, confirm_no: 0 })
        .collect()
}
