//! What must be true of every history.
//!
//! After each commit and each power cut:
//! - the public checker, which shares no code with the core, finds nothing in the log, and its pools, open claims
//!   and numbers are the head's: never over capacity, one open claim per person, numbers without gaps, moves
//!   legal, grants in order and none left out;
//! - the log replayed gives the stored claims and head, and the stored frontier is the log's;
//! - `taken` of each pool is the sum of the claims that hold, the line as long as the head says, no bib given twice;
//! - nothing that was ever told is gone or otherwise: claims by number, refusals by person and want.
//!
//! At each answer: what it tells is durable, and agrees with everything told before.

use std::collections::{HashMap, HashSet};

use orderlog::check::Checker;
use orderlog::{Append, Event, Frontier, Outcome, Person, PoolCode, ReturnTo, Want, leaf_hash};
use uuid::Uuid;

use super::disk::Disk;
use super::replay::Replay;
use crate::{Answer, Claim, ClaimInput, ClaimState, Input};

#[derive(Default)]
pub(super) struct Judge {
    checker: Checker,
    replay: Replay,
    judged: usize,
    told: Told,
}

#[derive(Default)]
struct Told {
    /// Seq, person and leaf of each claim somebody was told of.
    claims: HashMap<Uuid, (u64, Person, u64)>,
    keys: HashMap<(Uuid, String), Uuid>,
    refusals: HashMap<(Person, Want), (u64, u64)>,
    /// Whose a bib of a course is, whatever becomes of the claim.
    bibs: HashMap<(Option<PoolCode>, u32), Uuid>,
    size: u64,
}

impl Judge {
    /// The disk's state moved on by commits.
    pub(super) fn committed(&mut self, disk: &Disk) -> Result<(), String> {
        if self.judged == 0 {
            for rules in disk.rules.values() {
                self.checker.add_rules(&rules.canonical()).map_err(|error| error.to_string())?;
            }
        }
        for leaf in &disk.leaves[self.judged..] {
            if let Event::Rules { sha } = &leaf.event
                && !self.checker.knows_rules(sha)
            {
                let rules = disk.rules.get(sha).ok_or("rules that were never published")?;
                self.checker.add_rules(&rules.canonical()).map_err(|error| error.to_string())?;
            }
            self.checker.push_bytes(leaf.to_string().as_bytes());
            self.replay.push(leaf, &disk.rules)?;
        }
        self.judged = disk.leaves.len();
        self.checker.finish();
        self.check_rows(disk)?;
        self.check_against_checker(disk)?;
        self.replay.compare(&disk.head, disk.claims.values())?;
        self.told.check(disk)
    }

    /// The disk came back after a power cut.
    pub(super) fn cut(&mut self, disk: &Disk) -> Result<(), String> {
        if (disk.leaves.len() as u64) < self.told.size {
            return Err(format!("{} leaves were told of, {} survived", self.told.size, disk.leaves.len()));
        }
        self.checker = Checker::new();
        self.replay = Replay::default();
        self.judged = 0;
        self.committed(disk)
    }

    /// An answer goes out; `size` is the log's at its decision.
    pub(super) fn answered(&mut self, disk: &Disk, size: u64, input: &Input, answer: &Answer) -> Result<(), String> {
        if disk.durable_size() < size {
            return Err(format!("{answer:?} of leaf {size} when {} are durable", disk.durable_size()));
        }
        self.told.size = self.told.size.max(size);
        let asked = match input {
            Input::Claim(asked) | Input::Assign { claim: asked } => Some(asked),
            Input::Move { .. } | Input::Hand(_) => None,
        };
        match (answer, asked) {
            (Answer::Placed { claim, .. } | Answer::Idempotent { claim }, Some(asked)) => {
                self.told.own_claim(claim, asked)?;
            }
            // An assignment is decided among the moves, and one behind it may have ended what there was.
            (Answer::Has { claim }, Some(asked))
                if claim.person != asked.person || matches!(input, Input::Claim(_)) && !claim.state.open() =>
            {
                return Err(format!("{asked:?} was told it has {claim:?}"));
            }
            (Answer::Refused { seq: Some(seq), index: Some(index), .. }, Some(asked)) => {
                self.told.refused(disk, asked, *seq, *index)?;
            }
            (Answer::Refused { seq: None, .. }, _) => {
                let rules = disk.rules.values().map(|rules| rules.refusals_logged_max).min();
                if rules.is_none_or(|most| disk.head.refusals < most) {
                    return Err("a refusal without a number while numbers were left".to_owned());
                }
            }
            _ => {}
        }
        if let Answer::Placed { claim, .. }
        | Answer::Has { claim }
        | Answer::Idempotent { claim }
        | Answer::Moved { claim, .. } = answer
        {
            self.told.claim(claim)?;
        }
        Ok(())
    }

