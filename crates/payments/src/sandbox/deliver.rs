//! Webhooks out of the sandbox, and outcomes that come later. Both are rows, so that a restart goes on where it was.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use platform::db::DbError;
use reqwest::header::CONTENT_TYPE;
use tokio_util::sync::CancellationToken;

use super::books::{self, Delivery};
use super::{SandboxKey, Shared};
use crate::signature::{ID, SIGNATURE, TIMESTAMP};

/// Looked at in one go.
const BATCH: i64 = 64;
/// At the same time; a merchant that does not answer holds up so many.
const AT_ONCE: usize = 16;
/// With doubling pauses this is some two hours; the merchant asks by himself after that.
const ATTEMPTS_MAX: i64 = 14;
const PAUSE_MS_MAX: i64 = 15 * 60_000;
const LOOK_MS_MAX: i64 = 1_000;
const BACK_OFF: Duration = Duration::from_millis(500);

pub async fn work(shared: Arc<Shared>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let pause = match step(&shared).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(%error, "the sandbox could not look for what is due");
                BACK_OFF
            }
        };
        tokio::select! {
            () = shared.due.notified() => {}
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Does what is due; answers how long there is nothing more to do.
async fn step(shared: &Shared) -> Result<Duration, DbError> {
    let now_ms = shared.db.clock().now_ms();
    for id in books::ripe(&shared.db, now_ms, BATCH).await? {
        shared
            .db
            .write(move |tx| {
                Box::pin(async move {
                    let before = books::find(tx, &id).await?.ok_or(DbError::Missing)?;
                    books::save(tx, &before, &before.clone().ripen()).await
                })
            })
            .await?;
    }
    let due = books::due(&shared.db, now_ms, BATCH).await?;
    let tried: Vec<_> = futures::stream::iter(due)
        .map(|delivery| async move {
            let taken = send(shared, &delivery).await;
            (delivery, taken)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    note(shared, tried).await?;
    let next_ms = books::next_due_ms(&shared.db).await?.unwrap_or(i64::MAX);
    let pause_ms = next_ms.saturating_sub(shared.db.clock().now_ms()).clamp(1, LOOK_MS_MAX);
    Ok(Duration::from_millis(pause_ms.unsigned_abs()))
}

/// Sends one before its turn, so that it arrives before the answer that is under way.
pub async fn deliver_now(shared: &Shared, id: &str) {
    let sent = async {
        if let Some(delivery) = books::delivery(&shared.db, id).await? {
            let taken = send(shared, &delivery).await;
            note(shared, vec![(delivery, taken)]).await?;
        }
        Ok::<_, DbError>(())
    };
    if let Err(error) = sent.await {
        tracing::warn!(%error, "a webhook waits for its turn");
    }
}

async fn note(shared: &Shared, tried: Vec<(Delivery, bool)>) -> Result<(), DbError> {
    if tried.is_empty() {
        return Ok(());
    }
    let retry_ms = shared.timing.retry_ms;
    shared
        .db
        .write(move |tx| {
            Box::pin(async move {
                let now_ms = tx.now_ms().await?;
                for (delivery, taken) in tried {
                    let pause_ms = (retry_ms << delivery.attempts.clamp(0, 20)).min(PAUSE_MS_MAX);
                    let again = !taken && delivery.attempts + 1 < ATTEMPTS_MAX;
                    let due_ms = again.then_some(now_ms + pause_ms);
                    books::note_try(tx, &delivery.id, taken.then_some(now_ms), due_ms).await?;
                }
                Ok(())
            })
        })
        .await
}

async fn send(shared: &Shared, delivery: &Delivery) -> bool {
    let SandboxKey { webhook, .. } = &shared.key;
    let at_s = shared.db.clock().now_ms() / 1_000;
    let request = shared
        .http
        .post(shared.address_of(&delivery.url))
        .header(CONTENT_TYPE, "application/json")
        .header(ID, &delivery.id)
        .header(TIMESTAMP, at_s)
        .header(SIGNATURE, webhook.sign(&delivery.id, at_s, delivery.body.as_bytes()))
        .body(delivery.body.clone());
    match request.send().await {
        Ok(response) => response.status().is_success(),
        Err(error) => {
            tracing::debug!(%error, "a webhook was not taken");
            false
        }
    }
}
