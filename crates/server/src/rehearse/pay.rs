//! From the place to the bib: everybody who has one goes through the steps, pays in the sandbox, and takes his ticket.
//!
//! Judged from outside, like the rest: what each registration and each payment says at the end, and the yard's own
//! reconciliation of its ledger with the provider's statement.

use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use reqwest::{Client, Method, StatusCode, Url};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::Crowd;

/// People at their steps at once.
const AT_ONCE: usize = 32;
/// Beyond the longest hold and the slowest outcome of the sandbox.
const END_MAX: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What becomes of the payments, in percent; the rest are approved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mix {
    decline: u32,
    late: u32,
    unknown: u32,
    walk: u32,
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Mix, String> {
        let mut mix = Mix::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, percent) = part.split_once('=').ok_or_else(|| format!("{part:?} is not NAME=PERCENT"))?;
            let percent = percent.parse().map_err(|_| format!("{percent:?} is no percentage"))?;
            match name {
                "decline" => mix.decline = percent,
                "late" => mix.late = percent,
                "unknown" => mix.unknown = percent,
                "walk" => mix.walk = percent,
                _ => return Err(format!("{name:?} is none of decline, late, unknown, walk")),
            }
        }
        let shares = [mix.decline, mix.late, mix.unknown, mix.walk];
        let sum = shares.into_iter().try_fold(0u32, u32::checked_add);
        if sum.is_some_and(|sum| sum <= 100) { Ok(mix) } else { Err("more than 100 percent".to_owned()) }
    }
}

impl Mix {
    /// What the `nth` person does: spread evenly, the same in every run.
    fn of(self, nth: usize) -> Outcome {
        // 37 and 100 have no common factor: every hundred people share out all percents.
        let at = u32::try_from(nth * 37 % 100).unwrap_or(0);
        let shares = [
            (Outcome::Pays("decline"), self.decline),
            (Outcome::Pays("late"), self.late),
            (Outcome::Pays("unknown"), self.unknown),
            (Outcome::Walks, self.walk),
        ];
        let mut upto = 0;
        for (outcome, percent) in shares {
            upto += percent;
            if at < upto {
                return outcome;
            }
        }
        Outcome::Pays("approve")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// With this outcome in the sandbox.
    Pays(&'static str),
    /// Does nothing more.
    Walks,
}

/// What came of the payments.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Paid {
    /// With bib and ticket.
    pub confirmed: u64,
    /// Whose place went back, and all his money.
    pub compensated: u64,
    /// Undecided at the end.
    pub stuck: u64,
    pub captured_won: i64,
    /// Captured and not given back.
    pub kept_won: i64,
    pub paying_ms: u64,
    /// What is not as it must be; empty where all is well.
    pub unexplained: Vec<String>,
}

impl Paid {
    pub fn is_well(&self) -> bool {
        self.unexplained.is_empty()
    }
}

/// Lets everybody with a place go on, waits until each is decided, and judges.
pub async fn pay(
    yard: &Url,
    admin: &str,
    crowd: &Crowd,
    places: &[(usize, Uuid)],
    mix: Mix,
    fee_won: i64,
) -> Result<Paid> {
    let began = Instant::now();
    let client = Client::new();
    let turns = Semaphore::new(AT_ONCE);
    let turns = &turns;
    let runner = |(nth, (person, id)): (usize, &(usize, Uuid))| {
        let runner =
            Runner { client: client.clone(), yard: yard.clone(), token: crowd.token(*person).to_owned(), id: *id };
        async move {
            let went = {
                let _turn = turns.acquire().await;
                runner.go(mix.of(nth)).await
            };
            (went, runner.end().await)
        }
    };
    let mut ends: FuturesUnordered<_> = places.iter().enumerate().map(runner).collect();
    let mut paid = Paid::default();
    while let Some((went, ended)) = ends.next().await {
        if let Err(error) = went {
            paid.unexplained.push(format!("a step failed: {error:#}"));
        }
        paid.count(&ended?, fee_won);
    }
    paid.reconcile(&client, yard, admin).await?;
    paid.paying_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(paid)
}

impl Paid {
    fn count(&mut self, end: &End, fee_won: i64) {
        self.captured_won += end.captured_won;
        self.kept_won += end.captured_won - end.refunded_won;
        let kept = end.captured_won - end.refunded_won;
        match end.state.as_str() {
            "confirmed" if kept != fee_won => self.unexplained.push(format!("confirmed, and {kept} won paid")),
            "confirmed" if !end.ticket => self.unexplained.push("confirmed without a bib or a ticket".to_owned()),
            "confirmed" => self.confirmed += 1,
            "paying" | "held" => {
                self.stuck += 1;
                self.unexplained.push(format!("still {} at the end", end.state));
            }
            state if kept != 0 => self.unexplained.push(format!("{state}, and {kept} won kept")),
            _ => self.compensated += 1,
        }
    }

