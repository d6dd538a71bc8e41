//! The sale, recomputed leaf by leaf.

use super::{Counts, Findings, OpenClaims, PoolReport, Violation, ViolationKind as Kind};
use crate::leaf::{Event, Leaf};
use crate::merkle::Hash;
use crate::person::Person;
use crate::rules::{ReturnTo, Rules};
use crate::want::{PoolCode, Want};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

mod claims;
mod moves;

/// Recomputes a sale from its leaves. Rules are given by [`Checker::add_rules`] before the leaf that
/// names them.
///
/// A violation is noted and the leaf then taken at its word, so that one lie is told once and the rest
/// of the log is still judged.
#[derive(Debug, Clone)]
pub struct Checker {
    log_no: u32,
    next_index: u64,
    decided_ms: i64,
    known_rules: HashMap<Hash, Arc<Rules>>,
    /// The log this one must say it continues.
    continues: Option<(String, u64, Hash)>,
    rules: Option<InForce>,
    paused: bool,
    closed: bool,
    next_seq: u64,
    pools: BTreeMap<PoolCode, Pool>,
    /// Open claims by seq.
    claims: HashMap<u64, Claim>,
    open_of: HashMap<Person, u32>,
    /// Waiting claims by want: the first of the line for a want is its lowest seq.
    line: BTreeMap<Want, BTreeSet<u64>>,
    /// Units came free, or a waiting want changed, and no other leaf stood since: grants may be due.
    grants_due: bool,
    refused: HashMap<Want, HashSet<Person>>,
    refusals: u64,
    counts: Counts,
    pub(super) findings: Findings,
}

#[derive(Debug, Clone)]
struct InForce {
    rules: Arc<Rules>,
    sha: Hash,
    since_ms: i64,
}

/// Units of a pool; `u64`, so that no lie overflows them.
#[derive(Debug, Clone, Copy, Default)]
struct Pool {
    capacity: u64,
    held_back: u64,
    taken: u64,
}

impl Pool {
    fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.held_back + self.taken)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waitlisted,
    Held,
    Paying,
    Confirmed,
}

#[derive(Debug, Clone)]
struct Claim {
    person: Person,
    want: Want,
    state: State,
    hold_end_ms: i64,
}

/// Where units are taken from.
#[derive(Clone, Copy)]
enum Take {
    Free,
    HeldBackFirst,
}

impl Default for Checker {
    fn default() -> Self {
        Checker {
            log_no: 1,
            next_index: 0,
            decided_ms: 0,
            known_rules: HashMap::new(),
            continues: None,
            rules: None,
            paused: false,
            closed: false,
            next_seq: 1,
            pools: BTreeMap::new(),
            claims: HashMap::new(),
            open_of: HashMap::new(),
            line: BTreeMap::new(),
            grants_due: false,
            refused: HashMap::new(),
            refusals: 0,
            counts: Counts::default(),
            findings: Findings::default(),
        }
    }
}

impl Checker {
    /// Before the first leaf of the first log.
    pub fn new() -> Checker {
        Checker::default()
    }

    /// Makes published rules known by their hash, unless they are not sound.
    pub fn add_rules(&mut self, bytes: &[u8]) -> Result<Hash, crate::FormatError> {
        let sha = Rules::sha_of(bytes);
        let rules = Rules::parse(bytes)?;
        self.known_rules.insert(sha, Arc::new(rules));
        Ok(sha)
    }

    /// Whether the rules of this hash were given.
    pub fn knows_rules(&self, sha: &Hash) -> bool {
        self.known_rules.contains_key(sha)
    }

    /// Goes on to the next log of the offer, which must say that it continues this one as it is now:
    /// of this origin, size and root. Claims, pools and numbers go on; indexes and refusals start anew.
    pub fn next_log(&mut self, origin: String, size: u64, root: Hash) {
        self.finish();
        self.log_no += 1;
        self.next_index = 0;
        self.continues = Some((origin, size, root));
        self.refused.clear();
        self.refusals = 0;
    }

