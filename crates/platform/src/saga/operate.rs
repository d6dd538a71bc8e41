//! The operator's word to a saga: try the stuck step again, or undo it all.

use ::saga::{Entry, Event, Next, Plan, State, Write, plan};
use kernel::UserId;
use uuid::Uuid;

use super::store::{self, Due};
use super::view::find_locked;
use super::{SagaBody, Sagas, codes};
use crate::audit;
use crate::db::{DbError, Query, Tx, args};
use crate::http::{Problem, codes::NOT_FOUND};

/// What an operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Retry,
    Undo,
}

impl Order {
    fn action(self) -> &'static str {
        match self {
            Order::Retry => "saga.retry",
            Order::Undo => "saga.undo",
        }
    }

    /// The entry that says so, where the state allows it.
    fn event(self, plan: &Plan, reason: &str) -> Option<Event> {
        let reason = reason.to_owned();
        match (self, plan.state, plan.next) {
            (Order::Retry, State::Stuck, _) => Some(Event::Retried(reason)),
            (Order::Undo, State::Running | State::Stuck, Next::Act(_)) => Some(Event::Ordered(reason)),
            // It is being undone already; what is left is to try again.
            (Order::Undo, State::Stuck, Next::Undo(_)) => Some(Event::Retried(reason)),
            _ => None,
        }
    }
}

impl Sagas {
    /// Carries out an operator's order on a saga that nobody works on, with its audit entry; it goes on at once.
    pub async fn order(
        &self,
        id: Uuid,
        order: Order,
        actor: Option<UserId>,
        reason: String,
    ) -> Result<SagaBody, Problem> {
        let sagas = self.clone();
        self.0.db.write(move |tx| Box::pin(async move { sagas.order_in(tx, id, order, actor, &reason).await })).await
    }

    /// What a stuck saga waited for has come: it is retried, as an operator would.
    pub(super) async fn revive(&self, tx: &Tx, id: Uuid) -> Result<bool, DbError> {
        if self.state(tx, id).await? != Some(State::Stuck) {
            return Ok(false);
        }
        match self.order_in(tx, id, Order::Retry, None, "what it waited for has come").await {
            Ok(_) => Ok(true),
            Err(problem) if problem.status() < 500 => Ok(true),
            Err(problem) => {
                Err(DbError::Failed(anyhow::anyhow!("a stuck saga was not retried: {}", problem.code.code)))
            }
        }
    }

    async fn order_in(
        &self,
        tx: &Tx,
        id: Uuid,
        order: Order,
        actor: Option<UserId>,
        reason: &str,
    ) -> Result<SagaBody, Problem> {
        let Some(before) = find_locked(tx, id).await? else { return Err(Problem::new(&NOT_FOUND)) };
        let now_ms = tx.now_ms().await?;
        if before.at_work && before.due_at.is_some_and(|until| until.0 > now_ms) {
            return Err(Problem::new(&codes::BUSY).retry_after_ms(1_000));
        }
        let registry = self.0.registry.load_full();
        let version = u32::try_from(before.version).unwrap_or_default();
        let Some(definition) = registry.get(&before.name, version) else { return Err(Problem::new(&codes::VERSION)) };
        let shape = definition.shape();
        let entries = store::entries(tx, &[id]).await?;
        let log = entries.into_iter().map(|(_, entry)| entry).collect::<std::result::Result<Vec<Entry>, _>>()?;
        let unfit = |error| Problem::from(DbError::Failed(anyhow::Error::from(error)));
        let mut plan = plan(shape, &log).map_err(unfit)?;
        let refused = || Problem::new(&codes::STATE).with("state", before.state.as_str());
        let event = order.event(&plan, reason).ok_or_else(refused)?;
        let entry = Entry { at_ms: now_ms, step: plan.step(shape).to_owned(), event };
        plan.apply(shape, &entry).ok_or_else(refused)?;
        // Raised like a taking: whoever still thinks he has it writes nothing.
        let attempt = before.attempt + 1;
        tx.run("UPDATE saga SET attempt = $2, owner = NULL WHERE id = $1", args![id, attempt]).await?;
        let (state, step) = (plan.state, plan.step(shape));
        let write = Write {
            saga: id,
            attempt,
            seq: log.len(),
            entries: vec![entry],
            state,
            step,
            begun_ms: now_ms,
            wait: None,
        };
        let due = Due { owner: None, due_ms: now_ms, signals: 0, now_ms };
        store::append(tx, &write, &due).await?;
        tx.mark_published();
        let told_before = store::told(before.state().unwrap_or(State::Running), &before.step);
        let entry = audit::Entry {
            actor,
            action: order.action(),
            subject: id.to_string(),
            reason: Some(reason),
            before: told_before,
            after: store::told(state, step),
        };
        audit::record(tx, entry).await?;
        find_locked(tx, id).await?.ok_or_else(|| Problem::new(&NOT_FOUND))
    }
}