    /// At rest: nobody who waits could have what is free, and the frontier is that of all leaves.
    pub(super) fn at_rest(&self, disk: &Disk) -> Result<(), String> {
        let head = &disk.head;
        let line = head.rules.return_to == ReturnTo::Line && (!head.closed || head.rules.line_after_close);
        let waiting = disk.claims.values().filter(|claim| claim.state == ClaimState::Waitlisted);
        if let Some(claim) = waiting.filter(|claim| line && head.is_free(&claim.want)).min_by_key(|claim| claim.seq) {
            return Err(format!("{claim:?} still waits for what is free"));
        }
        let mut append = Append::new(Frontier { size: 0, nodes: Vec::new() });
        for leaf in &disk.leaves {
            append.push(leaf_hash(leaf.to_string().as_bytes()));
        }
        if *append.finish().frontier() != disk.frontier {
            return Err("the frontier is not that of the leaves".to_owned());
        }
        Ok(())
    }

    fn check_rows(&self, disk: &Disk) -> Result<(), String> {
        let head = &disk.head;
        let waiting = disk.claims.values().filter(|claim| claim.state == ClaimState::Waitlisted).count();
        if waiting as u64 != head.waiting {
            return Err(format!("{waiting} wait, the head says {}", head.waiting));
        }
        for pool in &head.pools {
            let holding = disk.claims.values().filter(|claim| claim.state.holding());
            let taken: u32 = holding.map(|claim| claim.want.of(&pool.code)).sum();
            if taken != pool.taken {
                return Err(format!("{taken} of {pool:?} are held"));
            }
        }
        let mut bibs = HashSet::new();
        for claim in disk.claims.values() {
            if (claim.state == ClaimState::Confirmed) != claim.confirm_no.is_some() && claim.state.open() {
                return Err(format!("a bib without confirmation, or the reverse: {claim:?}"));
            }
            let course = course(&claim.want);
            if claim.confirm_no.is_some_and(|no| !bibs.insert((course, no))) {
                return Err(format!("a bib was given twice: {claim:?}"));
            }
        }
        Ok(())
    }

    fn check_against_checker(&self, disk: &Disk) -> Result<(), String> {
        if let Some(violation) = self.checker.violations().first() {
            return Err(format!("the checker found: {violation}"));
        }
        let of_checker = self.checker.pools().into_iter().map(|p| (p.code, p.capacity, p.held_back, p.taken));
        let of_head =
            disk.head.pools.iter().map(|p| (p.code, u64::from(p.capacity), u64::from(p.held_back), u64::from(p.taken)));
        if !of_checker.eq(of_head) {
            return Err(format!("the checker has other pools than {:?}", disk.head.pools));
        }
        let open = self.checker.open();
        if open.waitlisted != disk.head.waiting || self.checker.claims() + 1 != disk.head.next_seq {
            return Err(format!("the checker counts {open:?} and {} numbers", self.checker.claims()));
        }
        Ok(())
    }
}

impl Told {
    fn own_claim(&mut self, claim: &Claim, asked: &ClaimInput) -> Result<(), String> {
        if claim.person != asked.person {
            return Err(format!("{asked:?} was told of somebody else's {claim:?}"));
        }
        if let Some((key, _)) = &asked.idem {
            let id = *self.keys.entry((asked.user_id, key.clone())).or_insert(claim.id);
            if id != claim.id {
                return Err(format!("key {key} was told claim {id} and {}", claim.id));
            }
        }
        Ok(())
    }

    fn claim(&mut self, claim: &Claim) -> Result<(), String> {
        let now = (claim.seq, claim.person, claim.log_index);
        let before = *self.claims.entry(claim.id).or_insert(now);
        if before != now {
            return Err(format!("{before:?} was told, now {claim:?}"));
        }
        if let Some(no) = claim.confirm_no {
            let owner = *self.bibs.entry((course(&claim.want), no)).or_insert(claim.id);
            if owner != claim.id {
                return Err(format!("bib {no} was told to claim {owner}, now {claim:?}"));
            }
        }
        Ok(())
    }

    fn refused(&mut self, disk: &Disk, asked: &ClaimInput, seq: u64, index: u64) -> Result<(), String> {
        let before = *self.refusals.entry((asked.person, asked.want.clone())).or_insert((seq, index));
        if before != (seq, index) {
            return Err(format!("{} was refused as {before:?}, now as {:?}", asked.person, (seq, index)));
        }
        check_refusal(disk, &asked.person, &asked.want, (seq, index))
    }

    /// What was told is still so.
    fn check(&self, disk: &Disk) -> Result<(), String> {
        for (id, told) in &self.claims {
            let claim = disk.claims.get(id).ok_or_else(|| format!("claim {told:?} was told and is gone"))?;
            if (claim.seq, claim.person, claim.log_index) != *told {
                return Err(format!("claim {told:?} was told, there is {claim:?}"));
            }
        }
        self.refusals.iter().try_for_each(|((person, want), told)| check_refusal(disk, person, want, *told))
    }
}

fn check_refusal(disk: &Disk, person: &Person, want: &Want, (seq, index): (u64, u64)) -> Result<(), String> {
    let leaf = disk.leaves.get(index as usize).map(|leaf| &leaf.event);
    let stands = matches!(leaf, Some(Event::Claim { seq: s, person: p, want: w, outcome: Outcome::Refused, .. })
        if (s, p, w) == (&seq, person, want));
    if stands { Ok(()) } else { Err(format!("refusal {seq} of {person} at {index} was told, there is {leaf:?}")) }
}

/// The pool that numbers a claim: every want of these histories names its course first.
fn course(want: &Want) -> Option<PoolCode> {
    want.units().first().map(|(code, _)| *code)
}
