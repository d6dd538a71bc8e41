//! What time does to offers: holds that end, offers that close, lines that close with them.
//!
//! Each job only feeds the queue; the core decides, so a confirmation that came first wins.

use admission::{Input, Move, MoveBy};
use futures::future::BoxFuture;
use kernel::OfferId;
use orderlog::ReturnReason;
use uuid::Uuid;

use super::sequencer::Decided;
use super::{Admission, Shared};
use crate::db::{DbError, Query, args};
use crate::jobs::{Job, Schedule};

/// Claims returned by one look; what remains is due at the next, right after.
const EXPIRE_MAX: i64 = 500;
const LOOK_MS: i64 = 200;

impl Admission {
    /// The jobs a context runs for its offers.
    pub fn jobs(&self) -> Vec<Job> {
        vec![
            self.job("admission expiry", HOLDS_DUE, |admission| {
                Box::pin(async move { Ok(expire_holds(&admission.0).await?) })
            }),
            self.job("admission closing", CLOSES_DUE, |admission| {
                Box::pin(async move { Ok(close_due(&admission.0).await?) })
            }),
        ]
    }

    fn job(
        &self,
        name: &'static str,
        due: &'static str,
        work: fn(Admission) -> BoxFuture<'static, anyhow::Result<()>>,
    ) -> Job {
        let (worker, looker) = (self.clone(), self.clone());
        Job::new(name, Schedule::Every(LOOK_MS), self.0.db.clone(), move || work(worker.clone())).only_if(move || {
            let db = looker.0.db.clone();
            Box::pin(async move {
                let now_ms = db.clock().now_ms();
                Ok(db.one::<(i64,)>(due, args![now_ms]).await?.is_some())
            })
        })
    }
}

const HOLDS_DUE: &str = "SELECT CAST(1 AS bigint) FROM claim WHERE state = 'held' AND hold_until_ms <= $1 LIMIT 1";
const CLOSES_DUE: &str = "SELECT CAST(1 AS bigint) FROM offer WHERE closed = 0 AND closes_ms <= $1
    UNION ALL SELECT CAST(1 AS bigint) FROM offer WHERE closed = 1 AND line_after_close = 0 AND waiting > 0 LIMIT 1";

/// Returns the holds whose end has passed.
async fn expire_holds(shared: &std::sync::Arc<Shared>) -> Result<(), DbError> {
    let now_ms = shared.db.clock().now_ms();
    let sql =
        "SELECT offer_id, id FROM claim WHERE state = 'held' AND hold_until_ms <= $1 ORDER BY hold_until_ms LIMIT $2";
    let due = shared.db.all::<(Uuid, Uuid)>(sql, args![now_ms, EXPIRE_MAX]).await?;
    return_all(shared, due).await;
    Ok(())
}

/// Closes offers whose time has come, and empties lines that close with their offer.
async fn close_due(shared: &std::sync::Arc<Shared>) -> Result<(), DbError> {
    let now_ms = shared.db.clock().now_ms();
    let sql = "SELECT id, size FROM offer WHERE closed = 0 AND closes_ms <= $1 LIMIT 100";
    for (offer, _) in shared.db.all::<(Uuid, i64)>(sql, args![now_ms]).await? {
        // Why: a batch at or after the closing time closes first, whatever it is about.
        let hand = Input::Hand(admission::Hand::Close);
        drop(shared.offer(OfferId(offer)).submit(shared, hand, Vec::new()).await);
    }
    let sql = "SELECT o.id, c.id FROM offer o JOIN claim c ON c.offer_id = o.id AND c.state = 'waitlisted'
               WHERE o.closed = 1 AND o.line_after_close = 0 AND o.waiting > 0 ORDER BY o.id, c.seq LIMIT $1";
    let waiting = shared.db.all::<(Uuid, Uuid)>(sql, args![EXPIRE_MAX]).await?;
    return_all(shared, waiting).await;
    Ok(())
}

async fn return_all(shared: &std::sync::Arc<Shared>, claims: Vec<(Uuid, Uuid)>) {
    let returns = claims.into_iter().map(|(offer, claim)| {
        let live = shared.offer(OfferId(offer));
        let mv = Input::Move { claim, by: MoveBy::System, mv: Move::Return(ReturnReason::Expired) };
        async move { live.submit(shared, mv, Vec::new()).await.map(|Decided { answer, .. }| answer) }
    });
    // Whatever was not decided is due again at the next look.
    drop(futures::future::join_all(returns).await);
}
