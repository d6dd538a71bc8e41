//! The ways a run can go.

use std::fmt;

use crate::definition::Shape;
use crate::log::{Event, State};

/// So often something is unknown or not possible yet before it goes on.
const AGAIN: u32 = 2;

/// One run: what is done to a saga on its way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The step that is refused, without its action being called.
    pub refused: Option<usize>,
    pub trick: Option<(Side, usize, Trick)>,
    /// Every action and undo is called twice.
    pub twice: bool,
    /// The executor dies at the write that would make the log longer than this; what fits is written.
    pub lopped: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Action,
    Undo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trick {
    /// The executor dies between the intent and the call.
    CrashBefore,
    /// The executor dies between the call and the write of its outcome.
    CrashAfter,
    /// Unknown (or not yet) so many times without a call, then called.
    AgainBefore(u32),
    /// Called each time, its answer lost so many times.
    AgainAfter(u32),
    /// Stuck without a call; an operator retries.
    Retried,
    /// Stuck without a call; an operator orders the undo.
    OrderedBefore,
    /// Called, its answer lost, stuck; an operator orders the undo.
    OrderedAfter,
}

impl Script {
    pub(super) fn lopped(mut self, length: usize) -> Self {
        self.lopped = Some(length);
        self
    }

    fn with(mut self, side: Side, step: usize, trick: Trick) -> Self {
        self.trick = Some((side, step, trick));
        self
    }

    /// How it must end.
    pub fn ends(&self) -> State {
        match (self.refused, self.trick) {
            (Some(_), _) | (_, Some((_, _, Trick::OrderedBefore | Trick::OrderedAfter))) => State::Compensated,
            _ => State::Completed,
        }
    }

    /// What an operator does when it is stuck.
    pub(super) fn operator(&self) -> Option<Event> {
        match self.trick?.2 {
            Trick::Retried => Some(Event::Retried("the kit's operator".to_owned())),
            Trick::OrderedBefore | Trick::OrderedAfter => Some(Event::Ordered("the kit's operator".to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.refused {
            Some(step) => write!(f, "step {step} refused")?,
            None => write!(f, "nothing refused")?,
        }
        if let Some((side, step, trick)) = self.trick {
            let side = if side == Side::Action { "action" } else { "undo" };
            write!(f, ", {trick:?} at the {side} of step {step}")?;
        }
        if self.twice {
            write!(f, ", everything twice")?;
        }
        if let Some(length) = self.lopped {
            write!(f, ", from the first {length} entries of its log")?;
        }
        Ok(())
    }
}

/// The way through, and the refusal of each step.
pub(super) fn bases(shape: &Shape) -> Vec<Script> {
    let refusals = (0..shape.steps.len()).map(|step| Script { refused: Some(step), ..Script::default() });
    std::iter::once(Script::default()).chain(refusals).collect()
}

/// All scripts but the ones made of prefixes, whose lengths are known once a base has run.
pub(super) fn all(shape: &Shape) -> Vec<Script> {
    let mut all = Vec::new();
    for base in bases(shape) {
        let reached = base.refused.unwrap_or(shape.steps.len());
        all.push(Script { twice: true, ..base.clone() });
        let actions = [
            Trick::CrashBefore,
            Trick::CrashAfter,
            Trick::AgainBefore(AGAIN),
            Trick::AgainAfter(AGAIN),
            Trick::Retried,
        ];
        for step in 0..reached {
            all.extend(actions.map(|trick| base.clone().with(Side::Action, step, trick)));
        }
        let undos = [
            Trick::CrashBefore,
            Trick::CrashAfter,
            Trick::AgainBefore(AGAIN),
            Trick::AgainAfter(AGAIN),
            Trick::Retried,
        ];
        for step in (0..reached).filter(|step| base.refused.is_some() && shape.steps[*step].has_undo) {
            all.extend(undos.map(|trick| base.clone().with(Side::Undo, step, trick)));
        }
        if base.refused.is_none() {
            let orders = [Trick::OrderedBefore, Trick::OrderedAfter];
            for step in 0..reached {
                all.extend(orders.map(|trick| base.clone().with(Side::Action, step, trick)));
            }
        }
    }
    all
}
