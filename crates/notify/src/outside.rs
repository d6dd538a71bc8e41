//! The channels that lead out of the yard. Each says the delivery's id, so that a receiver can tell a repeat.

mod mail;
mod slack;

use std::time::Duration;

use platform::config::Secret;
use uuid::Uuid;

pub use mail::Mail;
pub use slack::Slack;

/// Where messages go, and how patiently. Empty addresses are channels that are off.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `smtp://user:password@host:port`, `smtps://…`.
    pub smtp_url: Secret,
    /// Who e-mail is from.
    pub mail_from: String,
    /// A bot's token.
    pub slack_token: Secret,
    /// Where Slack's methods are.
    pub slack_url: String,
    /// An incoming webhook that operators read.
    pub operators_url: Secret,
    /// What links are below.
    pub public_url: String,
    /// A receiver that says nothing for so long is tried again later.
    pub timeout_ms: u32,
    /// The pause after the first failure; each further one is twice as long.
    pub retry_ms: u32,
    /// After so many failures a delivery is dead.
    pub tries_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            smtp_url: Secret::default(),
            mail_from: "Madang <no-reply@localhost>".to_owned(),
            slack_token: Secret::default(),
            slack_url: "https://slack.com/api".to_owned(),
            operators_url: Secret::default(),
            public_url: String::new(),
            timeout_ms: 10_000,
            retry_ms: 2_000,
            tries_max: 10,
        }
    }
}

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Message {
    pub delivery: Uuid,
    pub title: String,
    pub body: String,
    /// Absolute where the yard knows its address.
    pub link: String,
}

/// Why a message did not go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Try again later.
    Later(String),
    /// The whole channel is to pause so long.
    Pause { ms: u64 },
    /// It will never go out.
    Never(String),
}

/// The channels that are on.
pub struct Outside {
    pub mail: Option<Mail>,
    pub slack: Option<Slack>,
    pub operators: Option<Slack>,
    pub settings: Settings,
}

impl Outside {
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        let timeout = Duration::from_millis(u64::from(settings.timeout_ms));
        let set = |secret: &Secret| !secret.expose().is_empty();
        let mail = match set(&settings.smtp_url) {
            true => Some(Mail::new(settings.smtp_url.expose(), &settings.mail_from, timeout)?),
            false => None,
        };
        let slack = match set(&settings.slack_token) {
            true => Some(Slack::bot(&settings.slack_url, settings.slack_token.expose(), timeout)?),
            false => None,
        };
        let operators = match set(&settings.operators_url) {
            true => Some(Slack::webhook(settings.operators_url.expose(), timeout)?),
            false => None,
        };
        Ok(Self { mail, slack, operators, settings })
    }
}
