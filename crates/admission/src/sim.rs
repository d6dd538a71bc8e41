//! Seeded histories of an offer: several processes that decide, people who click twice, leave and pay, an
//! organiser, clocks that step, crashes between any two effects, and a disk that forgets what was not synced.
//!
//! The same seed gives the same history, so a violation is a number to start again from. The disk here is
//! stricter than the databases it stands for: a transaction is visible to others before it is durable, and no
//! constraint of a schema catches what the core gets wrong.
//!
//! What is judged after each step is listed at [`judge`].

use std::collections::BTreeMap;
use std::fmt;

mod disk;
mod judge;
mod people;
mod process;
mod random;
mod replay;
#[cfg(test)]
mod tests;
mod world;

/// A mistake put into whoever uses the core, to see that the simulation finds it. For tests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plant {
    Nothing,
    /// Answers go out after the commit without waiting for the disk.
    AnswerBeforeSync,
    /// The head of the process's last batch is taken for the present one.
    StaleHead,
    /// Refusals of other processes are not always folded before deciding.
    StaleFold,
    /// The facts about people are read before the lock is had.
    FactsBeforeLock,
    /// Units that come free are not written.
    ForgottenUnit,
    /// A commit whose outcome is unknown is taken for one that failed.
    UnknownIsFailed,
}

impl Plant {
    /// All of them but none.
    pub const BUGS: [Self; 6] = [
        Self::AnswerBeforeSync,
        Self::StaleHead,
        Self::StaleFold,
        Self::FactsBeforeLock,
        Self::ForgottenUnit,
        Self::UnknownIsFailed,
    ];
}

/// A promise that was broken, and where to find it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("seed {seed}, step {step}: {what}")]
pub struct Violation {
    pub seed: u64,
    pub step: u32,
    pub what: String,
}

/// What happened, by name: shows that a history was no idle one.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    /// How often this happened.
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// Adds what happened elsewhere.
    pub fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }

    fn count(&mut self, what: &'static str) {
        self.count_many(what, 1);
    }

    fn count_many(&mut self, what: &'static str, times: u64) {
        *self.0.entry(what).or_default() += times;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, times) in &self.0 {
            writeln!(f, "{times:>12}  {what}")?;
        }
        Ok(())
    }
}

/// Plays one history of so many steps, lets it come to rest, and judges it all the way.
pub fn run(seed: u64, steps: u32, plant: Plant) -> Result<Tally, Violation> {
    let mut world = world::World::new(seed, plant);
    for step in 0..steps {
        world.step().map_err(|what| Violation { seed, step, what })?;
    }
    world.rest().map_err(|what| Violation { seed, step: steps, what })?;
    Ok(world.into_tally())
}
