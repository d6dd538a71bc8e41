//! The sandbox as the yard speaks to it.

use std::time::Duration;

use axum::http::HeaderMap;
use futures::FutureExt;
use kernel::Won;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{
    CancelBody, ConfirmBody, ErrorBody, HookBody, NewOrder, OrderBody, Outcome, OutcomeBody, SandboxKey, StatementBody,
    http_client,
};
use crate::provider::{
    Answer, Created, Entry, Fault, Forged, Hook, Named, Order, Provider, Reported, Standing, Statement,
};

/// Pays through a sandbox, wherever it runs.
pub struct SandboxClient {
    http: reqwest::Client,
    base: String,
    key: SandboxKey,
    /// Where the yard takes webhooks.
    notify_url: String,
    /// What the payer's page is below; empty where the yard does not know its address.
    public_url: String,
}

impl SandboxClient {
    /// `base` is the sandbox's address, `webhooks` that of the yard as the sandbox reaches it: empty for a yard that
    /// hears on the sandbox's own port.
    pub fn new(
        base: &str,
        key: SandboxKey,
        webhooks: &str,
        public_url: &str,
        timeout: Duration,
    ) -> anyhow::Result<SandboxClient> {
        let bare = |url: &str| url.trim_end_matches('/').to_owned();
        Ok(SandboxClient {
            http: http_client(timeout)?,
            base: bare(base),
            key,
            notify_url: format!("{}/api/v1/payments/webhooks/sandbox", bare(webhooks)),
            public_url: bare(public_url),
        })
    }

    /// What the payer makes of it, on his own page.
    pub async fn choose(&self, key: &str, outcome: Outcome) -> Result<(), Fault> {
        let request = self.post(&format!("payments/{key}/outcome"), &OutcomeBody { outcome });
        call::<OrderBody>(request).await.map(drop)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/v1/{path}", self.base)).bearer_auth(&self.key.bearer)
    }

    fn post(&self, path: &str, body: &impl Serialize) -> RequestBuilder {
        self.request(Method::POST, path).json(body)
    }
}

impl Provider for SandboxClient {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    fn create<'a>(&'a self, order: &'a Order) -> Answer<'a, Created> {
        let body = NewOrder {
            order_id: order.id,
            title: order.title.clone(),
            amount_won: order.amount.0,
            expires_ms: order.expires_ms,
            notify_url: self.notify_url.clone(),
        };
        async move {
            let made = call::<OrderBody>(self.post("payments", &body)).await?;
            let checkout_url = format!("{}/api/v1/sandbox/payments/{}", self.public_url, order.id);
            Ok(Created { key: made.id, checkout_url })
        }
        .boxed()
    }

    fn fetch<'a>(&'a self, payment: Named<'a>) -> Answer<'a, Reported> {
        let request = self.request(Method::GET, &format!("payments/{}", payment.key));
        async move { call::<OrderBody>(request).await.map(Reported::from) }.boxed()
    }

    fn confirm<'a>(&'a self, payment: Named<'a>, amount: Won, _payer_key: Option<&'a str>) -> Answer<'a, Reported> {
        let request = self
            .post(&format!("payments/{}/confirm", payment.key), &ConfirmBody { amount_won: amount.0 })
            .header("idempotency-key", format!("confirm-{}", payment.id));
        async move { call::<OrderBody>(request).await.map(Reported::from) }.boxed()
    }

    fn void<'a>(&'a self, payment: Named<'a>) -> Answer<'a, Reported> {
        let request = self.request(Method::POST, &format!("payments/{}/void", payment.key));
        async move { call::<OrderBody>(request).await.map(Reported::from) }.boxed()
    }

    fn cancel<'a>(&'a self, payment: Named<'a>, key: &'a str, amount: Won, reason: &'a str) -> Answer<'a, Reported> {
        let body = CancelBody { amount_won: amount.0, reason: reason.to_owned() };
        let request = self.post(&format!("payments/{}/cancels", payment.key), &body).header("idempotency-key", key);
        async move { call::<OrderBody>(request).await.map(Reported::from) }.boxed()
    }

    fn statement<'a>(&'a self, from_ms: i64, to_ms: i64, cursor: Option<&'a str>) -> Answer<'a, Statement> {
        let after = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let request = self.request(Method::GET, &format!("statement?from_ms={from_ms}&to_ms={to_ms}{after}"));
        async move {
            let page = call::<StatementBody>(request).await?;
            let entry = |entry: super::EntryBody| Entry { key: entry.id, amount: Won(entry.amount_won) };
            let entries = page.entries.into_iter().map(entry).collect();
            Ok(Statement { entries, next: page.next_cursor.map(|after| after.to_string()) })
        }
        .boxed()
    }

    fn verify_webhook(&self, headers: &HeaderMap, body: &[u8], now_ms: i64) -> Result<Hook, Forged> {
        let event_id = self.key.webhook.verify(headers, body, now_ms)?;
        let hook: HookBody = serde_json::from_slice(body).map_err(|_| Forged("no body of ours"))?;
        Ok(Hook { event_id, key: hook.data.payment_id })
    }
}

impl From<OrderBody> for Reported {
    fn from(order: OrderBody) -> Reported {
        let standing = match order.state.as_str() {
            "ready" | "processing" => Standing::Open,
            "captured" => Standing::Captured,
            _ => Standing::Closed,
        };
        Reported {
            key: order.id,
            standing,
            captured: Won(order.captured_won),
            cancelled: Won(order.cancelled_won),
            reason: order.reason,
        }
    }
}

/// Sends a request and tells a final no from what nobody knows and from what never arrived.
async fn call<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, Fault> {
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_connect() || error.is_builder() => return Err(Fault::Away(error.to_string())),
        Err(error) => return Err(Fault::Unknown(error.to_string())),
    };
    let status = response.status();
    if status.is_success() {
        return response.json().await.map_err(|error| Fault::Unknown(error.to_string()));
    }
    let reason = match response.json::<ErrorBody>().await {
        Ok(body) => body.reason,
        Err(_) => format!("status {status}"),
    };
    Err(match status {
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::SERVICE_UNAVAILABLE => Fault::Away(reason),
        status if status.is_client_error() => Fault::Declined(reason),
        _ => Fault::Unknown(reason),
    })
}
