//! The intent log: what was about to be done, and what came of it. Not a debug log.

use serde_json::Value;

/// One line of a saga's log.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When it was written, in Unix milliseconds, by the store's clock.
    pub at_ms: i64,
    pub step: String,
    pub event: Event,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The action is about to be called. For the first step the saga's own row says so.
    Begun,
    Done(Value),
    Refused(String),
    /// The first time only; further ones are counted in the saga's row.
    Unknown(String),
    Stuck(String),
    /// The undo is about to be called.
    UndoBegun,
    Undone,
    NotYet(String),
    /// An operator wants it undone, and why.
    Ordered(String),
    /// An operator wants the stuck step tried again, and why.
    Retried(String),
}

impl Event {
    pub fn name(&self) -> &'static str {
        match self {
            Event::Begun => "begun",
            Event::Done(_) => "done",
            Event::Refused(_) => "refused",
            Event::Unknown(_) => "unknown",
            Event::Stuck(_) => "stuck",
            Event::UndoBegun => "undo_begun",
            Event::Undone => "undone",
            Event::NotYet(_) => "not_yet",
            Event::Ordered(_) => "ordered",
            Event::Retried(_) => "retried",
        }
    }

    /// The value as JSON, or the reason; empty where there is neither.
    pub fn detail(&self) -> String {
        match self {
            Event::Begun | Event::UndoBegun | Event::Undone => String::new(),
            Event::Done(value) => value.to_string(),
            Event::Refused(reason)
            | Event::Unknown(reason)
            | Event::Stuck(reason)
            | Event::NotYet(reason)
            | Event::Ordered(reason)
            | Event::Retried(reason) => reason.clone(),
        }
    }

    /// Reads back what [`Event::name`] and [`Event::detail`] wrote.
    pub fn read(name: &str, detail: String) -> Option<Event> {
        Some(match name {
            "begun" => Event::Begun,
            "done" => Event::Done(serde_json::from_str(&detail).ok()?),
            "refused" => Event::Refused(detail),
            "unknown" => Event::Unknown(detail),
            "stuck" => Event::Stuck(detail),
            "undo_begun" => Event::UndoBegun,
            "undone" => Event::Undone,
            "not_yet" => Event::NotYet(detail),
            "ordered" => Event::Ordered(detail),
            "retried" => Event::Retried(detail),
            _ => return None,
        })
    }

    /// Does it end an action or an undo?
    pub fn is_outcome(&self) -> bool {
        matches!(self, Event::Done(_) | Event::Refused(_) | Event::Undone)
    }
}

/// Where a saga stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Running,
    Undoing,
    Completed,
    Compensated,
    /// Waits for an operator.
    Stuck,
}

impl State {
    pub const ALL: [State; 5] = [State::Running, State::Undoing, State::Completed, State::Compensated, State::Stuck];

    pub fn as_str(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Undoing => "undoing",
            State::Completed => "completed",
            State::Compensated => "compensated",
            State::Stuck => "stuck",
        }
    }

    pub fn parse(text: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// For good: a stuck one may go on.
    pub fn is_ended(self) -> bool {
        matches!(self, State::Completed | State::Compensated)
    }
}
