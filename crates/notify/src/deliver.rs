//! Sending what is due: each channel by itself, each person by himself, so that nobody waits for another's failure.
//!
//! A delivery is taken for a while before it is sent. Who stops in between leaves it to the next, with the same id.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kernel::UserId;
use platform::db::DbError;
use platform::http::Language;
use uuid::Uuid;

use crate::App;
use crate::kinds;
use crate::model::{Style, Values, render};
use crate::outside::{Fault, Message};
use crate::store::deliveries::{self, DeliveryRow, Tried};
use crate::texts::Texts;

pub const CHANNELS: [&str; 3] = ["email", "slack", "operators"];
/// Sent at once in a channel; who answers slowly takes one of them until the time-out.
const AT_ONCE: usize = 16;
/// Between two looks while something is on its way.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A run ends in time for its lease.
const RUN_MAX: Duration = Duration::from_secs(20);
/// A longer pause would look like an outage.
const PAUSE_MS_MAX: i64 = 3_600_000;

/// Channels that a receiver told to pause, and until when.
#[derive(Default)]
pub struct Pauses(Mutex<HashMap<&'static str, i64>>);

impl Pauses {
    fn until_ms(&self, channel: &str) -> i64 {
        let pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.get(channel).copied().unwrap_or_default()
    }

    fn set(&self, channel: &'static str, until_ms: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(channel, until_ms);
    }
}

/// Sends until nothing is due or the run is long enough.
pub async fn send_due(app: &Arc<App>) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut sending = FuturesUnordered::new();
    let mut busy: HashMap<&'static str, HashSet<Uuid>> = HashMap::new();
    loop {
        if begun.elapsed() < RUN_MAX {
            for channel in CHANNELS {
                let busy = busy.entry(channel).or_default();
                for (row, until_ms) in take(app, channel, busy).await? {
                    busy.insert(row.user_id.unwrap_or(row.id));
                    sending.push(send(app.clone(), channel, row, until_ms));
                }
            }
        }
        if sending.is_empty() {
            return Ok(());
        }
        tokio::select! {
            Some((channel, whose)) = sending.next() => {
                busy.entry(channel).or_default().remove(&whose);
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Takes what is due in a channel and has room, of people to whom nothing is on its way.
async fn take(app: &App, channel: &'static str, busy: &HashSet<Uuid>) -> Result<Vec<(DeliveryRow, i64)>, DbError> {
    let now_ms = app.db.clock().now_ms();
    let room = AT_ONCE.saturating_sub(busy.len());
    if room == 0 || now_ms < app.pauses.until_ms(channel) {
        return Ok(Vec::new());
    }
    let due = deliveries::due(&app.db, channel, now_ms, room as i64).await?;
    let free: Vec<_> = due.into_iter().filter(|row| !busy.contains(&row.user_id.unwrap_or(row.id))).collect();
    if free.is_empty() {
        return Ok(Vec::new());
    }
    // Long enough for a try and what it may wait for; then it is somebody else's.
    let until_ms = now_ms + 2 * i64::from(app.outside.settings.timeout_ms) + 5_000;
    app.db
        .write(move |tx| {
            Box::pin(async move {
                let mut taken = Vec::with_capacity(free.len());
                for row in free {
                    if deliveries::take(tx, &row, until_ms).await? {
                        taken.push((row, until_ms));
                    }
                }
                Ok(taken)
            })
        })
        .await
}

async fn send(app: Arc<App>, channel: &'static str, row: DeliveryRow, until_ms: i64) -> (&'static str, Uuid) {
    let whose = row.user_id.unwrap_or(row.id);
    let outcome = attempt(&app, channel, &row).await;
    let now_ms = app.db.clock().now_ms();
    let tried = match outcome {
        Ok(outcome) => came_to(&app, channel, &row, outcome, now_ms),
        // The database is away; the delivery comes again when its time is over.
        Err(_) => return (channel, whose),
    };
    metrics::counter!("madang_notify_deliveries_total", "channel" => channel, "state" => tried.state).increment(1);
    let written =
        app.db.write(move |tx| Box::pin(async move { deliveries::tried(tx, row.id, until_ms, &tried, now_ms).await }));
    if let Err(error) = written.await {
        tracing::warn!(%error, "what came of a delivery was not written; it is sent again");
    }
    (channel, whose)
}

enum Outcome {
    Sent,
    NoAddress,
    Failed(Fault),
}

async fn attempt(app: &App, channel: &str, row: &DeliveryRow) -> Result<Outcome, DbError> {
    let (mut email, mut slack, mut language) = (None, None, None);
    if let Some(user) = row.user_id {
        (email, slack, language) = deliveries::reached(&app.db, UserId(user)).await?;
    }
    let language = language.as_deref().and_then(Language::parse).unwrap_or_default();
    let message = message(app, row, &Texts::read(&app.db).await?, language);
    let sent = match channel {
        "email" => match (&app.outside.mail, email) {
            (_, None) => return Ok(Outcome::NoAddress),
            (Some(mail), Some(to)) => mail.send(&to, &message).await,
            (None, _) => Err(Fault::Never("e-mail is off".to_owned())),
        },
        "slack" => match (&app.outside.slack, slack) {
            (_, None) => return Ok(Outcome::NoAddress),
            (Some(slack), Some(to)) => slack.send(Some(&to), &message).await,
            (None, _) => Err(Fault::Never("Slack is off".to_owned())),
        },
        _ => match &app.outside.operators {
            Some(webhook) => webhook.send(None, &message).await,
            None => Err(Fault::Never("there is no webhook for operators".to_owned())),
        },
    };
    Ok(sent.map_or_else(Outcome::Failed, |()| Outcome::Sent))
}

fn message(app: &App, row: &DeliveryRow, texts: &Texts, language: Language) -> Message {
    let style = Style { language, offset_s: app.config.offset_s };
    let values: Values = serde_json::from_str(&row.named).unwrap_or_default();
    let base = app.outside.settings.public_url.trim_end_matches('/');
    let (title, body, link) = match kinds::find(&row.kind) {
        Some(kind) => {
            let text = texts.of(kind, language);
            let shown = |template: &str| render(template, &values, style);
            (shown(text.title), shown(text.body), format!("{base}{}", shown(kind.link)))
        }
        None => (row.kind.clone(), String::new(), base.to_owned()),
    };
    Message { delivery: row.id, title, body, link }
}

fn came_to(app: &App, channel: &'static str, row: &DeliveryRow, outcome: Outcome, now_ms: i64) -> Tried {
    let ended = |state, reason| Tried { state, reason, tries: row.tries + 1, due_ms: now_ms };
    match outcome {
        Outcome::Sent => ended("sent", None),
        Outcome::NoAddress => ended("suppressed", Some("no address".to_owned())),
        Outcome::Failed(Fault::Never(reason)) => ended("dead", Some(reason)),
        Outcome::Failed(Fault::Later(reason)) if row.tries + 1 >= i64::from(app.outside.settings.tries_max) => {
            ended("dead", Some(reason))
        }
        Outcome::Failed(Fault::Later(reason)) => {
            let due_ms = now_ms + back_off_ms(i64::from(app.outside.settings.retry_ms), row.tries);
            Tried { state: "failed", reason: Some(reason), tries: row.tries + 1, due_ms }
        }
        Outcome::Failed(Fault::Pause { ms }) => {
            // Not its fault: it costs no try.
            let due_ms = now_ms + i64::try_from(ms).unwrap_or(PAUSE_MS_MAX);
            app.pauses.set(channel, due_ms);
            Tried { state: "failed", reason: Some("told to pause".to_owned()), tries: row.tries, due_ms }
        }
    }
}

/// Twice as long after each failure, an hour at most, spread by up to a half so that a crowd does not come at once.
fn back_off_ms(first_ms: i64, tries: i64) -> i64 {
    let doubled = first_ms.saturating_mul(1_i64 << tries.clamp(0, 20)).min(PAUSE_MS_MAX);
    doubled + rand::random_range(0..=doubled / 2)
}