    /// The yard's own comparison of ledger, intents and the provider's statement; for administrators only.
    async fn reconcile(&mut self, client: &Client, yard: &Url, admin: &str) -> Result<()> {
        let path = yard.join("/api/v1/admin/reconciliations")?;
        let answer =
            client.post(path).bearer_auth(admin).json(&json!({ "provider": "sandbox", "day": today() })).send().await?;
        if answer.status() == StatusCode::FORBIDDEN {
            return Ok(());
        }
        let status = answer.status();
        let report: Value = answer.json().await.context("the reconciliation cannot be read")?;
        ensure!(status.is_success(), "the reconciliation failed: {status} {report}");
        let differences = report["differences"].as_array().map_or(0, Vec::len);
        if differences > 0 {
            self.unexplained
                .push(format!("ledger and provider differ in {differences} places: {}", report["differences"]));
        }
        Ok(())
    }
}

/// The day in Korea, where a yard is unless it is told otherwise.
fn today() -> String {
    (chrono::Utc::now() + chrono::Duration::hours(9)).date_naive().to_string()
}

/// How one registration ended.
#[derive(Debug)]
struct End {
    state: String,
    captured_won: i64,
    refunded_won: i64,
    ticket: bool,
}

/// Somebody with a place.
struct Runner {
    client: Client,
    yard: Url,
    token: String,
    id: Uuid,
}

impl Runner {
    async fn go(&self, outcome: Outcome) -> Result<()> {
        let Outcome::Pays(outcome) = outcome else { return Ok(()) };
        self.step("terms", json!({ "agreed": true, "terms_version": 1 })).await?;
        let address = json!({ "recipient": "연습", "phone": "010-0000-0000", "postcode": "00000", "line1": "마당 1", "line2": "" });
        self.step("address", address).await?;
        let opened = self.step("payment", json!({ "provider": "sandbox" })).await?;
        let payment = &opened["payment"];
        let (Some(id), Some(page)) = (payment["id"].as_str(), payment["checkout_url"].as_str()) else {
            bail!("no payment was opened: {opened}");
        };
        self.ask(Method::POST, page, Some(json!({ "outcome": outcome }))).await?;
        // A provider that does not answer in time is asked on by the yard.
        let confirm = format!("/api/v1/payments/{id}/confirm");
        let (status, answer) = self.send(Method::POST, &confirm, Some(json!({}))).await?;
        ensure!(status.is_success() || status == StatusCode::SERVICE_UNAVAILABLE, "{confirm}: {status} {answer}");
        Ok(())
    }

    /// Waits until it is decided one way or the other.
    async fn end(&self) -> Result<End> {
        let deadline = Instant::now() + END_MAX;
        loop {
            let now = self.ask(Method::GET, &format!("/api/v1/registrations/{}", self.id), None).await?;
            let state = now["state"].as_str().unwrap_or_default().to_owned();
            let (captured_won, refunded_won) = self.money(&now).await?;
            let decided = match state.as_str() {
                "held" | "paying" => false,
                "confirmed" => true,
                _ => captured_won == refunded_won,
            };
            if decided || Instant::now() > deadline {
                let ticket = state == "confirmed" && now["bib"].is_i64() && self.has_ticket().await?;
                return Ok(End { state, captured_won, refunded_won, ticket });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What payments says was taken and given back.
    async fn money(&self, registration: &Value) -> Result<(i64, i64)> {
        let Some(id) = registration["payment"]["id"].as_str() else { return Ok((0, 0)) };
        let payment = self.ask(Method::GET, &format!("/api/v1/payments/{id}"), None).await?;
        let won = |field: &str| payment[field].as_i64().unwrap_or(0);
        Ok(if payment["state"] == "captured" { (won("amount_won"), won("refunded_won")) } else { (0, 0) })
    }

    async fn has_ticket(&self) -> Result<bool> {
        let path = self.yard.join(&format!("/api/v1/registrations/{}/qr.png", self.id))?;
        let answer = self.client.get(path).bearer_auth(&self.token).send().await?;
        Ok(answer.status().is_success() && answer.bytes().await?.starts_with(b"\x89PNG"))
    }

    async fn step(&self, name: &str, body: Value) -> Result<Value> {
        self.ask(Method::PUT, &format!("/api/v1/registrations/{}/steps/{name}", self.id), Some(body)).await
    }

    /// Asks until the yard is not too busy; anything but a success is an error.
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let deadline = Instant::now() + END_MAX;
        loop {
            let (status, answer) = self.send(method.clone(), path, body.clone()).await?;
            let later = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
            if !later || Instant::now() > deadline {
                ensure!(status.is_success(), "{method} {path}: {status} {answer}");
                return Ok(answer);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<(StatusCode, Value)> {
        let request = self.client.request(method, self.yard.join(path)?).bearer_auth(&self.token);
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request.send().await?;
        let status = answer.status();
        Ok((status, answer.json().await.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_shared_out_as_it_says() {
        let mix: Mix = "decline=30,late=10,unknown=5,walk=20".parse().expect("a mix");
        let count = |wanted: Outcome| (0..100).filter(|nth| mix.of(*nth) == wanted).count();
        assert_eq!(count(Outcome::Pays("decline")), 30);
        assert_eq!(count(Outcome::Pays("late")), 10);
        assert_eq!(count(Outcome::Pays("unknown")), 5);
        assert_eq!(count(Outcome::Walks), 20);
        assert_eq!(count(Outcome::Pays("approve")), 35);
        for bad in ["decline", "decline=x", "refuse=1", "decline=60,walk=41"] {
            assert!(bad.parse::<Mix>().is_err(), "{bad}");
        }
    }
}
