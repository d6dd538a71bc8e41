//! Bringing a payment to its end by the provider's word, whoever asks: its payer, a webhook, a part of the yard, a job.
//!
//! Every step can be repeated: the pin is harmless, the provider answers by our key, and of two that write an outcome
//! the second changes nothing.

use std::sync::Arc;
use std::time::Instant;

use kernel::contracts::payments::{Payment, PaymentState, SettlePayment, Subject};
use kernel::contracts::races::{PinRegistration, Pinned};
use kernel::{ClaimId, PaymentId, Won};
use platform::db::Tx;
use platform::http::Result;

use crate::ledger::{Account, Cause, Transfer, post};
use crate::model::{Intent, Verdict, back_off_ms};
use crate::provider::{Fault, Named, Provider, Reported};
use crate::{App, events, store};

/// How far the provider's word goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Decided,
    /// It does not say; it is asked again until it does.
    Undecided,
    /// It was not reached.
    Away,
}

/// Whether the provider may know of the confirmation already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Try {
    First,
    Again,
}

/// `SettlePayment`: asks where the outcome is not known yet.
pub async fn ask(app: Arc<App>, asked: SettlePayment) -> Result<Option<Payment>> {
    let Some(intent) = store::find(&app.db, asked.payment_id).await? else { return Ok(None) };
    if intent.state != PaymentState::Confirming {
        return Ok(Some(intent.told()));
    }
    let (settled, _) = app.settle(intent, Try::Again).await?;
    Ok(Some(settled.told()))
}

impl App {
    /// Drives a `confirming` payment on: the pin first, then the provider.
    pub async fn settle(&self, intent: Intent, attempt: Try) -> Result<(Intent, Word)> {
        let pinned = match self.pin(&intent).await {
            Ok(pinned) => pinned,
            Err(problem) => {
                self.look_again(intent.id).await?;
                return Err(problem);
            }
        };
        if let Pinned::No { state } = pinned {
            tracing::info!(payment.id = %intent.id, subject.state = state, "nothing is left to pay for");
            // Should an earlier try have reached the provider all the same, closing it there brings that to light.
            return Ok((self.move_to(intent.id, PaymentState::Expired, Some(&state)).await?, Word::Decided));
        }
        let Some(provider) = self.provider(&intent.provider) else {
            let fault = Fault::Away(format!("{} is not configured any more", intent.provider));
            return self.hear(intent, Err(fault)).await;
        };
        let said = confirm(provider, &intent, attempt).await;
        self.hear(intent, said).await
    }

    async fn pin(&self, intent: &Intent) -> Result<Pinned> {
        match intent.subject {
            Subject::Registration(id) => {
                self.peers.call(&PinRegistration { registration_id: ClaimId(id), payment_id: intent.id }).await
            }
        }
    }

    /// Takes the provider's own word for what it is.
    pub async fn hear(&self, intent: Intent, said: std::result::Result<Reported, Fault>) -> Result<(Intent, Word)> {
        let (to, reason) = match said {
            Ok(reported) => match intent.judge(&reported) {
                Verdict::Captured => (PaymentState::Captured, None),
                Verdict::Declined(reason) => (PaymentState::Declined, Some(reason)),
                Verdict::Open => return Ok((self.look_again(intent.id).await?, Word::Undecided)),
                Verdict::WrongAmount(captured) => return self.give_back_wrong(intent, &reported, captured).await,
            },
            Err(Fault::Declined(reason)) => (PaymentState::Declined, Some(reason)),
            Err(fault) => {
                tracing::warn!(payment.id = %intent.id, %fault, "a provider gave no outcome");
                let word = if matches!(fault, Fault::Away(_)) { Word::Away } else { Word::Undecided };
                return Ok((self.look_again(intent.id).await?, word));
            }
        };
        Ok((self.move_to(intent.id, to, reason.as_deref()).await?, Word::Decided))
    }

    /// An amount that is not ours goes back whole; only then is the payment declined.
    async fn give_back_wrong(&self, intent: Intent, said: &Reported, captured: Won) -> Result<(Intent, Word)> {
        if intent.state == PaymentState::Captured {
            return Ok((intent, Word::Decided));
        }
        tracing::error!(payment.id = %intent.id, amount_won = intent.amount.0, captured_won = captured.0,
            "a provider took another amount than ours; it goes back");
        metrics::counter!("madang_payments_wrong_amount_total", "provider" => intent.provider.clone()).increment(1);
        let key = format!("wrong-amount-{}", intent.id);
        let left = Won(captured.0 - said.cancelled.0);
        let returned = match self.provider(&intent.provider) {
            Some(provider) => {
                let call = provider.cancel(named(&intent), &key, left, "wrong amount");
                timed(provider.name(), "cancel", call).await
            }
            None => Err(Fault::Away("not configured".to_owned())),
        };
        match returned {
            Ok(_) => Ok((self.move_to(intent.id, PaymentState::Declined, Some("wrong_amount")).await?, Word::Decided)),
            Err(fault) => {
                tracing::warn!(payment.id = %intent.id, %fault, "a wrong amount has not gone back yet");
                Ok((self.look_again(intent.id).await?, Word::Undecided))
            }
        }
    }

