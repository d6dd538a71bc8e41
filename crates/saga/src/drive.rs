//! The executor: load, plan, act, append, until there is nothing to do or something to wait for.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;
use uuid::Uuid;

use crate::call::{Call, Outcome, Undone, step_key};
use crate::definition::Definition;
use crate::log::{Entry, Event, State};
use crate::plan::{LogError, Next, Plan, plan};

/// A saga as its lease's holder has it.
#[derive(Clone, Debug)]
pub struct Instance {
    pub id: Uuid,
    pub subject: Arc<str>,
    pub data: Arc<Value>,
    pub started_ms: i64,
    /// The attempt the lease was taken with.
    pub attempt: i64,
    pub tries: u32,
    pub log: Vec<Entry>,
}

/// Appends to one saga's log. Everything or nothing of it is written.
#[derive(Clone, Debug)]
pub struct Write {
    pub saga: Uuid,
    pub attempt: i64,
    /// Where in the log the first of `entries` goes.
    pub seq: usize,
    /// Their times are set by the store.
    pub entries: Vec<Entry>,
    pub state: State,
    /// The step at hand after it; empty when there is none.
    pub step: &'static str,
    /// When the step that these entries are about was begun.
    pub begun_ms: i64,
    pub wait: Option<Wait>,
}

/// The lease is given up, and the saga is due again after a back-off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    pub tries: u32,
    pub reason: String,
}

impl Write {
    /// Does the holder keep the lease?
    pub fn goes_on(&self) -> bool {
        self.wait.is_none() && matches!(self.state, State::Running | State::Undoing)
    }
}

/// Calls the action or the undo; may be called more than once, since both are idempotent.
pub type Work<'a, T> = dyn Fn() -> BoxFuture<'static, T> + Send + Sync + 'a;

/// Where a saga's log is kept, and what stands around its steps.
pub trait Store: Sync {
    type Error: Send;

    /// Writes if the attempt is still the saga's, and answers the entries' time; `None` means that the lease was
    /// lost and nothing was written. Unless it [goes on](Write::goes_on), the lease is given up with it.
    fn append(&self, write: &Write) -> impl Future<Output = Result<Option<i64>, Self::Error>> + Send;

    /// Calls an action: the place for time limits, panics and measuring.
    fn act(
        &self,
        _step: &'static str,
        action: &Work<'_, Outcome>,
    ) -> impl Future<Output = Result<Outcome, Self::Error>> + Send {
        let acting = action();
        async move { Ok(acting.await) }
    }

    /// Calls an undo.
    fn undo(
        &self,
        _step: &'static str,
        undo: &Work<'_, Undone>,
    ) -> impl Future<Output = Result<Undone, Self::Error>> + Send {
        let undoing = undo();
        async move { Ok(undoing.await) }
    }

    /// Asked between two steps: false leaves the saga where it is.
    fn go_on(&self) -> bool {
        true
    }
}

/// How an executor left a saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// Completed, compensated or stuck.
    At(State),
    /// Due again later.
    Waiting,
    /// Somebody else has it.
    Lost,
    /// Between two steps, its lease still held.
    Interrupted,
}

#[derive(Debug, thiserror::Error)]
pub enum DriveError<E> {
    #[error(transparent)]
    Log(#[from] LogError),
    /// Whether the last write happened is not known: the log says so to whoever takes the saga next.
    #[error("the store failed")]
    Store(E),
}

/// Runs a saga until it ends, waits or is lost.
pub async fn drive<S: Store>(
    definition: &Definition,
    saga: &mut Instance,
    store: &S,
) -> Result<Left, DriveError<S::Error>> {
    let shape = definition.shape();
    loop {
        let plan = plan(shape, &saga.log)?;
        if plan.state == State::Stuck {
            return Ok(Left::At(State::Stuck));
        }
        if !store.go_on() {
            return Ok(Left::Interrupted);
        }
        let (events, wait) = match plan.next {
            // Invariant: nothing is called whose intent is not in the log.
            Next::Act(_) if !plan.begun => (vec![Event::Begun], None),
            Next::Undo(_) if !plan.begun => (vec![Event::UndoBegun], None),
            Next::Nothing => (Vec::new(), None),
            Next::Act(step) => {
                let call = saga.call(&plan, shape.steps[step].name);
                let acted = store.act(shape.steps[step].name, &|| definition.act(step, call.clone())).await;
                saga.after_action(&plan, acted.map_err(DriveError::Store)?)
            }
            Next::Undo(step) => {
                let call = saga.call(&plan, shape.steps[step].name);
                let undone = store.undo(shape.steps[step].name, &|| definition.undo(step, call.clone())).await;
                saga.after_undo(&plan, undone.map_err(DriveError::Store)?, shape.undo_tries_max)
            }
        };
        if let Some(left) = saga.append(definition, plan, events, wait, store).await? {
            return Ok(left);
        }
    }
}

impl Instance {
    fn call(&self, plan: &Plan, step: &'static str) -> Call {
        Call {
            saga: self.id,
            step,
            key: step_key(self.id, step),
            subject: self.subject.clone(),
            data: self.data.clone(),
            results: Arc::new(plan.results.clone()),
            begun_ms: self.begun_ms(plan),
            tries: self.tries,
        }
    }

