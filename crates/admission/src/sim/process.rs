//! A process that decides for the offer: one effect at a time, so that a crash can come between any two.

use std::collections::VecDeque;

use super::Plant;
use super::world::World;
use crate::{Answer, Claim, ClaimInput, ClaimState, Decision, Facts, Head, Input, NeedLine, Refusals, decide};

/// How old a head may be for an answer from memory.
const HINT_MS: i64 = 250;
/// Waiting claims loaded at a time.
const LINE_PAGE: usize = 2;

/// Something asked of a process, to be answered once or lost with it.
pub(super) struct Request {
    pub(super) id: u64,
    pub(super) input: Input,
}

/// What a process has in memory; a crash leaves nothing of it.
#[derive(Default)]
pub(super) struct Process {
    pub(super) moves: VecDeque<Request>,
    pub(super) claims: VecDeque<Request>,
    stage: Stage,
    fold: Refusals,
    /// The newest durable head it saw, and when.
    hint: Option<(Head, i64)>,
}

/// The effect a process did last for the batch it works on.
#[derive(Default)]
enum Stage {
    #[default]
    Idle,
    Taken {
        batch: Batch,
        early: Option<Facts>,
    },
    Locked {
        batch: Batch,
        early: Option<Facts>,
        head: Head,
        now_ms: i64,
    },
    Known {
        batch: Batch,
        facts: Facts,
        head: Head,
        now_ms: i64,
    },
    Decided {
        batch: Batch,
        decision: Decision,
    },
    Written {
        batch: Batch,
        decision: Decision,
    },
    Committed {
        batch: Batch,
        decision: Decision,
    },
    Synced {
        batch: Batch,
        decision: Decision,
    },
}

struct Batch {
    ids: Vec<u64>,
    inputs: Vec<Input>,
}

impl Stage {
    /// What a crash now comes after.
    fn name(&self) -> &'static str {
        match self {
            Self::Idle => "crash when idle",
            Self::Taken { .. } => "crash after taking a batch",
            Self::Locked { .. } => "crash after locking the head",
            Self::Known { .. } => "crash after reading the facts",
            Self::Decided { .. } => "crash after deciding",
            Self::Written { .. } => "crash after writing, before commit",
            Self::Committed { .. } => "crash after commit, before sync",
            Self::Synced { .. } => "crash after sync, before the answers",
        }
    }

    fn batch(&self) -> Option<&Batch> {
        match self {
            Self::Idle => None,
            Self::Taken { batch, .. }
            | Self::Locked { batch, .. }
            | Self::Known { batch, .. }
            | Self::Decided { batch, .. }
            | Self::Written { batch, .. }
            | Self::Committed { batch, .. }
            | Self::Synced { batch, .. } => Some(batch),
        }
    }
}

impl Process {
    pub(super) fn idle(&self) -> bool {
        matches!(self.stage, Stage::Idle) && self.moves.is_empty() && self.claims.is_empty()
    }

    /// Everything asked of it and not answered.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = (u64, &Input)> {
        let queued = self.moves.iter().chain(&self.claims).map(|request| (request.id, &request.input));
        let taken = self.stage.batch().into_iter();
        queued.chain(taken.flat_map(|batch| batch.ids.iter().copied().zip(&batch.inputs)))
    }

    /// Why here: what is refused again is answered before it costs a place in the queue.
    pub(super) fn repeat(&self, input: &ClaimInput, now_ms: i64) -> Option<(Answer, &Head)> {
        let (head, read_ms) = self.hint.as_ref()?;
        let fresh = (0..=HINT_MS).contains(&(now_ms - read_ms));
        let open = (head.rules.opens_ms..head.rules.closes_ms).contains(&now_ms);
        if !fresh || !open || input.idem.is_some() {
            return None;
        }
        let (seq, index) = self.fold.repeat(head, &input.person, &input.want)?;
        Some((Answer::Refused { seq: Some(seq), index: Some(index), repeat: true }, head))
    }

    fn take(&mut self, limit: usize) -> Batch {
        let moves = self.moves.len().min(limit);
        let claims = self.claims.len().min(limit - moves);
        let taken = self.moves.drain(..moves).chain(self.claims.drain(..claims));
        let (ids, inputs) = taken.map(|request| (request.id, request.input)).unzip();
        Batch { ids, inputs }
    }
}

