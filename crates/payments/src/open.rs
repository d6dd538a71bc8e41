//! Opening the intent that a subject is paid by.

use std::sync::Arc;

use kernel::contracts::payments::{OpenPayment, Payment, PaymentState};
use kernel::{PaymentId, Won};
use platform::http::{Problem, Result};

use crate::model::Intent;
use crate::provider::{Created, Fault, Order};
use crate::settle::timed;
use crate::void::end_ready;
use crate::{App, error, store};

/// The provider hears of it before it is written: an order there that no intent here names is never paid, and a crash
/// leaves nothing to clear away.
pub async fn open(app: Arc<App>, asked: OpenPayment) -> Result<Payment> {
    let provider = app.provider(&asked.provider).ok_or_else(|| Problem::new(&error::PROVIDER))?;
    if asked.amount_won <= Won(0) {
        return Err(Problem::field("amount_won", "range", "there is something to pay"));
    }
    if let Some(standing) = store::standing(&app.db, asked.subject).await?.filter(|open| stays(open, &asked)) {
        return Ok(standing.told());
    }
    let order = Order {
        id: PaymentId::fresh(),
        amount: asked.amount_won,
        title: asked.title.clone(),
        expires_ms: asked.expires_ms,
    };
    let created = timed(provider.name(), "create", provider.create(&order)).await.map_err(|fault| away(&fault))?;
    let attempt = || write(&app, &asked, &order, &created);
    match attempt().await {
        // Two at once: the index let one in, and the other finds it.
        Err(problem) if problem.code == &OPENED_BY_ANOTHER => attempt().await,
        outcome => outcome,
    }
    .map(|intent| intent.told())
}

/// Never told: both tries of a request meeting others is answered like any other outage.
const OPENED_BY_ANOTHER: platform::http::Code = platform::http::Code { code: "payments/busy", ..error::PROVIDER_AWAY };

async fn write(app: &App, asked: &OpenPayment, order: &Order, created: &Created) -> Result<Intent> {
    let asked = asked.clone();
    let fresh = intent(&asked, order, created);
    app.db
        .write(move |tx| {
            Box::pin(async move {
                if let Some(open) = store::standing(tx, asked.subject).await?
                    && (stays(&open, &asked) || !end_ready(tx, &open, PaymentState::Voided).await?)
                {
                    return Ok(store::locked(tx, open.id).await?);
                }
                let now_ms = tx.now_ms().await?;
                match store::insert(tx, &fresh, now_ms).await {
                    Err(error) if error.is_unique_on(&["payment_open", "payment.subject_id"]) => {
                        Err(Problem::new(&OPENED_BY_ANOTHER).retry_after_ms(1_000))
                    }
                    outcome => Ok(outcome.map(|()| fresh)?),
                }
            })
        })
        .await
}

/// Does what stands answer the request as it is?
fn stays(open: &Intent, asked: &OpenPayment) -> bool {
    open.state != PaymentState::Ready
        || (open.amount, open.expires_ms, open.provider.as_str())
            == (asked.amount_won, asked.expires_ms, asked.provider.as_str())
}

fn intent(asked: &OpenPayment, order: &Order, created: &Created) -> Intent {
    Intent {
        id: order.id,
        subject: asked.subject,
        payer: asked.payer,
        payee: asked.payee,
        title: asked.title.clone(),
        amount: asked.amount_won,
        refunded: Won(0),
        provider: asked.provider.clone(),
        provider_key: created.key.clone(),
        checkout_url: created.checkout_url.clone(),
        payer_key: None,
        state: PaymentState::Ready,
        reason: None,
        expires_ms: asked.expires_ms,
        looks: 0,
        next_look_ms: 0,
        void_due: false,
    }
}

/// No money is at stake yet: whatever went wrong, asking again is harmless.
fn away(fault: &Fault) -> Problem {
    tracing::warn!(%fault, "a payment could not be made at its provider");
    Problem::new(&error::PROVIDER_AWAY).retry_after_ms(1_000)
}
