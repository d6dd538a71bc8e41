//! Whole registrations per second: from the click to the bib, paid in the sandbox.
//!
//! One is seven requests of one person: claim, terms, address, opening the payment, the approval on the provider's page,
//! the confirmation, and the look that finds the place confirmed. A rehearsal's race has no souvenirs, hence no step for
//! one. People go in waves, as after an opening: all of a group claim, then all agree to the terms, and so on. The time
//! counts from the first claim until every look has found a bib; sagas, webhooks and the sandbox itself run meanwhile on
//! the same cores. Latencies are of the closed loop.

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use axum::http::{Method, header};
use serde_json::{Value, json};
use server::load::{self, Request, Summary};
use uuid::Uuid;

use crate::Args;
use crate::crowd::{BARE, Crowd, options};
use crate::database::Database;
use crate::rates::slices;
use crate::report::{Kind, Report};
use crate::yard::{Ground, Yard};

const FEE_WON: i64 = 30_000;
/// Sagas that need longer after the last confirmation are stuck.
const END_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub async fn measure(args: &Args, database: &Database, report: &mut Report) -> Result<()> {
    for number in 0..args.runs {
        eprintln!("registrations, run {} of {}", number + 1, args.runs);
        let ground = Ground::new(args, database).await?;
        let yard = ground.start().await?;
        let admin = ground.admin(&yard).await?;
        let crowd = Crowd::gather(&yard, &admin, args.people, args.people, FEE_WON).await?;
        for group in slices(0..args.people).into_iter().filter(|group| !group.is_empty()) {
            let connections = args.connections;
            // Twice: the first one makes the tokens warm.
            crowd.rush(&yard, group.clone(), BARE, connections).await?;
            let bare = crowd.rush(&yard, group.clone(), BARE, connections).await?.rps;
            let people = group.len();
            let mut wave = Wave { yard: &yard, crowd: &crowd, group, connections, p99s: Vec::new() };
            let began = Instant::now();
            wave.register().await?;
            let per_s = people as f64 / began.elapsed().as_secs_f64();
            report.add_beside(Kind::Registrations, per_s, bare);
            report.add_step_p99s(Kind::Registrations, &wave.p99s);
        }
        yard.stop().await?;
        ground.remove().await?;
    }
    Ok(())
}

/// An answer's status and body, once it is there.
type Kept = OnceLock<(u16, Box<[u8]>)>;

/// A group of people who do the same at the same time.
struct Wave<'a> {
    yard: &'a Yard,
    crowd: &'a Crowd,
    group: Range<usize>,
    connections: usize,
    /// Of each step, in milliseconds.
    p99s: Vec<(&'static str, f64)>,
}

