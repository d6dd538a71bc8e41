//! The test kit: runs a saga against a context's real steps, or stand-ins, in every way it can go wrong.
//!
//! ```ignore
//! saga::kit::ordeal(&registration(), async || Start { context: world(), ..start() }, async |world, state| {
//!     match state { State::Completed => world.everything_is_there(), _ => world.nothing_is_left() }
//! }).await.unwrap_or_else(|faults| panic!("{faults}"));
//! ```
//!
//! What it does at every step: crashes before and after the action and the undo, refusals, `unknown` with and
//! without the effect behind it, undos that are not possible yet, an operator's order and retry, everything twice,
//! and recovery from every prefix of the log.

mod memory;
mod script;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use crate::definition::Definition;
use crate::drive::{DriveError, Instance, Left, drive};
use crate::log::{Entry, Event, State};
use crate::plan::plan;

pub use memory::{Crash, Memory};
pub use script::{Script, Side, Trick};

/// A run that takes more turns than this does not end.
const TURNS_MAX: usize = 100;

/// One run's beginning, in a world of its own.
pub struct Start<C> {
    pub context: C,
    pub saga: Uuid,
    pub subject: String,
    pub data: Value,
}

/// What went wrong, and in which run.
#[derive(Clone, Debug)]
pub struct Fault {
    pub script: Script,
    pub what: String,
}

/// All that went wrong.
#[derive(Debug)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.0 {
            writeln!(f, "{}: {}", fault.script, fault.what)?;
        }
        Ok(())
    }
}

/// Runs every script; answers how many there were. `fresh` makes a world, `check` looks at it after the end.
pub async fn ordeal<C, F, K>(definition: &Definition<C>, fresh: F, check: K) -> Result<usize, Faults>
where
    C: Clone + Send + Sync + 'static,
    F: AsyncFn() -> Start<C>,
    K: AsyncFn(&C, State) -> Result<(), String>,
{
    let shape = definition.shape();
    let mut scripts = script::all(shape);
    let mut faults = Vec::new();
    for base in script::bases(shape) {
        match run(definition, &base, &fresh, &check).await {
            Ok(log) => scripts.extend((0..log.len()).map(|length| base.clone().lopped(length))),
            Err(what) => faults.push(Fault { script: base, what }),
        }
    }
    let count = scripts.len();
    for script in scripts {
        if let Err(what) = run(definition, &script, &fresh, &check).await {
            faults.push(Fault { script, what });
        }
    }
    if faults.is_empty() { Ok(count) } else { Err(Faults(faults)) }
}

/// Runs one script to the end, with a new executor after every pause and crash; answers the log.
async fn run<C, F, K>(definition: &Definition<C>, script: &Script, fresh: &F, check: &K) -> Result<Vec<Entry>, String>
where
    C: Clone + Send + Sync + 'static,
    F: AsyncFn() -> Start<C>,
    K: AsyncFn(&C, State) -> Result<(), String>,
{
    let shape = definition.shape().clone();
    let start = fresh().await;
    let bound = definition.clone().bind(start.context.clone());
    let memory = Memory::new(shape.clone(), script.clone());
    let (subject, data): (Arc<str>, _) = (start.subject.into(), Arc::new(start.data));
    let mut left = None;
    for _ in 0..TURNS_MAX {
        let (attempt, tries, log) = memory.take();
        let (subject, data) = (subject.clone(), data.clone());
        let mut saga = Instance { id: start.saga, subject, data, started_ms: 1, attempt, tries, log };
        match drive(&bound, &mut saga, &memory).await {
            Ok(Left::At(State::Stuck)) => match script.operator() {
                Some(event) => memory.operate(event),
                None => return Err("it is stuck, and should not be".to_owned()),
            },
            Ok(Left::At(state)) => {
                left = Some(state);
                break;
            }
            Ok(Left::Waiting | Left::Interrupted) | Err(DriveError::Store(Crash)) => {}
            Ok(Left::Lost) => return Err("its only executor lost it".to_owned()),
            Err(DriveError::Log(error)) => return Err(error.to_string()),
        }
    }
    let log = memory.log();
    let state = left.ok_or_else(|| format!("it did not end within {TURNS_MAX} turns"))?;
    if state != script.ends() {
        return Err(format!("it ended {}, not {}", state.as_str(), script.ends().as_str()));
    }
    legal(&shape, &log)?;
    check(&start.context, state).await.map_err(|what| format!("after it {}: {what}", state.as_str()))?;
    Ok(log)
}

/// Every prefix of a log must be one the planner can go on from, and what was undone must be what was done, in
/// reverse. An operator's order also undoes the step in doubt.
pub fn legal(shape: &crate::definition::Shape, log: &[Entry]) -> Result<(), String> {
    for length in 0..=log.len() {
        plan(shape, &log[..length]).map_err(|error| error.to_string())?;
    }
    let undoable = |entry: &&Entry| shape.steps.iter().any(|step| step.name == entry.step && step.has_undo);
    let of = |wanted: fn(&Event) -> bool| log.iter().filter(move |entry| wanted(&entry.event));
    let mut done: Vec<&str> =
        of(|event| matches!(event, Event::Done(_))).filter(undoable).map(|entry| entry.step.as_str()).collect();
    done.extend(of(|event| matches!(event, Event::Ordered(_))).filter(undoable).map(|entry| entry.step.as_str()));
    done.reverse();
    let undone: Vec<&str> = of(|event| *event == Event::Undone).map(|entry| entry.step.as_str()).collect();
    let end = plan(shape, log).map_err(|error| error.to_string())?;
    match end.state {
        State::Compensated if undone != done => Err(format!("undone {undone:?} where {done:?} was to be undone")),
        State::Completed if !undone.is_empty() => Err(format!("completed with {undone:?} undone")),
        _ if !done.starts_with(&undone) => Err(format!("undone {undone:?} out of {done:?}")),
        _ => Ok(()),
    }
}
