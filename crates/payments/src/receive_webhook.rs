//! `POST /api/v1/payments/webhooks/{provider}`: a provider says that something happened to a payment.
//!
//! Invariant: a webhook is a reason to ask, never an answer: what it says of the payment is not looked at.

use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use kernel::contracts::payments::PaymentState;
use platform::http::{Problem, ProblemBody, Result, codes};

use crate::model::Intent;
use crate::provider::Hook;
use crate::settle::{named, timed};
use crate::store::webhooks;
use crate::{App, error, store};

/// A provider's webhook has some hundred bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// A body that trickles in longer keeps a task for nothing.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The provider was away: its webhook waits so long for the next try.
const LOOK_AGAIN_MS: i64 = 5_000;

/// Receive a provider's webhook.
///
/// Signed as Standard Webhooks has it (`webhook-id`, `webhook-timestamp` of the last five minutes,
/// `webhook-signature`). Acknowledged once it is stored; a repeat changes nothing.
#[utoipa::path(post, path = "/api/v1/payments/webhooks/{provider}", operation_id = "receive_payment_webhook",
    tag = "payments", params(("provider" = String, Path)), request_body(content = String, content_type = "application/json"),
    responses(
        (status = 204, description = "Taken"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "Not signed by the provider, or too old"),
    ), security(()))]
pub async fn receive(
    State(app): State<Arc<App>>,
    Path(provider): Path<String>,
    request: Request,
) -> Result<StatusCode> {
    let provider = app.provider(&provider).ok_or_else(|| Problem::new(&codes::NOT_FOUND))?;
    let (parts, body) = request.into_parts();
    let body = match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, BODY_BYTES_MAX)).await {
        Err(_elapsed) => return Err(Problem::new(&codes::TIMEOUT)),
        Ok(Err(_)) => return Err(Problem::new(&codes::TOO_LARGE).with("limit_bytes", BODY_BYTES_MAX)),
        Ok(Ok(body)) => body,
    };
    let hook = provider.verify_webhook(&parts.headers, &body, app.now_ms()).map_err(|forged| {
        tracing::warn!(provider = provider.name(), %forged, "a webhook was refused");
        metrics::counter!("madang_webhooks_refused_total", "provider" => provider.name()).increment(1);
        Problem::new(&error::WEBHOOK)
    })?;
    app.take_hook(provider.name(), hook).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl App {
    /// Stores the webhook and applies it; one that came before is acknowledged only.
    async fn take_hook(&self, provider: &'static str, hook: Hook) -> Result<()> {
        if webhooks::is_applied(&self.db, provider, &hook.event_id).await? == Some(true) {
            return Ok(());
        }
        let intent = store::find_by_key(&self.db, provider, &hook.key).await?;
        // One that is not ours, or cannot move any more, is done with once it is written.
        let open = intent.filter(can_move);
        let (settle_after_ms, applied, stored) = (self.config.settle_after_ms, open.is_none(), hook.clone());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    let now_ms = tx.now_ms().await?;
                    let next_look_ms = now_ms + settle_after_ms;
                    Ok::<_, Problem>(webhooks::insert(tx, provider, &stored, applied, next_look_ms, now_ms).await?)
                })
            })
            .await?;
        match open {
            Some(intent) => self.apply_hook(intent, hook.event_id).await,
            None => Ok(()),
        }
    }

    /// Asks the provider how the payment stands and takes its word.
    pub async fn apply_hook(&self, intent: Intent, event_id: String) -> Result<()> {
        let Some(provider) = self.provider(&intent.provider) else { return Ok(()) };
        let name = provider.name();
        let heard = match timed(name, "fetch", provider.fetch(named(&intent))).await {
            Ok(said) => {
                self.hear(intent, Ok(said)).await?;
                true
            }
            Err(fault) => {
                tracing::warn!(payment.id = %intent.id, %fault, "a webhook waits until its provider can be asked");
                false
            }
        };
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    let now_ms = tx.now_ms().await?;
                    if heard {
                        return Ok(webhooks::mark_applied(tx, name, &event_id, now_ms).await?);
                    }
                    Ok(webhooks::look_again(tx, name, &event_id, now_ms + LOOK_AGAIN_MS).await?)
                })
            })
            .await
    }
}

pub fn can_move(intent: &Intent) -> bool {
    intent.state != PaymentState::Captured
}