impl World {
    /// One effect of one process.
    pub(super) fn advance(&mut self, at: usize) -> Result<(), String> {
        let stage = std::mem::take(&mut self.processes[at].stage);
        let next = match stage {
            Stage::Idle => self.take_batch(at),
            Stage::Taken { batch, early } => self.lock_head(at, batch, early),
            Stage::Locked { batch, early, head, now_ms } => {
                let facts = early.unwrap_or_else(|| facts(self, &batch.inputs));
                self.fold_to_head(at)?;
                Stage::Known { batch, facts, head, now_ms }
            }
            Stage::Known { batch, facts, head, now_ms } => {
                let decision = self.decide(at, &batch.inputs, facts, &head, now_ms)?;
                Stage::Decided { batch, decision }
            }
            Stage::Decided { batch, decision } => Stage::Written { batch, decision },
            Stage::Written { batch, decision } => self.commit(batch, decision)?,
            Stage::Committed { batch, decision } if self.plant == Plant::AnswerBeforeSync => {
                Stage::Synced { batch, decision }
            }
            Stage::Committed { batch, decision } => {
                // A batch that wrote nothing waits too: what it read may be another's, not durable yet.
                self.disk.sync();
                Stage::Synced { batch, decision }
            }
            Stage::Synced { batch, decision } => {
                self.answer(at, batch, decision)?;
                Stage::Idle
            }
        };
        self.processes[at].stage = next;
        Ok(())
    }

    /// The process is gone, with its queue, its batch, its lock and all it remembered.
    pub(super) fn crash(&mut self, at: usize) {
        if self.disk.locked_by == Some(at) {
            self.disk.locked_by = None;
        }
        let gone = std::mem::take(&mut self.processes[at]);
        self.tally.count(gone.stage.name());
        for (id, input) in gone.unanswered() {
            self.lose(id, input);
        }
    }

    /// Reads the head, for answers from memory; what is not durable yet must not be told.
    pub(super) fn peek(&mut self, at: usize) -> Result<(), String> {
        if self.disk.unsynced() == 0 {
            self.fold_to_head(at)?;
            self.processes[at].hint = Some((self.disk.head.clone(), self.now_ms));
        }
        Ok(())
    }

    fn take_batch(&mut self, at: usize) -> Stage {
        let due = !self.disk.head.closed && self.now_ms >= self.disk.head.rules.closes_ms;
        if self.processes[at].idle() && !due {
            return Stage::Idle;
        }
        let limit = 1 + self.random.place(8);
        let batch = self.processes[at].take(limit);
        self.tally.count("batches");
        let early = (self.plant == Plant::FactsBeforeLock).then(|| facts(self, &batch.inputs));
        Stage::Taken { batch, early }
    }

    fn lock_head(&mut self, at: usize, batch: Batch, early: Option<Facts>) -> Stage {
        if self.disk.locked_by.is_some() {
            self.tally.count("waits for the lock");
            return Stage::Taken { batch, early };
        }
        self.disk.locked_by = Some(at);
        let remembered = self.processes[at].hint.as_ref().map(|(head, _)| head);
        let head = match remembered {
            Some(head) if self.plant == Plant::StaleHead => head.clone(),
            _ => self.disk.head.clone(),
        };
        Stage::Locked { batch, early, head, now_ms: self.now_ms }
    }

