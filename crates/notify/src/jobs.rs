//! What notify does by itself: each job looks at the full state and repairs it.

use std::sync::Arc;

use platform::jobs::{Job, Schedule};

use crate::events::hold_ending;
use crate::inbox::tell;
use crate::store::{self, Aged, copies, deliveries};
use crate::{App, deliver};

const HOLDS_MS: i64 = 1_000;
/// In one transaction; the rest waits for the next run.
const HOLDS_AT_ONCE: i64 = 200;
const DELIVERIES_MS: i64 = 250;
const FORGET_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;
/// Three months.
const NOTICES_KEPT_MS: i64 = 92 * DAY_MS;
/// A stream that looked less recently has long since begun anew.
const CHANGES_KEPT_MS: i64 = DAY_MS;
const FORGOTTEN_AT_ONCE: i64 = 1_000;

pub fn jobs(app: &Arc<App>) -> Vec<Job> {
    let (look, remind, forget) = (app.clone(), app.clone(), app.clone());
    let (due, send) = (app.clone(), app.clone());
    let db = || app.db.clone();
    vec![
        Job::new("notify holds", Schedule::Every(HOLDS_MS), db(), move || {
            let app = remind.clone();
            Box::pin(async move { tell_of_ending_holds(&app).await })
        })
        .only_if(move || {
            let app = look.clone();
            Box::pin(async move { copies::any_ending_hold(&app.db, app.db.clock().now_ms()).await })
        }),
        Job::new("notify deliveries", Schedule::Every(DELIVERIES_MS), db(), move || {
            let app = send.clone();
            Box::pin(async move { deliver::send_due(&app).await })
        })
        .only_if(move || {
            let app = due.clone();
            Box::pin(async move { deliveries::any_due(&app.db, app.db.clock().now_ms()).await })
        }),
        Job::new("notify forget", Schedule::Every(FORGET_MS), db(), move || {
            let app = forget.clone();
            Box::pin(async move { forget_old(&app).await })
        }),
    ]
}

async fn tell_of_ending_holds(app: &App) -> anyhow::Result<()> {
    let now_ms = app.db.clock().now_ms();
    let on = app.on;
    let ending = copies::ending_holds(&app.db, now_ms, HOLDS_AT_ONCE).await?;
    app.db
        .write(move |tx| {
            Box::pin(async move {
                let mut notices = Vec::with_capacity(ending.len());
                for hold in &ending {
                    // Who has gone on since it was read needs no reminder, and who is late for it neither.
                    let is_held = copies::forget_hold(tx, hold.registration_id).await?;
                    if is_held && now_ms < hold.until_ms {
                        notices.push(hold_ending(hold));
                    }
                }
                tell(tx, on, &notices).await
            })
        })
        .await?;
    Ok(())
}

/// Also counts what waits and what is dead.
async fn forget_old(app: &App) -> anyhow::Result<()> {
    for (state, count) in deliveries::standing(&app.db).await? {
        metrics::gauge!("madang_notify_deliveries", "state" => state).set(count as f64);
    }
    let now_ms = app.db.clock().now_ms();
    for (table, kept_ms) in
        [(Aged::Notices, NOTICES_KEPT_MS), (Aged::Deliveries, NOTICES_KEPT_MS), (Aged::Changes, CHANGES_KEPT_MS)]
    {
        let before_ms = now_ms - kept_ms;
        let forget = || app.db.write(move |tx| Box::pin(store::forget(tx, table, before_ms, FORGOTTEN_AT_ONCE)));
        while forget().await? > 0 {}
    }
    Ok(())
}
