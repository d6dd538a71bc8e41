//! What payments do by themselves: each job looks at the full state and repairs it.

use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use kernel::contracts::payments::PaymentState;
use platform::http::{Problem, Result};
use platform::jobs::{Job, Schedule};

use crate::model::Intent;
use crate::settle::Try;
use crate::store::{self, refunds, webhooks};
use crate::void::end_ready;
use crate::{App, ledger, reconcile};

const SETTLE_MS: i64 = 250;
/// Of each kind in one run; the rest waits for the next.
const DUE_MAX: i64 = 64;
/// Asked at the same time; more would starve the payers who are waiting at the same provider.
const AT_ONCE: usize = 8;
const BOOKS_MS: i64 = 60_000;
/// A webhook older than this is refused by its timestamp long since.
const WEBHOOKS_KEPT_MS: i64 = 30 * 86_400_000;
const FORGOTTEN_AT_ONCE: i64 = 500;

pub fn jobs(app: &Arc<App>) -> Vec<Job> {
    let (look, settle, books, days) = (app.clone(), app.clone(), app.clone(), app.clone());
    let db = || app.db.clone();
    let nightly = Schedule::Cron { pattern: "20 4 * * *", offset_s: app.config.offset_s };
    vec![
        Job::new("payments settle", Schedule::Every(SETTLE_MS), db(), move || {
            let app = settle.clone();
            Box::pin(async move { settle_due(&app).await })
        })
        .only_if(move || {
            let app = look.clone();
            Box::pin(async move { store::anything_due(&app.db, app.now_ms()).await })
        }),
        Job::new("payments books", Schedule::Every(BOOKS_MS), db(), move || {
            let app = books.clone();
            Box::pin(async move { check_books(&app).await })
        }),
        Job::new("payments reconciliation", nightly, db(), move || {
            let app = days.clone();
            Box::pin(async move { end_day(&app).await })
        }),
    ]
}

/// Brings everything on that is due: what has no outcome, what nobody paid in time, what is to be closed or given back.
async fn settle_due(app: &App) -> anyhow::Result<()> {
    let now_ms = app.now_ms();
    let due = store::due(&app.db, now_ms, DUE_MAX).await?;
    let mut work: Vec<BoxFuture<'_, Result<()>>> = Vec::new();
    for intent in due.undecided {
        work.push(Box::pin(async move { app.settle(intent, Try::Again).await.map(drop) }));
    }
    for intent in due.overdue {
        work.push(Box::pin(expire(app, intent)));
    }
    for intent in due.to_void {
        work.push(Box::pin(app.close(intent)));
    }
    for refund in refunds::due(&app.db, now_ms, DUE_MAX).await? {
        work.push(Box::pin(async move { app.finish_refund(refund).await.map(drop) }));
    }
    for hook in webhooks::waiting(&app.db, now_ms, DUE_MAX).await? {
        work.push(Box::pin(apply(app, hook)));
    }
    let mut running = futures::stream::iter(work).buffer_unordered(AT_ONCE);
    while let Some(outcome) = running.next().await {
        // One that fails is due again later and stops no other.
        if let Err(problem) = outcome {
            tracing::warn!(code = problem.code.code, "a payment could not be brought on yet");
        }
    }
    Ok(())
}

async fn expire(app: &App, intent: Intent) -> Result<()> {
    app.db.write(move |tx| Box::pin(async move { end_ready(tx, &intent, PaymentState::Expired).await })).await.map(drop)
}

async fn apply(app: &App, hook: webhooks::Waiting) -> Result<()> {
    match store::find_by_key(&app.db, &hook.provider, &hook.provider_key).await? {
        Some(intent) => app.apply_hook(intent, hook.event_id).await,
        None => {
            let at_ms = app.now_ms();
            app.db
                .write(move |tx| {
                    Box::pin(async move {
                        webhooks::mark_applied(tx, &hook.provider, &hook.event_id, at_ms).await?;
                        Ok::<_, Problem>(())
                    })
                })
                .await
        }
    }
}

/// Says how far the books are from right, and how long the oldest payment waits for its provider.
async fn check_books(app: &App) -> anyhow::Result<()> {
    let imbalance_won = ledger::imbalance(&app.db).await?;
    metrics::gauge!("madang_ledger_imbalance_won").set(imbalance_won as f64);
    let (undecided, since_ms) = store::undecided(&app.db).await?;
    metrics::gauge!("madang_payments_undecided").set(undecided as f64);
    let waiting_s = since_ms.map_or(0, |since_ms| (app.now_ms() - since_ms).max(0) / 1_000);
    metrics::gauge!("madang_payments_undecided_oldest_seconds").set(waiting_s as f64);
    anyhow::ensure!(imbalance_won == 0, "the ledger is off by {imbalance_won} won");
    Ok(())
}

/// Reconciles the days that are over and were not, and forgets old webhooks.
async fn end_day(app: &App) -> anyhow::Result<()> {
    for (provider, day) in reconcile::missing_days(app).await? {
        if let Err(problem) = reconcile::reconcile(app, provider, day).await {
            tracing::warn!(provider, day = %day, code = problem.code.code, "a day could not be reconciled yet");
        }
    }
    let before_ms = app.now_ms() - WEBHOOKS_KEPT_MS;
    let forget = || app.db.write(move |tx| Box::pin(webhooks::forget(tx, before_ms, FORGOTTEN_AT_ONCE)));
    while forget().await? > 0 {}
    Ok(())
}