    fn fold_to_head(&mut self, at: usize) -> Result<(), String> {
        if self.plant == Plant::StaleFold && self.random.percent(50) {
            return Ok(());
        }
        let fold = &mut self.processes[at].fold;
        let mut new = self.disk.leaves.iter().skip(fold.size() as usize);
        new.try_for_each(|leaf| fold.apply(leaf)).map_err(|error| error.to_string())
    }

    fn decide(
        &mut self,
        at: usize,
        inputs: &[Input],
        mut facts: Facts,
        head: &Head,
        now_ms: i64,
    ) -> Result<Decision, String> {
        let mut line: Vec<&Claim> =
            self.disk.claims.values().filter(|claim| claim.state == ClaimState::Waitlisted).collect();
        line.sort_by_key(|claim| claim.seq);
        let fold = &self.processes[at].fold;
        loop {
            match decide(head, &facts, fold, inputs, now_ms) {
                Ok(decision) => return Ok(decision),
                Err(NeedLine { .. }) if facts.line_complete => {
                    return Err("more of the line was wanted than there is".to_owned());
                }
                Err(NeedLine { after_seq }) => {
                    self.tally.count("parts of the line loaded");
                    let more = line.iter().filter(|claim| claim.seq > after_seq).take(LINE_PAGE);
                    facts.line.extend(more.map(|claim| (*claim).clone()));
                    facts.line_complete = facts.line.len() >= line.len();
                }
            }
        }
    }

    fn commit(&mut self, batch: Batch, mut decision: Decision) -> Result<Stage, String> {
        self.disk.locked_by = None;
        if decision.leaves.is_empty() {
            return match decision.changed.is_empty() {
                true => Ok(Stage::Committed { batch, decision }),
                false => Err("a claim changed without a leaf".to_owned()),
            };
        }
        if self.plant == Plant::ForgottenUnit {
            for (new, old) in decision.head.pools.iter_mut().zip(&self.disk.head.pools) {
                new.taken = new.taken.max(old.taken);
            }
        }
        let unknown = self.random.percent(4);
        if unknown && self.random.percent(50) {
            self.tally.count("commits of unknown outcome, not done");
        } else {
            self.disk.commit(&decision)?;
            self.tally.count_many("leaves", decision.leaves.len() as u64);
            self.judge.committed(&self.disk)?;
            if unknown {
                self.tally.count("commits of unknown outcome, done");
            }
        }
        match unknown {
            false => Ok(Stage::Committed { batch, decision }),
            true if self.plant == Plant::UnknownIsFailed => Ok(Stage::Written { batch, decision }),
            true => {
                for (id, input) in batch.ids.iter().zip(&batch.inputs) {
                    self.lose(*id, input);
                }
                Ok(Stage::Idle)
            }
        }
    }

    fn answer(&mut self, at: usize, batch: Batch, decision: Decision) -> Result<(), String> {
        for ((id, input), answer) in batch.ids.into_iter().zip(batch.inputs).zip(&decision.answers) {
            if *answer == Answer::NextBatch {
                self.tally.count("put off to the next batch");
                self.processes[at].claims.push_front(Request { id, input });
                continue;
            }
            self.judge.answered(&self.disk, decision.head.size, &input, answer)?;
            self.answered_once(id, answer)?;
        }
        self.tally.count_many("granted from the line", granted(&decision));
        self.processes[at].hint = Some((decision.head, self.now_ms));
        Ok(())
    }
}

fn granted(decision: &Decision) -> u64 {
    decision.changed.iter().filter(|decided| decided.granted).count() as u64
}

/// All a batch needs to know of people and claims; the line comes when it is asked for.
fn facts(world: &World, inputs: &[Input]) -> Facts {
    let named = |claim: &&Claim| {
        inputs.iter().any(|input| match input {
            Input::Claim(input) | Input::Assign { claim: input } => input.person == claim.person,
            Input::Move { claim: id, .. } => *id == claim.id,
            Input::Hand(_) => false,
        })
    };
    Facts { claims: world.disk.claims.values().filter(named).cloned().collect(), ..Facts::default() }
}
