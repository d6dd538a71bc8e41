//! Everything of one history, and what happens next in it.

use std::collections::HashSet;

use super::disk::Disk;
use super::judge::Judge;
use super::people::{self, OPENS_MS};
use super::process::{Process, Request};
use super::random::Random;
use super::{Plant, Tally};
use crate::{Answer, ClaimInput, Input};

/// Effects a history may need to come to rest.
const REST_MAX: usize = 100_000;

pub(super) struct World {
    pub(super) random: Random,
    pub(super) plant: Plant,
    pub(super) disk: Disk,
    pub(super) judge: Judge,
    pub(super) processes: Vec<Process>,
    /// The database's clock; now and then it steps back.
    pub(super) now_ms: i64,
    pub(super) people: u64,
    pub(super) next_id: u128,
    next_request: u64,
    /// Asked and not answered.
    open: HashSet<u64>,
    /// Claims nobody answered: their people try again.
    pub(super) lost: Vec<ClaimInput>,
    pub(super) tally: Tally,
}

impl World {
    pub(super) fn new(seed: u64, plant: Plant) -> Self {
        let mut random = Random::new(seed);
        let now_ms = OPENS_MS - 200;
        let mut disk = Disk::new(people::rules(&mut random), now_ms);
        disk.sync();
        let processes = 1 + random.below(3);
        Self {
            plant,
            disk,
            judge: Judge::default(),
            processes: (0..processes).map(|_| Process::default()).collect(),
            now_ms,
            people: 3 + random.below(16),
            next_id: 0,
            next_request: 0,
            open: HashSet::new(),
            lost: Vec::new(),
            tally: Tally::default(),
            random,
        }
    }

    pub(super) fn into_tally(self) -> Tally {
        self.tally
    }

    /// One thing happens.
    pub(super) fn step(&mut self) -> Result<(), String> {
        self.tally.count("steps");
        let at = self.random.place(self.processes.len());
        match self.random.below(400) {
            0..=84 => match self.wish() {
                Some(input) => self.ask(at, input),
                None => Ok(()),
            },
            85..=344 => self.advance(at),
            345..=371 => {
                self.pass_time();
                Ok(())
            }
            372..=379 => self.expiries().into_iter().try_for_each(|input| self.ask(at, input)),
            380..=394 => self.peek(at),
            395 => {
                self.crash(at);
                Ok(())
            }
            // Mostly when it hurts.
            396..=398 if self.disk.unsynced() > 0 || self.random.percent(20) => self.power_cut(),
            _ => Ok(()),
        }
    }

    /// No more faults or wishes: everybody asked is answered, holds end, and the judge looks at what is left.
    pub(super) fn rest(&mut self) -> Result<(), String> {
        self.settle()?;
        self.now_ms += 300_000;
        let expiries = self.expiries();
        expiries.into_iter().try_for_each(|input| self.ask(0, input))?;
        self.settle()?;
        if !self.open.is_empty() {
            return Err(format!("{} were never answered", self.open.len()));
        }
        self.judge.at_rest(&self.disk)
    }

    /// Nobody will answer this request any more; whoever clicked will click again.
    pub(super) fn lose(&mut self, id: u64, input: &Input) {
        self.open.remove(&id);
        self.tally.count("requests without an answer");
        if let Input::Claim(input) = input {
            self.lost.push(input.clone());
        }
    }

    pub(super) fn answered_once(&mut self, id: u64, answer: &Answer) -> Result<(), String> {
        self.tally.count(kind(answer));
        if self.open.remove(&id) { Ok(()) } else { Err(format!("{answer:?} is a second answer")) }
    }

    fn ask(&mut self, at: usize, input: Input) -> Result<(), String> {
        if let Input::Claim(asked) = &input
            && let Some((answer, head)) = self.processes[at].repeat(asked, self.now_ms)
        {
            // Only what happened after that head was read may be missed.
            let had = |claim: &&crate::Claim| {
                claim.person == asked.person && claim.state.open() && claim.log_index < head.size
            };
            if let Some(claim) = self.disk.claims.values().find(had) {
                return Err(format!("{answer:?} from memory to somebody who had {claim:?}"));
            }
            self.tally.count("answers from memory");
            return self.judge.answered(&self.disk, head.size, &input, &answer);
        }
        self.next_request += 1;
        let id = self.next_request;
        self.open.insert(id);
        let queue = match input {
            Input::Claim(_) => &mut self.processes[at].claims,
            _ => &mut self.processes[at].moves,
        };
        queue.push_back(Request { id, input });
        Ok(())
    }

    fn pass_time(&mut self) {
        let ms = self.random.below(10_000) as i64;
        match self.random.below(20) {
            0 => {
                self.tally.count("clock steps back");
                self.now_ms -= ms;
            }
            1..=13 => self.now_ms += ms / 100,
            _ => self.now_ms += ms,
        }
    }

    fn power_cut(&mut self) -> Result<(), String> {
        self.tally.count("power cuts");
        for at in 0..self.processes.len() {
            self.crash(at);
        }
        let kept = self.random.place(self.disk.unsynced() + 1);
        let lost = self.disk.power_cut(kept);
        self.tally.count_many("transactions lost in power cuts", lost as u64);
        self.judge.cut(&self.disk)
    }

    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..REST_MAX {
            if self.processes.iter().all(Process::idle) {
                return Ok(());
            }
            let at = self.random.place(self.processes.len());
            self.advance(at)?;
        }
        Err("the processes never come to rest".to_owned())
    }
}

fn kind(answer: &Answer) -> &'static str {
    match answer {
        Answer::Placed { .. } => "answer: placed",
        Answer::Has { .. } => "answer: has one",
        Answer::Idempotent { .. } => "answer: the same again by its key",
        Answer::Refused { repeat: true, .. } => "answer: refused, known number",
        Answer::Refused { seq: Some(_), .. } => "answer: refused, new number",
        Answer::Refused { .. } => "answer: refused, no number",
        Answer::NotOpen { .. } => "answer: not open",
        Answer::Closed => "answer: closed",
        Answer::Paused => "answer: paused",
        Answer::Limit => "answer: limit",
        Answer::IdemMismatch => "answer: key with another body",
        Answer::NextBatch => "answer: next batch",
        Answer::Moved { leaf: Some(_), .. } => "answer: moved",
        Answer::Moved { .. } => "answer: was there already",
        Answer::Illegal { .. } => "answer: illegal move",
        Answer::Gone => "answer: gone",
        Answer::Hand { .. } => "answer: the organiser's hand",
        Answer::MovedOn => "answer: made from what no longer is",
        Answer::BelowTaken { .. } => "answer: below what is taken",
        Answer::BadRules(_) => "answer: rules that clash",
        Answer::BadWant(_) => "answer: want not allowed",
        Answer::NoUnits => "answer: no units",
    }
}
