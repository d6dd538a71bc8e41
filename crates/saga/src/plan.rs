//! The recovery planner: from a list of steps and a log to what is next. The same for a first run and after a crash.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::definition::Shape;
use crate::log::{Entry, Event, State};

/// What a log says.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub state: State,
    pub next: Next,
    /// Is the intent of `next` in the log?
    pub begun: bool,
    /// When `next` was begun; 0 for the first step, whose intent is the saga's own row.
    pub begun_ms: i64,
    /// Did the action of `next` answer "unknown" since it was begun or retried?
    pub unknown: bool,
    /// How often the undo of `next` answered "not yet" since it was begun or retried.
    pub not_yet: u32,
    /// Values of the steps that are done and not undone.
    pub results: BTreeMap<String, Value>,
}

/// The step at hand. A stuck saga has one too: it is what a retry goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Act(usize),
    Undo(usize),
    Nothing,
}

/// The log is not one that this list of steps can have written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {at} of the log, {event} of step {step:?}, does not fit {saga} version {version}")]
pub struct LogError {
    pub at: usize,
    pub event: &'static str,
    pub step: String,
    pub saga: &'static str,
    pub version: u32,
}

pub fn plan(shape: &Shape, log: &[Entry]) -> Result<Plan, LogError> {
    let first = if shape.steps.is_empty() { Next::Nothing } else { Next::Act(0) };
    let state = if shape.steps.is_empty() { State::Completed } else { State::Running };
    let mut plan =
        Plan { state, next: first, begun: true, begun_ms: 0, unknown: false, not_yet: 0, results: BTreeMap::new() };
    for (at, entry) in log.iter().enumerate() {
        plan.apply(shape, entry).ok_or_else(|| LogError {
            at,
            event: entry.event.name(),
            step: entry.step.clone(),
            saga: shape.name,
            version: shape.version,
        })?;
    }
    Ok(plan)
}

impl Plan {
    /// The name of the step at hand; empty when there is none.
    pub fn step(&self, shape: &Shape) -> &'static str {
        match self.next {
            Next::Act(step) | Next::Undo(step) => shape.steps[step].name,
            Next::Nothing => "",
        }
    }

    /// Moves by one entry; `None` where the entry cannot follow.
    pub fn apply(&mut self, shape: &Shape, entry: &Entry) -> Option<()> {
        if entry.step != self.step(shape) {
            return None;
        }
        match (&entry.event, self.next, self.state) {
            (Event::Begun, Next::Act(_), State::Running) | (Event::UndoBegun, Next::Undo(_), State::Undoing)
                if !self.begun =>
            {
                self.begun = true;
                self.begun_ms = entry.at_ms;
            }
            (Event::Done(value), Next::Act(step), State::Running) if self.begun => {
                self.results.insert(entry.step.clone(), value.clone());
                self.act_on(shape, step + 1);
            }
            (Event::Refused(_), Next::Act(step), State::Running) if self.begun => self.undo_below(shape, step),
            (Event::Unknown(_), Next::Act(_), State::Running) if self.begun => self.unknown = true,
            (Event::Stuck(_), Next::Act(_) | Next::Undo(_), State::Running | State::Undoing) if self.begun => {
                self.state = State::Stuck;
            }
            (Event::Undone, Next::Undo(step), State::Undoing) if self.begun => {
                self.results.remove(&entry.step);
                self.undo_below(shape, step);
            }
            (Event::NotYet(_), Next::Undo(_), State::Undoing) if self.begun => self.not_yet += 1,
            (Event::Ordered(_), Next::Act(step), State::Running | State::Stuck) => self.order(shape, step),
            (Event::Retried(_), next, State::Stuck) => {
                self.state = if matches!(next, Next::Act(_)) { State::Running } else { State::Undoing };
                (self.unknown, self.not_yet) = (false, 0);
            }
            _ => return None,
        }
        Some(())
    }

    fn act_on(&mut self, shape: &Shape, step: usize) {
        if step == shape.steps.len() {
            (self.state, self.next) = (State::Completed, Next::Nothing);
        } else {
            self.turn_to(State::Running, Next::Act(step));
        }
    }

    /// Turns to the last step before `step` that was done and can be undone.
    fn undo_below(&mut self, shape: &Shape, step: usize) {
        let left = |at: &usize| shape.steps[*at].has_undo && self.results.contains_key(shape.steps[*at].name);
        match (0..step).rev().find(left) {
            Some(at) => self.turn_to(State::Undoing, Next::Undo(at)),
            None => (self.state, self.next) = (State::Compensated, Next::Nothing),
        }
    }

    /// An operator's order: a step that was begun may have happened, so its own undo goes first and finds out.
    fn order(&mut self, shape: &Shape, step: usize) {
        if self.begun && shape.steps[step].has_undo {
            self.turn_to(State::Undoing, Next::Undo(step));
        } else {
            self.undo_below(shape, step);
        }
    }

    fn turn_to(&mut self, state: State, next: Next) {
        (self.state, self.next) = (state, next);
        (self.begun, self.begun_ms, self.unknown, self.not_yet) = (false, 0, false, 0);
    }
}
