//! The database: a transaction is visible at its commit and durable at the next sync.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use orderlog::{Append, Frontier, Hash, Leaf, Rules, leaf_hash};
use uuid::Uuid;

use crate::{Claim, Decision, Head};

pub(super) struct Disk {
    pub(super) head: Head,
    pub(super) frontier: Frontier,
    pub(super) leaves: Vec<Leaf>,
    pub(super) claims: BTreeMap<Uuid, Claim>,
    pub(super) rules: HashMap<Hash, Arc<Rules>>,
    /// Who holds the head's lock.
    pub(super) locked_by: Option<usize>,
    /// How to take back each transaction that is not durable yet, oldest first.
    unsynced: Vec<Undo>,
}

struct Undo {
    head: Head,
    frontier: Frontier,
    leaves: usize,
    claims: Vec<(Uuid, Option<Claim>)>,
}

impl Disk {
    pub(super) fn new(rules: Rules, now_ms: i64) -> Self {
        let (head, leaves) = Head::create(Arc::new(rules), now_ms);
        let mut disk = Self {
            frontier: Frontier { size: 0, nodes: Vec::new() },
            leaves: Vec::new(),
            claims: BTreeMap::new(),
            rules: HashMap::from([(head.rules_sha, head.rules.clone())]),
            head,
            locked_by: None,
            unsynced: Vec::new(),
        };
        disk.append(&leaves);
        disk
    }

    /// Leaves that no crash can take back.
    pub(super) fn durable_size(&self) -> u64 {
        self.unsynced.first().map_or(self.leaves.len(), |undo| undo.leaves) as u64
    }

    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// Makes a transaction visible. A real schema would refuse one that gives a row an ordinal or a key another
    /// row still has when the statement runs; nothing else of a schema is checked here.
    pub(super) fn commit(&mut self, decision: &Decision) -> Result<(), String> {
        for decided in decision.changed.iter().filter(|decided| decided.was.is_none()) {
            self.check_unique(&decided.claim)?;
        }
        let mut undo = Undo {
            head: self.head.clone(),
            frontier: self.frontier.clone(),
            leaves: self.leaves.len(),
            claims: Vec::with_capacity(decision.changed.len()),
        };
        for decided in &decision.changed {
            let claim = (*decided.claim).clone();
            undo.claims.push((claim.id, self.claims.insert(claim.id, claim)));
        }
        self.unsynced.push(undo);
        self.rules.extend(decision.rules.iter().cloned());
        self.append(&decision.leaves);
        self.head = decision.head.clone();
        Ok(())
    }

    /// Everything visible is durable.
    pub(super) fn sync(&mut self) {
        self.unsynced.clear();
    }

    /// Power is gone: the first `kept` of the transactions that were not synced happened to reach the disk.
    /// Returns how many were lost.
    pub(super) fn power_cut(&mut self, kept: usize) -> usize {
        self.locked_by = None;
        let lost = self.unsynced.len().saturating_sub(kept);
        for undo in self.unsynced.drain(kept.min(self.unsynced.len())..).rev() {
            self.head = undo.head;
            self.frontier = undo.frontier;
            self.leaves.truncate(undo.leaves);
            for (id, before) in undo.claims.into_iter().rev() {
                match before {
                    Some(claim) => self.claims.insert(id, claim),
                    None => self.claims.remove(&id),
                };
            }
        }
        self.unsynced.clear();
        lost
    }

    fn append(&mut self, leaves: &[Leaf]) {
        let mut append = Append::new(self.frontier.clone());
        for leaf in leaves {
            append.push(leaf_hash(leaf.to_string().as_bytes()));
        }
        self.frontier = append.finish().frontier().clone();
        self.leaves.extend_from_slice(leaves);
    }

    fn check_unique(&self, new: &Claim) -> Result<(), String> {
        for old in self.claims.values() {
            if old.state.open() && old.person == new.person && old.ordinal == new.ordinal {
                return Err(format!("the row of seq {} has an ordinal that seq {} still has", new.seq, old.seq));
            }
            if new.idem_key.is_some() && old.user_id == new.user_id && old.idem_key == new.idem_key {
                return Err(format!("the rows of seq {} and {} have one key", new.seq, old.seq));
            }
        }
        Ok(())
    }
}
