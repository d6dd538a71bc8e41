//! Giving money back, once per key however often it is asked.

use std::sync::Arc;

use kernel::Won;
use kernel::contracts::payments::{PaymentState, Refund, RefundPayment};
use platform::db::Tx;
use platform::http::{Problem, Result};

use crate::ledger::{Account, Cause, Transfer, post};
use crate::model::back_off_ms;
use crate::provider::Fault;
use crate::settle::{named, timed};
use crate::store::refunds::{self, Refunding};
use crate::{App, error, events, store};

/// How a request for money back stands before the provider is asked.
enum Begun {
    Refund(Refunding),
    /// The payment itself has no outcome yet: nothing is written.
    TooEarly,
    NoSuchPayment,
}

pub async fn refund(app: Arc<App>, asked: RefundPayment) -> Result<Refund> {
    match begin(&app, asked).await? {
        Begun::Refund(refund) => app.finish_refund(refund).await,
        Begun::TooEarly => Ok(Refund::Unknown { reason: "the payment has no outcome yet".to_owned() }),
        Begun::NoSuchPayment => Ok(Refund::Refused { reason: "there is no such payment".to_owned() }),
    }
}

/// Keeps the amount and writes the refund before the provider is asked; finds it where it was.
async fn begin(app: &App, asked: RefundPayment) -> Result<Begun> {
    if asked.amount_won <= Won(0) {
        return Err(Problem::field("amount_won", "range", "there is something to give back"));
    }
    let settle_after_ms = app.config.settle_after_ms;
    app.db
        .write(move |tx| {
            Box::pin(async move {
                let intent = match store::locked(tx, asked.payment_id).await {
                    Err(platform::db::DbError::Missing) => return Ok(Begun::NoSuchPayment),
                    found => found?,
                };
                if let Some(known) = refunds::find(tx, asked.key).await? {
                    let same = (known.payment(), known.amount()) == (asked.payment_id, asked.amount_won);
                    return if same { Ok(Begun::Refund(known)) } else { Err(Problem::new(&error::REFUND_KEY)) };
                }
                if intent.state == PaymentState::Confirming {
                    return Ok(Begun::TooEarly);
                }
                let refund = write(tx, &asked, settle_after_ms).await?;
                Ok(Begun::Refund(refund))
            })
        })
        .await
}

async fn write(tx: &Tx, asked: &RefundPayment, settle_after_ms: i64) -> Result<Refunding> {
    let kept = refunds::reserve(tx, asked.payment_id, asked.amount_won).await?;
    let refund = Refunding {
        key: asked.key,
        payment_id: asked.payment_id.0,
        amount_won: asked.amount_won.0,
        reason: asked.reason.clone(),
        state: if kept { "pending" } else { "refused" }.to_owned(),
        refusal: (!kept).then(|| "so much is not there to give back".to_owned()),
        looks: 0,
    };
    let now_ms = tx.now_ms().await?;
    refunds::insert(tx, &refund, now_ms + settle_after_ms, now_ms).await?;
    Ok(refund)
}

impl App {
    /// Drives a pending refund on; one that is finished answers as it ended.
    pub async fn finish_refund(&self, refund: Refunding) -> Result<Refund> {
        if !refund.is_pending() {
            return Ok(ended(&refund));
        }
        let intent = store::find(&self.db, refund.payment()).await?.ok_or(platform::db::DbError::Missing)?;
        let said = match self.provider(&intent.provider) {
            Some(provider) => {
                let key = format!("refund-{}", refund.key);
                let call = provider.cancel(named(&intent), &key, refund.amount(), &refund.reason);
                timed(provider.name(), "cancel", call).await
            }
            None => Err(Fault::Away("not configured".to_owned())),
        };
        match said {
            Ok(_) => self.write_refund(refund, None).await,
            Err(Fault::Declined(reason)) => self.write_refund(refund, Some(reason)).await,
            Err(fault) => {
                tracing::warn!(payment.id = %intent.id, refund.key = %refund.key, %fault, "a refund has no outcome yet");
                self.look_at_refund_again(refund).await?;
                Ok(Refund::Unknown { reason: fault.to_string() })
            }
        }
    }

    /// State, money and event of a refund's outcome; of two at once the second finds it written.
    async fn write_refund(&self, refund: Refunding, refusal: Option<String>) -> Result<Refund> {
        let outcome = if refusal.is_some() { "refused" } else { "done" };
        let key = refund.key;
        let wrote = self
            .db
            .write(move |tx| {
                Box::pin(async move {
                    let mut intent = store::locked(tx, refund.payment()).await?;
                    if !refunds::find(tx, refund.key).await?.is_some_and(|now| now.is_pending()) {
                        return Ok::<_, Problem>(false);
                    }
                    let now_ms = tx.now_ms().await?;
                    refunds::finish(tx, &refund, refusal.as_deref(), now_ms).await?;
                    if refusal.is_none() {
                        let back = Transfer {
                            cause: Cause::Refund(refund.key),
                            payment: intent.id,
                            debit: Account::Payable(intent.payee),
                            credit: Account::Clearing(&intent.provider),
                            amount: refund.amount(),
                        };
                        post(tx, &[back]).await?;
                        intent.refunded = Won(intent.refunded.0 + refund.amount_won);
                        events::refunded(tx, &intent).await?;
                    }
                    Ok(true)
                })
            })
            .await?;
        if wrote {
            metrics::counter!("madang_refunds_total", "outcome" => outcome).increment(1);
        }
        let now = refunds::find(&self.db, key).await?.ok_or(platform::db::DbError::Missing)?;
        Ok(ended(&now))
    }

    async fn look_at_refund_again(&self, refund: Refunding) -> Result<()> {
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    let next_look_ms = tx.now_ms().await? + back_off_ms(refund.looks);
                    Ok(refunds::look_again(tx, refund.key, next_look_ms).await?)
                })
            })
            .await
    }
}

/// The answer that a finished refund has for good.
fn ended(refund: &Refunding) -> Refund {
    match &refund.refusal {
        Some(reason) => Refund::Refused { reason: reason.clone() },
        None => Refund::Done { refunded_won: refund.amount() },
    }
}
