//! The people of a measurement, and what they click.

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use server::load::{self, Answer, Options, Request, Summary};
use uuid::Uuid;

use crate::yard::Yard;

/// How long a rehearsal's people may live; longer than any run.
const TTL_S: u32 = 4 * 3600;
/// A yard that needs longer for one answer is broken.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Every so many answers one is read, so that the reading costs the load nothing.
const READ_EVERY: usize = 64;

/// Marked people with a token each, and the one race they can claim in.
pub struct Crowd {
    race: Uuid,
    tokens: Vec<String>,
}

/// What a person clicks and what he must be told.
#[derive(Clone, Copy, Debug)]
pub struct Click {
    /// Last part of the path below the race.
    path: &'static str,
    status: u16,
    /// A part of the body which only the right answer has.
    says: &'static str,
}

/// The route that costs the least; `yard` adds it.
pub const BARE: Click = Click { path: "bare", status: 200, says: "\"course\":" };
/// A claim while there is enough for everybody.
pub const GRANTED: Click = Click { path: "registrations", status: 201, says: "\"state\":\"held\"" };
/// A claim after the last unit.
pub const REFUSED: Click = Click { path: "registrations", status: 409, says: "\"admission/sold-out\"" };

impl Crowd {
    /// `people` before an offer of `capacity` places, which cost `fee_won` each.
    pub async fn gather(yard: &Yard, admin: &str, people: usize, capacity: usize, fee_won: i64) -> Result<Crowd> {
        #[derive(Deserialize)]
        struct Rehearsal {
            race_id: Uuid,
            token_url: String,
        }
        #[derive(Deserialize)]
        struct Token {
            token: String,
        }
        let client = reqwest::Client::new();
        let base = reqwest::Url::parse(&format!("http://{}/api/v1/admin/rehearsals", yard.addr))?;
        let body = serde_json::json!({ "people": people, "capacity": capacity, "ttl_s": TTL_S, "fee_won": fee_won });
        let made = client.post(base.clone()).bearer_auth(admin).json(&body).send().await?.error_for_status();
        let made: Rehearsal = made.context("no rehearsal")?.json().await?;
        let list = client.get(base.join(&made.token_url)?).bearer_auth(admin).send().await?.error_for_status();
        let mut list = list.context("no tokens")?;
        let mut tokens = Vec::with_capacity(people);
        let mut rest = Vec::new();
        // Read as it comes: the tokens of a million people would fill the memory twice.
        while let Some(chunk) = list.chunk().await? {
            rest.extend_from_slice(&chunk);
            let mut whole = 0;
            while let Some(end) = rest[whole..].iter().position(|byte| *byte == b'\n') {
                let line = &rest[whole..whole + end];
                whole += end + 1;
                if !line.is_empty() {
                    tokens.push(serde_json::from_slice::<Token>(line).context("a line of the tokens")?.token);
                }
            }
            rest.drain(..whole);
        }
        if !rest.is_empty() {
            tokens.push(serde_json::from_slice::<Token>(&rest).context("the last line of the tokens")?.token);
        }
        ensure!(tokens.len() == people, "{} tokens for {people} people", tokens.len());
        Ok(Crowd { race: made.race_id, tokens })
    }

    pub fn token(&self, person: usize) -> &str {
        &self.tokens[person]
    }

    pub fn race(&self) -> Uuid {
        self.race
    }

    /// All of `who` click once, as fast as the yard answers `connections` of them at a time.
    pub async fn rush(&self, yard: &Yard, who: Range<usize>, click: Click, connections: usize) -> Result<Summary> {
        let requests = self.requests(yard, who, click)?;
        let watch = Watch::new(click);
        let summary = load::closed_loop(yard.addr, &options(connections), requests, watch.on_answer()).await;
        watch.judge(summary)
    }

    /// All of `who` click once, `per_s` of them a second on average, whatever the yard does.
    pub async fn stream(
        &self,
        yard: &Yard,
        who: Range<usize>,
        click: Click,
        per_s: f64,
        connections: usize,
    ) -> Result<Summary> {
        let arrivals = load::poisson(who.len(), per_s, 1);
        let requests = self.requests(yard, who, click)?;
        let watch = Watch::new(click);
        let summary = load::open_loop(yard.addr, &options(connections), requests, arrivals, watch.on_answer()).await;
        watch.judge(summary)
    }

    fn requests(&self, yard: &Yard, who: Range<usize>, click: Click) -> Result<Arc<[Request]>> {
        let (host, path) = (yard.host(), format!("/api/v1/races/{}/{}", self.race, click.path));
        let body = serde_json::json!({});
        self.tokens[who].iter().map(|token| Request::post(&host, &path, Some(token), &body)).collect()
    }
}

pub fn options(connections: usize) -> Options {
    Options { connections, timeout: ANSWER_MAX, retry: None }
}

/// Notices answers that are not what was clicked for: a wrong answer is quick, and no measure of anything.
struct Watch {
    click: Click,
    /// The first of them, as it came.
    odd: Arc<OnceLock<String>>,
}

impl Watch {
    fn new(click: Click) -> Watch {
        Watch { click, odd: Arc::default() }
    }

    fn on_answer(&self) -> impl Fn(Answer<'_>) + Send + Sync + 'static {
        let (click, odd) = (self.click, self.odd.clone());
        move |answer| {
            let says = click.says.as_bytes();
            let read = answer.index.is_multiple_of(READ_EVERY);
            if answer.status != click.status || read && !answer.body.windows(says.len()).any(|part| part == says) {
                odd.get_or_init(|| format!("{} {}", answer.status, String::from_utf8_lossy(answer.body)));
            }
        }
    }

    fn judge(self, summary: Summary) -> Result<Summary> {
        let Click { path, status, says } = self.click;
        let odd = self.odd.get();
        if odd.is_some() || summary.unanswered > 0 {
            bail!(
                "{} clicks on {path} were to be answered {status} and say {says}: {:?}, failed {:?}; the first odd one: {}",
                summary.requests,
                summary.by_status,
                summary.errors,
                odd.map_or("-", String::as_str),
            );
        }
        Ok(summary)
    }
}