impl Wave<'_> {
    async fn register(&mut self) -> Result<()> {
        let race = self.crowd.race();
        let claim = self.all(|_| (Method::POST, format!("/api/v1/races/{race}/registrations"), json!({})));
        let claimed = self.ask("claim", claim?).await?;
        let ids = claimed.iter().map(|body| id_of(&body["id"])).collect::<Result<Vec<_>>>()?;
        let step = |nth: usize, name: &str| format!("/api/v1/registrations/{}/steps/{name}", ids[nth]);
        let terms = json!({ "agreed": true, "terms_version": 1 });
        let terms = self.all(|nth| (Method::PUT, step(nth, "terms"), terms.clone()));
        self.ask("terms", terms?).await?;
        let address = json!({ "recipient": "연습", "phone": "010-0000-0000", "postcode": "00000", "line1": "마당 1", "line2": "" });
        let address = self.all(|nth| (Method::PUT, step(nth, "address"), address.clone()));
        self.ask("address", address?).await?;
        let payment = self.all(|nth| (Method::PUT, step(nth, "payment"), json!({ "provider": "sandbox" })));
        let opened = self.ask("payment", payment?).await?;
        let payments = opened.iter().map(|body| id_of(&body["payment"]["id"])).collect::<Result<Vec<_>>>()?;
        let approval = |nth: usize| format!("/api/v1/sandbox/payments/{}", payments[nth]);
        let approve = self.all(|nth| (Method::POST, approval(nth), json!({ "outcome": "approve" })));
        self.ask("approve", approve?).await?;
        let confirmation = |nth: usize| format!("/api/v1/payments/{}/confirm", payments[nth]);
        let confirm = self.all(|nth| (Method::POST, confirmation(nth), json!({})));
        self.ask("confirm", confirm?).await?;
        self.look(&ids).await
    }

    /// Everybody looks, those without a bib again.
    async fn look(&mut self, ids: &[Uuid]) -> Result<()> {
        let mut waiting: Vec<usize> = (0..ids.len()).collect();
        let deadline = Instant::now() + END_MAX;
        loop {
            let look =
                |nth: &usize| self.request(*nth, &Method::GET, &format!("/api/v1/registrations/{}", ids[*nth]), None);
            let looks = waiting.iter().map(look).collect::<Result<Vec<_>>>()?;
            let found = self.ask("look", looks).await?;
            let seen = waiting.iter().copied().zip(&found);
            let left: Vec<_> = seen.filter(|(_, body)| body["state"] != "confirmed" || !body["bib"].is_i64()).collect();
            let Some((_, body)) = left.first() else { return Ok(()) };
            ensure!(Instant::now() < deadline, "{} registrations are not confirmed; one says {body}", left.len());
            waiting = left.iter().map(|(nth, _)| *nth).collect();
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn all(&self, what: impl Fn(usize) -> (Method, String, Value)) -> Result<Vec<Request>> {
        let request = |nth| {
            let (method, path, body) = what(nth);
            self.request(nth, &method, &path, Some(&body))
        };
        (0..self.group.len()).map(request).collect()
    }

    fn request(&self, nth: usize, method: &Method, path: &str, body: Option<&Value>) -> Result<Request> {
        let uri = format!("http://{}{path}", self.yard.host());
        let bearer = format!("Bearer {}", self.crowd.token(self.group.start + nth));
        let request = axum::http::Request::builder().method(method).uri(uri).header(header::AUTHORIZATION, bearer);
        let request = match body {
            Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(serde_json::to_vec(body)?),
            None => request.body(Vec::new()),
        };
        Ok(Request::from(&request?))
    }

    /// Sends the requests of a step; answers the bodies in their order. Everything but a success fails the measurement.
    async fn ask(&mut self, step: &'static str, requests: Vec<Request>) -> Result<Vec<Value>> {
        let bodies: Arc<[Kept]> = requests.iter().map(|_| Kept::new()).collect();
        let kept = bodies.clone();
        let keep = move |answer: load::Answer<'_>| drop(kept[answer.index].set((answer.status, answer.body.into())));
        let asked = load::closed_loop(self.yard.addr, &options(self.connections), requests.into(), keep).await;
        let Summary { by_status, errors, histogram, .. } = asked;
        // Of several looks the first counts, at which everybody looked.
        if self.p99s.iter().all(|(known, _)| *known != step) {
            self.p99s.push((step, histogram.p99().as_secs_f64() * 1e3));
        }
        let read = |answer: &Kept| match answer.get() {
            Some((200..300, body)) => serde_json::from_slice(body).with_context(|| format!("{step}: no JSON")),
            Some((status, body)) => {
                bail!("{step}: {by_status:?}, failed {errors:?}; one says {status} {}", String::from_utf8_lossy(body))
            }
            None => bail!("{step}: {by_status:?}, failed {errors:?}"),
        };
        bodies.iter().map(read).collect()
    }
}

fn id_of(value: &Value) -> Result<Uuid> {
    value.as_str().and_then(|text| text.parse().ok()).with_context(|| format!("{value} is no id"))
}
