//! Ending the intent that a subject could be paid by.

use std::sync::Arc;

use kernel::contracts::payments::{Payment, PaymentState, VoidPayment};
use platform::db::Tx;
use platform::http::Result;

use crate::model::Intent;
use crate::{App, store};

/// The provider hears of it by the job: whoever voids need not wait for a stranger.
pub async fn void(app: Arc<App>, asked: VoidPayment) -> Result<Option<Payment>> {
    let subject = asked.subject;
    let ended = app
        .db
        .write(move |tx| {
            Box::pin(async move {
                match store::standing(tx, subject).await? {
                    Some(open) => end_ready(tx, &open, PaymentState::Voided).await,
                    None => Ok(false),
                }
            })
        })
        .await?;
    if ended {
        tracing::debug!(subject.id = %subject.id(), "a payment was voided");
    }
    let newest = store::newest(&app.db, store::list_of_ids(&app.db), &[subject]).await?;
    Ok(newest.first().map(Intent::told))
}

/// Ends an intent that is still `ready`; what may have reached the provider is left alone.
pub async fn end_ready(tx: &Tx, intent: &Intent, to: PaymentState) -> Result<bool> {
    let intent = store::locked(tx, intent.id).await?;
    if intent.state != PaymentState::Ready {
        return Ok(false);
    }
    let now_ms = tx.now_ms().await?;
    match intent.step(to) {
        Some(ended) => {
            store::save(tx, &ended, now_ms).await?;
            Ok(true)
        }
        None => Ok(false),
    }
}
