//! A rehearsal: an opening minute with marked people, over TCP with a token each, and a judgement of what came of it.
//!
//! Everything is checked from outside: what each person was told, against the rules of the game and against the
//! public order log.

mod crowd;
mod pay;
mod plot;
mod throwaway;
mod told;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::Url;
use serde::Serialize;
use uuid::Uuid;

use crate::load::{self, Answer, Histogram, Options, Request, Retry};
use crate::verify::Place;

pub use crowd::{Crowd, Wish};
pub use pay::{Mix, Paid, pay};
pub use plot::intake_curve;
pub use throwaway::ThrowAway;
pub use told::Moment;
use told::{Sums, Told};

/// A yard that needs longer for one try has lost it.
const TRY_MAX: Duration = Duration::from_secs(30);

/// What is played.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub people: u32,
    pub capacity: u32,
    /// Times each person clicks at once, at every yard.
    pub clicks: u32,
    /// All arrive within this time, most of them at its beginning.
    pub within: Duration,
    /// Connections to each yard.
    pub connections: usize,
    /// How long a person tries again when he is told to come back.
    pub patience: Duration,
    /// Makes the arrivals; the same seed, the same crowd.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub race_id: Uuid,
    pub people: u32,
    pub capacity: u32,
    /// People with a place.
    pub granted: u64,
    /// People who were told that there is none.
    pub refused: u64,
    /// Those among them who were told their number.
    pub numbered: u64,
    /// People without any final answer.
    pub unanswered: u64,
    /// Answers that no claimant should get.
    pub errors: u64,
    /// Clicks sent, those sent again not counted.
    pub clicks: u64,
    /// Tries after a first one, as the yard asked for.
    pub retries: u64,
    /// From the moment a click was due to its final answer.
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    /// From the first click to the last answer.
    pub elapsed_ms: u64,
    /// The public order log was recomputed and is true.
    pub verified: bool,
    /// What is not as it must be; empty where all is well.
    pub faults: Vec<String>,
}

/// The outcome, and when each person got his first answer.
pub struct Rehearsed {
    pub outcome: Outcome,
    pub moments: Vec<Moment>,
    /// Who has a place: the person's number in the crowd, and his registration.
    pub places: Vec<(usize, Uuid)>,
}

/// Lets the whole crowd click at every one of `yards` and judges the answers. `on_answer` is called after each.
pub async fn rehearse(
    yards: &[Url],
    crowd: &Crowd,
    plan: &Plan,
    on_answer: impl Fn() + Send + Sync + 'static,
) -> Result<Rehearsed> {
    let arrivals = load::burst(crowd.people(), plan.within, plan.seed);
    let told = Arc::new(Told::new(arrivals.clone()));
    let traffic = play(yards, crowd, plan, &arrivals, &told, Arc::new(on_answer)).await?;
    let sums = told.sums();
    let mut outcome = Outcome::new(crowd.race_id, plan, &sums, &traffic);
    for yard in yards {
        outcome.check_log(yard, &sums.receipts).await?;
    }
    let moments = told.moments();
    Ok(Rehearsed { outcome, moments, places: told.places() })
}

/// What went over the wire, to all yards together.
#[derive(Default)]
struct Traffic {
    clicks: u64,
    retries: u64,
    unanswered: u64,
    elapsed: Duration,
    latencies: Histogram,
}

/// Everybody clicks when he arrives, at all yards at once.
async fn play(
    yards: &[Url],
    crowd: &Crowd,
    plan: &Plan,
    arrivals: &[Duration],
    told: &Arc<Told>,
    on_answer: Arc<impl Fn() + Send + Sync + 'static>,
) -> Result<Traffic> {
    let each = plan.clicks as usize;
    let due = arrivals.iter().flat_map(|at| std::iter::repeat_n(*at, each));
    let due: Vec<Duration> = due.collect();
    let patience = plan.patience;
    let options = Options { connections: plan.connections, timeout: TRY_MAX, retry: Some(Retry { patience }) };
    let mut runs = tokio::task::JoinSet::new();
    for yard in yards {
        let address = address(yard).await?;
        let requests = clicks(yard, crowd, each)?;
        let (options, due) = (options.clone(), due.clone());
        let (told, on_answer) = (told.clone(), on_answer.clone());
        let note = move |answer: Answer<'_>| {
            told.note(answer.index / each, &answer);
            on_answer();
        };
        runs.spawn(async move { load::open_loop(address, &options, requests, due, note).await });
    }
    let mut traffic = Traffic::default();
    while let Some(summary) = runs.join_next().await {
        let summary = summary.context("a run of the crowd broke off")?;
        traffic.clicks += summary.requests;
        traffic.retries += summary.retries;
        traffic.unanswered += summary.unanswered;
        traffic.elapsed = traffic.elapsed.max(summary.elapsed);
        traffic.latencies.merge(&summary.histogram);
    }
    Ok(traffic)
}

