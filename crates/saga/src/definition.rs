//! A saga's list of steps.

use std::fmt::Write;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::call::{Call, Outcome, Undone};

/// Undo tries before a saga is stuck: with the back-off some six minutes.
const UNDO_TRIES_MAX: u32 = 20;

/// What a saga is, without the code of its steps: all that the planner needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    pub name: &'static str,
    /// Rises whenever the list of steps changes: instances keep the list they were started with.
    pub version: u32,
    pub undo_tries_max: u32,
    pub steps: Vec<StepShape>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepShape {
    pub name: &'static str,
    pub has_undo: bool,
}

type Run<C, T> = Arc<dyn Fn(C, Call) -> BoxFuture<'static, T> + Send + Sync>;

/// A saga's shape and the code of its steps, which work on a context's handle `C`.
#[derive(Clone)]
pub struct Definition<C = ()> {
    shape: Shape,
    steps: Vec<Code<C>>,
}

#[derive(Clone)]
struct Code<C> {
    action: Run<C, Outcome>,
    undo: Option<Run<C, Undone>>,
}

impl<C: Clone + Send + Sync + 'static> Definition<C> {
    pub fn new(name: &'static str, version: u32) -> Self {
        let shape = Shape { name, version, undo_tries_max: UNDO_TRIES_MAX, steps: Vec::new() };
        Self { shape, steps: Vec::new() }
    }

    /// Adds a step. Both are idempotent under [`Call::key`], and an action that arrives after its undo does nothing.
    pub fn step<A, FA, U, FU>(self, name: &'static str, action: A, undo: U) -> Self
    where
        A: Fn(C, Call) -> FA + Send + Sync + 'static,
        FA: Future<Output = Outcome> + Send + 'static,
        U: Fn(C, Call) -> FU + Send + Sync + 'static,
        FU: Future<Output = Undone> + Send + 'static,
    {
        let undo: Run<C, Undone> = Arc::new(move |context, call| undo(context, call).boxed());
        self.push(name, Arc::new(move |context, call| action(context, call).boxed()), Some(undo))
    }

    /// Adds a step that leaves nothing to undo, e.g. a check, or one after which nothing can be refused.
    pub fn step_without_undo<A, FA>(self, name: &'static str, action: A) -> Self
    where
        A: Fn(C, Call) -> FA + Send + Sync + 'static,
        FA: Future<Output = Outcome> + Send + 'static,
    {
        self.push(name, Arc::new(move |context, call| action(context, call).boxed()), None)
    }

    /// How often an undo may answer "not yet" before the saga is stuck.
    pub fn undo_tries_max(mut self, tries: u32) -> Self {
        self.shape.undo_tries_max = tries.max(1);
        self
    }

    fn push(mut self, name: &'static str, action: Run<C, Outcome>, undo: Option<Run<C, Undone>>) -> Self {
        self.shape.steps.push(StepShape { name, has_undo: undo.is_some() });
        self.steps.push(Code { action, undo });
        self
    }

    /// The same saga, its steps bound to a context's handle.
    pub fn bind(self, context: C) -> Definition {
        fn bound<C: Clone + Send + Sync + 'static, T: 'static>(run: Run<C, T>, context: &C) -> Run<(), T> {
            let context = context.clone();
            Arc::new(move |(), call| run(context.clone(), call))
        }
        let steps = self.steps.into_iter().map(|code| Code {
            action: bound(code.action, &context),
            undo: code.undo.map(|undo| bound(undo, &context)),
        });
        Definition { steps: steps.collect(), shape: self.shape }
    }
}

impl<C> Definition<C> {
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The list as text, for a snapshot test: whoever changes the list without a new version breaks it.
    pub fn fingerprint(&self) -> String {
        self.shape.fingerprint()
    }
}

impl Definition {
    pub(crate) fn act(&self, step: usize, call: Call) -> BoxFuture<'static, Outcome> {
        (self.steps[step].action)((), call)
    }

    pub(crate) fn undo(&self, step: usize, call: Call) -> BoxFuture<'static, Undone> {
        match &self.steps[step].undo {
            Some(undo) => undo((), call),
            None => std::future::ready(Undone::Done).boxed(),
        }
    }
}

impl Shape {
    pub fn fingerprint(&self) -> String {
        let mut text = format!("{} {}", self.name, self.version);
        for step in &self.steps {
            let undo = if step.has_undo { "" } else { " (no undo)" };
            write!(text, "\n- {}{undo}", step.name).ok();
        }
        text
    }
}
