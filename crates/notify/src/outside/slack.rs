//! Slack: a bot's direct messages (`chat.postMessage`), and incoming webhooks.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::{Fault, Message};

/// Slack says how long to pause; where it does not, so long.
const PAUSE_S: u64 = 30;
/// Longer pauses are cut: an hour of silence would be taken for an outage of ours.
const PAUSE_S_MAX: u64 = 600;
/// What Slack answers when it may do later, by its documentation of `chat.postMessage`.
const PASSING: [&str; 6] =
    ["fatal_error", "internal_error", "ratelimited", "rate_limited", "request_timeout", "service_unavailable"];

pub struct Slack {
    http: reqwest::Client,
    url: String,
    /// A bot's; a webhook needs none.
    token: Option<String>,
}

#[derive(Deserialize)]
struct Outcome {
    ok: bool,
    error: Option<String>,
}

impl Slack {
    pub fn bot(base: &str, token: &str, timeout: Duration) -> anyhow::Result<Self> {
        let url = format!("{}/chat.postMessage", base.trim_end_matches('/'));
        Ok(Self { http: client(timeout)?, url, token: Some(token.to_owned()) })
    }

    pub fn webhook(url: &str, timeout: Duration) -> anyhow::Result<Self> {
        Ok(Self { http: client(timeout)?, url: url.to_owned(), token: None })
    }

    /// Sends to a user by his Slack id; a webhook has one reader only.
    pub async fn send(&self, to: Option<&str>, message: &Message) -> Result<(), Fault> {
        let response = self.request(to, message).send().await;
        let response = response.map_err(|error| Fault::Later(told(&error)))?;
        match response.status() {
            StatusCode::TOO_MANY_REQUESTS => Err(Fault::Pause { ms: pause_s(&response) * 1_000 }),
            status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                Err(Fault::Later(status.to_string()))
            }
            status if !status.is_success() => Err(Fault::Never(status.to_string())),
            _ if self.token.is_none() => Ok(()),
            _ => outcome(response).await,
        }
    }

    fn request(&self, to: Option<&str>, message: &Message) -> RequestBuilder {
        let text = format!("*{}*\n{}\n{}", escaped(&message.title), escaped(&message.body), message.link);
        let delivery = message.delivery.to_string();
        let mut body = json!({ "text": text });
        let mut request = self.http.post(&self.url).header("x-madang-delivery", &delivery);
        if let Some(token) = &self.token {
            body["channel"] = json!(to);
            body["metadata"] = json!({ "event_type": "madang_notice", "event_payload": { "delivery_id": delivery } });
            request = request.bearer_auth(token);
        }
        request.json(&body)
    }
}

/// Slack says most failures with status 200.
async fn outcome(response: Response) -> Result<(), Fault> {
    let outcome: Outcome = response.json().await.map_err(|error| Fault::Later(told(&error)))?;
    match outcome.error {
        _ if outcome.ok => Ok(()),
        Some(error) if PASSING.contains(&error.as_str()) => Err(Fault::Later(error)),
        error => Err(Fault::Never(error.unwrap_or_default())),
    }
}

fn pause_s(response: &Response) -> u64 {
    let said = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    said.and_then(|text| text.trim().parse().ok()).unwrap_or(PAUSE_S).min(PAUSE_S_MAX)
}

/// The failure without the address, which may hold a secret.
fn told(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the answer broke off"
    };
    kind.to_owned()
}

/// Slack's three control characters.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn client(timeout: Duration) -> anyhow::Result<reqwest::Client> {
    // reqwest is built without a provider of its own; a second call changes nothing.
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = reqwest::Client::builder().timeout(timeout).connect_timeout(timeout);
    Ok(client.redirect(reqwest::redirect::Policy::none()).build()?)
}