impl Outcome {
    /// What the answers alone say; the order log is not read yet.
    fn new(race_id: Uuid, plan: &Plan, sums: &Sums, traffic: &Traffic) -> Outcome {
        let ms = |latency: Duration| (latency.as_secs_f64() * 1e5).round() / 100.0;
        let mut outcome = Outcome {
            race_id,
            people: plan.people,
            capacity: plan.capacity,
            granted: sums.granted,
            refused: sums.refused,
            numbered: sums.numbered,
            unanswered: sums.unanswered,
            errors: sums.errors,
            clicks: traffic.clicks,
            retries: traffic.retries,
            p50_ms: ms(traffic.latencies.p50()),
            p99_ms: ms(traffic.latencies.p99()),
            max_ms: ms(traffic.latencies.max()),
            elapsed_ms: u64::try_from(traffic.elapsed.as_millis()).unwrap_or(u64::MAX),
            verified: true,
            faults: sums.faults.clone(),
        };
        outcome.judge(traffic.unanswered);
        outcome
    }

    pub fn is_well(&self) -> bool {
        self.faults.is_empty()
    }

    /// What the answers alone must give.
    fn judge(&mut self, clicks_unanswered: u64) {
        let places = u64::from(self.capacity.min(self.people));
        let without = u64::from(self.people) - places;
        let expected = [
            ("people with a place", self.granted, places),
            ("people refused", self.refused, without),
            ("people refused with a number", self.numbered, without),
            ("people without an answer", self.unanswered, 0),
            ("clicks without an answer", clicks_unanswered, 0),
            ("answers nobody should get", self.errors, 0),
        ];
        for (what, is, must_be) in expected {
            if is != must_be {
                self.faults.push(format!("{what}: {is} instead of {must_be}"));
            }
        }
    }

    /// What the public log of the sale must say, at this yard.
    async fn check_log(&mut self, yard: &Url, receipts: &[String]) -> Result<()> {
        let prefix = yard.join(&format!("/api/v1/races/{}/offer", self.race_id))?;
        let report = Place::parse(prefix.as_str())?.verify(receipts.to_vec(), None).await?;
        self.verified &= report.verified;
        self.faults.extend(report.violations.iter().map(|violation| format!("order log at {yard}: {violation}")));
        let logged = [
            ("numbers given", report.claims, self.granted + self.numbered),
            ("places given", report.open.held + report.open.confirmed, self.granted),
            ("refusals", report.counts.refused, self.numbered),
            ("receipts that hold", report.receipts.len() as u64, receipts.len() as u64),
        ];
        for (what, is, must_be) in logged {
            if is != must_be {
                self.verified = false;
                self.faults.push(format!("order log at {yard}: {what}: {is} instead of {must_be}"));
            }
        }
        Ok(())
    }
}

/// The requests of the crowd at one yard, person by person.
fn clicks(yard: &Url, crowd: &Crowd, stride: usize) -> Result<Arc<[Request]>> {
    let port = yard.port().map_or_else(String::new, |port| format!(":{port}"));
    let host = format!("{}{port}", yard.host_str().unwrap_or_default());
    let path = format!("/api/v1/races/{}/registrations", crowd.race_id);
    let mut requests = Vec::with_capacity(crowd.people() * stride);
    for token in crowd.tokens() {
        let click = Request::post(&host, &path, Some(token), &serde_json::json!({}))?;
        requests.extend(std::iter::repeat_n(click, stride));
    }
    Ok(requests.into())
}

/// The yard's address in the net; the load client speaks plain HTTP.
async fn address(yard: &Url) -> Result<SocketAddr> {
    ensure!(yard.scheme() == "http", "{yard}: a rehearsal goes over plain http, straight to the yard");
    let (Some(host), Some(port)) = (yard.host_str(), yard.port_or_known_default()) else { bail!("{yard} has no host") };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut found = tokio::net::lookup_host((host, port)).await.with_context(|| format!("{host} cannot be found"))?;
    found.next().with_context(|| format!("{host} has no address"))
}

#[cfg(test)]
mod tests;