    /// The next leaf's bytes.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        match Leaf::parse(bytes) {
            Ok(leaf) => self.push(&leaf),
            Err(error) => {
                self.lie(self.next_index, Kind::Malformed, error.to_string());
                self.next_index = self.next_index.saturating_add(1);
            }
        }
    }

    /// The next leaf.
    pub fn push(&mut self, leaf: &Leaf) {
        self.check_place(leaf);
        self.check_begin(leaf);
        self.check_close_due(leaf);
        self.check_grants_due(leaf);
        match &leaf.event {
            Event::Rules { sha } => self.rules_leaf(leaf, *sha),
            Event::Claim { seq, person, want, outcome, .. } => {
                self.claim(leaf, *seq, *person, want, *outcome);
            }
            Event::Pause | Event::Resume => {
                let pauses = leaf.event == Event::Pause;
                if self.paused == pauses {
                    self.lie(leaf.index, Kind::PauseState, "it already was so");
                }
                self.paused = pauses;
            }
            Event::Close => {
                if self.closed {
                    self.lie(leaf.index, Kind::Close, "closed a second time");
                }
                self.closed = true;
            }
            Event::Continues { origin, size, root } => {
                let said = (origin.clone(), *size, *root);
                if leaf.index != 1 || self.continues.take() != Some(said) {
                    self.lie(leaf.index, Kind::Continues, "not the log that this one follows");
                }
            }
            Event::Pay { seq }
            | Event::Hold { seq }
            | Event::Confirm { seq }
            | Event::Amend { seq, .. }
            | Event::Return { seq, .. }
            | Event::Grant { seq }
            | Event::Assign { seq } => self.step(leaf, *seq),
        }
    }

    /// After the last leaf: what was due must have come. Calling it again finds nothing new.
    pub fn finish(&mut self) {
        if let Some(seq) = self.grant_due() {
            self.lie(self.next_index, Kind::GrantMissing, format!("seq {seq} was next and free, and the log ends"));
        }
        self.grants_due = false;
    }

    /// What was found so far: the first twenty.
    pub fn violations(&self) -> &[Violation] {
        &self.findings.shown
    }

    /// How many were found so far.
    pub fn violations_total(&self) -> u64 {
        self.findings.total
    }

    /// The rules in force.
    pub fn rules(&self) -> Option<&Rules> {
        self.rules.as_ref().map(|in_force| &*in_force.rules)
    }

    /// Numbers given so far.
    pub fn claims(&self) -> u64 {
        self.next_seq - 1
    }

    /// What happened so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The open claims as they are now.
    pub fn open(&self) -> OpenClaims {
        let count = |state| self.claims.values().filter(|claim| claim.state == state).count() as u64;
        OpenClaims {
            waitlisted: count(State::Waitlisted),
            held: count(State::Held),
            paying: count(State::Paying),
            confirmed: count(State::Confirmed),
        }
    }

    /// The pools as they are now, sorted by code.
    pub fn pools(&self) -> Vec<PoolReport> {
        let report = |(code, pool): (&PoolCode, &Pool)| PoolReport {
            code: *code,
            label: self.rules().and_then(|rules| rules.pool(code)).map(|rule| rule.label.clone()).unwrap_or_default(),
            capacity: pool.capacity,
            held_back: pool.held_back,
            taken: pool.taken,
        };
        self.pools.iter().map(report).collect()
    }

    fn check_place(&mut self, leaf: &Leaf) {
        if leaf.index != self.next_index {
            self.lie(leaf.index, Kind::Index, format!("leaf {} was next", self.next_index));
        }
        self.next_index = leaf.index.saturating_add(1);
        if leaf.decided_ms < self.decided_ms {
            self.lie(leaf.index, Kind::Time, format!("decided before {}", self.decided_ms));
        }
        self.decided_ms = self.decided_ms.max(leaf.decided_ms);
    }

    /// A log begins with its rules, a later one then says what it continues.
    fn check_begin(&mut self, leaf: &Leaf) {
        let is_rules = matches!(leaf.event, Event::Rules { .. });
        if leaf.index == 0 && !is_rules {
            self.lie(0, Kind::Rules, "the log does not begin with its rules");
        }
        let is_continues = matches!(leaf.event, Event::Continues { .. });
        if leaf.index >= 1 && self.continues.is_some() && !is_continues {
            self.continues = None;
            self.lie(leaf.index, Kind::Continues, "it does not say which log it follows");
        }
    }

    fn check_close_due(&mut self, leaf: &Leaf) {
        let Some(in_force) = &self.rules else { return };
        let due = leaf.decided_ms >= in_force.rules.closes_ms && in_force.since_ms < leaf.decided_ms;
        // The first two leaves of a log that goes on state what was; what follows them is judged.
        let stating = leaf.index == 0 || matches!(leaf.event, Event::Continues { .. });
        if due && !self.closed && !stating && leaf.event != Event::Close {
            self.lie(leaf.index, Kind::Close, "it was time to close first");
            self.closed = true;
        }
    }

    fn check_grants_due(&mut self, leaf: &Leaf) {
        if !self.grants_due || matches!(leaf.event, Event::Grant { .. }) {
            return;
        }
        if let Some(seq) = self.grant_due() {
            self.lie(leaf.index, Kind::GrantMissing, format!("seq {seq} was next and free"));
        }
        self.grants_due = false;
    }

    fn rules_leaf(&mut self, leaf: &Leaf, sha: Hash) {
        let Some(rules) = self.known_rules.get(&sha).cloned() else {
            self.lie(leaf.index, Kind::Rules, format!("no sound rules of hash {}", hex::encode(sha)));
            return;
        };
        let since_ms = leaf.decided_ms;
        let new = InForce { rules: rules.clone(), sha, since_ms };
        let old = self.rules.replace(new);
        if leaf.index == 0 && self.continues.is_some() {
            if old.is_none_or(|old| old.sha != sha) {
                self.lie(0, Kind::Rules, "not the rules in force in the log it continues");
            }
            return;
        }
        if old.is_some_and(|old| old.rules.offer != rules.offer) {
            self.lie(leaf.index, Kind::Rules, "rules of another offer");
        }
        let mut pools = BTreeMap::new();
        for rule in &rules.pools {
            let (capacity, held_back) = (rule.capacity.into(), rule.held_back.into());
            let taken = self.pools.get(&rule.code).map_or(0, |pool| pool.taken);
            pools.insert(rule.code, Pool { capacity, held_back, taken });
        }
        let lost = self.pools.iter().find(|(code, pool)| pool.taken > 0 && !pools.contains_key(code));
        let below = pools.iter().find(|(_, pool)| pool.taken + pool.held_back > pool.capacity);
        if let Some((code, pool)) = lost.or(below) {
            let detail = format!("{} of pool {code} are taken", pool.taken);
            self.lie(leaf.index, Kind::BelowTaken, detail);
        }
        self.pools = pools;
        self.grants_due = true;
    }

    /// Whether places still go to those who wait.
    fn line_goes_on(&self) -> bool {
        self.rules().is_some_and(|rules| !self.closed || rules.line_after_close)
    }

    /// Who must be granted now, if anybody.
    fn grant_due(&self) -> Option<u64> {
        let to_line = self.rules().is_some_and(|rules| rules.return_to == ReturnTo::Line);
        let due = self.grants_due && to_line && self.line_goes_on();
        due.then(|| self.first_grantable()).flatten()
    }

    /// The lowest seq that waits and whose whole want is free.
    fn first_grantable(&self) -> Option<u64> {
        let free = self.line.iter().filter(|(want, _)| self.is_there(want, Take::Free));
        free.filter_map(|(_, waiting)| waiting.first().copied()).min()
    }

    fn is_there(&self, want: &Want, take: Take) -> bool {
        want.units().iter().all(|(code, units)| {
            self.pools.get(code).is_some_and(|pool| {
                let held_back = match take {
                    Take::Free => 0,
                    Take::HeldBackFirst => pool.held_back,
                };
                pool.free() + held_back >= u64::from(*units)
            })
        })
    }

    fn take(&mut self, want: &Want, take: Take) {
        for (code, units) in want.units() {
            let Some(pool) = self.pools.get_mut(code) else {
                continue;
            };
            let units = u64::from(*units);
            if let Take::HeldBackFirst = take {
                pool.held_back = pool.held_back.saturating_sub(units);
            }
            pool.taken += units;
        }
    }

    fn free(&mut self, want: &Want) {
        for (code, units) in want.units() {
            if let Some(pool) = self.pools.get_mut(code) {
                pool.taken = pool.taken.saturating_sub(u64::from(*units));
            }
        }
        self.grants_due = true;
    }

    fn lie(&mut self, index: u64, kind: Kind, detail: impl Into<String>) {
        self.findings.add(self.log_no, Some(index), kind, detail);
    }
}

fn hold_end_ms(leaf: &Leaf, hold_s: u32) -> i64 {
    leaf.decided_ms.saturating_add(i64::from(hold_s) * 1000)
}