    fn begun_ms(&self, plan: &Plan) -> i64 {
        if plan.begun_ms == 0 { self.started_ms } else { plan.begun_ms }
    }

    fn after_action(&self, plan: &Plan, outcome: Outcome) -> (Vec<Event>, Option<Wait>) {
        match outcome {
            Outcome::Done(value) => (vec![Event::Done(value)], None),
            Outcome::Refused(reason) => (vec![Event::Refused(reason)], None),
            Outcome::Stuck(reason) => (vec![Event::Stuck(reason)], None),
            Outcome::Unknown(reason) => {
                // Why once: a provider that is away for an hour must not fill the log.
                let first = (!plan.unknown).then(|| Event::Unknown(reason.clone()));
                (first.into_iter().collect(), Some(self.wait(reason)))
            }
        }
    }

    fn after_undo(&self, plan: &Plan, undone: Undone, tries_max: u32) -> (Vec<Event>, Option<Wait>) {
        match undone {
            Undone::Done => (vec![Event::Undone], None),
            Undone::NotYet(reason) if plan.not_yet + 1 >= tries_max => {
                (vec![Event::NotYet(reason.clone()), Event::Stuck(reason)], None)
            }
            Undone::NotYet(reason) => (vec![Event::NotYet(reason.clone())], Some(self.wait(reason))),
        }
    }

    fn wait(&self, reason: String) -> Wait {
        Wait { tries: self.tries.saturating_add(1), reason }
    }

    /// Writes events and the intent of what follows from them; answers how the saga is left, if it is.
    async fn append<S: Store>(
        &mut self,
        definition: &Definition,
        mut plan: Plan,
        mut events: Vec<Event>,
        wait: Option<Wait>,
        store: &S,
    ) -> Result<Option<Left>, DriveError<S::Error>> {
        let shape = definition.shape();
        let begun_ms = self.begun_ms(&plan);
        let mut entries = Vec::with_capacity(events.len() + 1);
        for event in events.drain(..) {
            let entry = Entry { at_ms: 0, step: plan.step(shape).to_owned(), event };
            plan.apply(shape, &entry).ok_or_else(|| LogError {
                at: self.log.len(),
                event: entry.event.name(),
                step: entry.step.clone(),
                saga: shape.name,
                version: shape.version,
            })?;
            entries.push(entry);
        }
        if !plan.begun && plan.next != Next::Nothing {
            let event = if matches!(plan.next, Next::Act(_)) { Event::Begun } else { Event::UndoBegun };
            entries.push(Entry { at_ms: 0, step: plan.step(shape).to_owned(), event });
        }
        let write = Write {
            saga: self.id,
            attempt: self.attempt,
            seq: self.log.len(),
            entries,
            state: plan.state,
            step: plan.step(shape),
            begun_ms,
            wait,
        };
        let Some(at_ms) = store.append(&write).await.map_err(DriveError::Store)? else { return Ok(Some(Left::Lost)) };
        let goes_on = write.goes_on();
        self.tries = write.wait.as_ref().map_or(0, |wait| wait.tries);
        self.log.extend(write.entries.into_iter().map(|entry| Entry { at_ms, ..entry }));
        Ok(match plan.state {
            _ if goes_on => None,
            State::Running | State::Undoing => Some(Left::Waiting),
            state => Some(Left::At(state)),
        })
    }
}