    /// Moves a payment, with its transfer and its event, if it can move so; answers it as it is then.
    pub async fn move_to(&self, id: PaymentId, to: PaymentState, reason: Option<&str>) -> Result<Intent> {
        let reason = reason.map(str::to_owned);
        let (intent, moved) = self
            .db
            .write(move |tx| {
                Box::pin(async move {
                    let intent = store::locked(tx, id).await?;
                    let Some(next) = intent.step(to) else { return Ok::<_, platform::http::Problem>((intent, false)) };
                    let next = match &reason {
                        Some(reason) => next.because(reason),
                        None => next,
                    };
                    write_outcome(tx, &next).await?;
                    Ok((next, true))
                })
            })
            .await?;
        if moved {
            let (state, provider) = (to.as_str(), intent.provider.clone());
            metrics::counter!("madang_payments_total", "state" => state, "provider" => provider).increment(1);
        }
        Ok(intent)
    }

    /// Nobody knows yet: asks again later, and says so once.
    async fn look_again(&self, id: PaymentId) -> Result<Intent> {
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    let mut intent = store::locked(tx, id).await?;
                    if intent.state != PaymentState::Confirming {
                        return Ok(intent);
                    }
                    let now_ms = tx.now_ms().await?;
                    intent.next_look_ms = now_ms + back_off_ms(intent.looks);
                    intent.looks += 1;
                    store::save(tx, &intent, now_ms).await?;
                    if intent.looks == 1 {
                        events::unknown(tx, &intent).await?;
                    }
                    Ok(intent)
                })
            })
            .await
    }

    /// Has the provider close what ended here without money; should there be money after all, it is recorded.
    pub async fn close(&self, intent: Intent) -> Result<()> {
        let Some(provider) = self.provider(&intent.provider) else { return Ok(()) };
        let said = timed(provider.name(), "void", provider.void(named(&intent))).await;
        let closed = match said {
            Ok(reported) => match intent.judge(&reported) {
                Verdict::Declined(_) => true,
                Verdict::Open => false,
                Verdict::Captured | Verdict::WrongAmount(_) => {
                    self.hear(intent.clone(), Ok(reported)).await?;
                    false
                }
            },
            Err(Fault::Declined(_)) => true,
            Err(fault) => {
                tracing::debug!(payment.id = %intent.id, %fault, "a provider has not closed a payment yet");
                false
            }
        };
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    let now_ms = tx.now_ms().await?;
                    Ok(store::note_void(tx, &intent, closed, now_ms + back_off_ms(intent.looks)).await?)
                })
            })
            .await
    }
}

/// State, money and event of an outcome.
async fn write_outcome(tx: &Tx, intent: &Intent) -> Result<()> {
    let now_ms = tx.now_ms().await?;
    store::save(tx, intent, now_ms).await?;
    match intent.state {
        PaymentState::Captured => {
            let capture = Transfer {
                cause: Cause::Capture,
                payment: intent.id,
                debit: Account::Clearing(&intent.provider),
                credit: Account::Payable(intent.payee),
                amount: intent.amount,
            };
            post(tx, &[capture]).await?;
            Ok(events::captured(tx, intent).await?)
        }
        PaymentState::Declined => Ok(events::declined(tx, intent).await?),
        _ => Ok(()),
    }
}

/// Why fetch first when it was tried before: mostly the outcome is there by then, and confirming asks more of both.
async fn confirm(provider: &dyn Provider, intent: &Intent, attempt: Try) -> std::result::Result<Reported, Fault> {
    if attempt == Try::Again {
        let fetched = timed(provider.name(), "fetch", provider.fetch(named(intent))).await;
        if !matches!(&fetched, Ok(said) if intent.judge(said) == Verdict::Open) {
            return fetched;
        }
    }
    let call = provider.confirm(named(intent), intent.amount, intent.payer_key.as_deref());
    timed(provider.name(), "confirm", call).await
}

pub fn named(intent: &Intent) -> Named<'_> {
    Named { id: intent.id, key: &intent.provider_key }
}

/// Measures a call to a provider.
pub async fn timed<T>(
    provider: &'static str,
    call: &'static str,
    future: impl Future<Output = std::result::Result<T, Fault>>,
) -> std::result::Result<T, Fault> {
    let began = Instant::now();
    let outcome = future.await;
    let ended = match &outcome {
        Ok(_) => "ok",
        Err(Fault::Declined(_)) => "declined",
        Err(Fault::Unknown(_)) => "unknown",
        Err(Fault::Away(_)) => "away",
    };
    metrics::histogram!("madang_provider_seconds", "provider" => provider, "call" => call, "outcome" => ended)
        .record(began.elapsed().as_secs_f64());
    outcome
}
