//! People who go all the way from a click to a bib, pay in the sandbox, and leave; and what each of them was told.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, Url};
use serde_json::{Value, json};
use server::rehearse;
use server::verify::Place;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::process::{Serving, client};
use crate::support::wait::until_so;

pub const FEE_WON: i64 = 30_000;
/// What comes back to who leaves by himself.
pub const BACK_PERCENT: i64 = 70;
/// Nobody's hold ends within a test.
const TTL_S: u32 = 3_600;
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(30);

/// What somebody makes of his first payment; each further one he approves.
const FIRST: [&str; 10] = [
    "approve",
    "decline",
    "approve",
    "late",
    "twice",
    "approve",
    "unknown",
    "wrong_amount",
    "approve",
    "late and gone",
];

/// How a registration is ended once it is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Stays,
    Leaves,
    IsWithdrawn,
}

/// What somebody knows.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub place: Option<Uuid>,
    first_payment: Option<String>,
    /// He was told that he is confirmed, with this bib.
    pub bib: Option<i64>,
    /// The end of his registration was asked for, heard or not.
    pub asked_to_end: bool,
    /// He goes no further: there was no place, or he has all he wanted.
    pub over: bool,
}

pub struct Runner {
    nth: usize,
    token: String,
    memory: Mutex<Memory>,
}

/// People of a rehearsal with a fee.
pub struct Runners {
    pub race: Uuid,
    pub capacity: u32,
    people: Vec<Arc<Runner>>,
}

/// The yard they go to, as long as it lives.
#[derive(Clone)]
struct Line {
    client: Client,
    yard: Url,
    admin: String,
    answers: Arc<Answers>,
}

#[derive(Default)]
struct Answers {
    count: AtomicUsize,
    more: Notify,
}

/// The yard was gone in the middle of it.
#[derive(Debug)]
struct Gone;

impl Runners {
    /// Lets the yard make a race of so many places, and the people who want them.
    pub async fn gather(yard: &Serving, admin: &str, people: u32, capacity: u32) -> Runners {
        let wish = rehearse::Wish { people, capacity, ttl_s: TTL_S, fee_won: FEE_WON, ..Default::default() };
        let made = rehearse::Crowd::gather(&yard.url("/"), admin, &wish).await.unwrap();
        let person =
            |(nth, token): (usize, &str)| Arc::new(Runner { nth, token: token.to_owned(), memory: Mutex::default() });
        Runners { race: made.race_id, capacity, people: made.tokens().enumerate().map(person).collect() }
    }

    /// All of `people` go on from where they are.
    pub fn go(&self, yard: &Serving, admin: &str, people: Range<usize>) -> Going {
        let line = Line { client: client(), yard: yard.url("/"), admin: admin.to_owned(), answers: Arc::default() };
        let mut going = JoinSet::new();
        for person in &self.people[people] {
            let (person, line, race) = (person.clone(), line.clone(), self.race);
            going.spawn(async move { person.go(&line, race).await.is_ok() });
        }
        Going { answers: line.answers, going }
    }

    /// What everybody who was told of a place knows.
    pub fn told(&self) -> Vec<(Ending, Memory)> {
        let told = |person: &Arc<Runner>| (person.ending(), person.memory.lock().unwrap().clone());
        self.people.iter().map(told).filter(|(_, memory)| memory.place.is_some()).collect()
    }

    pub fn all_over(&self) -> bool {
        self.people.iter().all(|person| person.memory.lock().unwrap().over)
    }

    /// Recomputes the sale from its log as a stranger would.
    pub async fn verify(&self, yard: &Serving) {
        let place = Place::parse(yard.url(&format!("/api/v1/races/{}", self.race)).as_str()).unwrap();
        let report = place.verify(Vec::new(), None).await.unwrap();
        assert!(report.verified, "{:#?}", report.violations);
    }
}

/// People under way.
pub struct Going {
    answers: Arc<Answers>,
    going: JoinSet<bool>,
}

impl Going {
    /// Waits until so many requests were answered, or nobody asks any more.
    pub async fn answered(&mut self, count: usize) {
        loop {
            let more = self.answers.more.notified();
            if self.answers.count.load(Ordering::Relaxed) >= count || self.going.is_empty() {
                return;
            }
            tokio::select! {
                () = more => {}
                Some(ended) = self.going.join_next() => drop(ended.unwrap()),
            }
        }
    }

    /// Waits until each has come to his end, or lost the yard; answers how many lost it.
    pub async fn end(mut self) -> usize {
        let mut cut_off = 0;
        while let Some(ended) = self.going.join_next().await {
            cut_off += usize::from(!ended.unwrap());
        }
        cut_off
    }
}

impl Runner {
    fn ending(&self) -> Ending {
        match self.nth % 7 {
            2 => Ending::Leaves,
            5 => Ending::IsWithdrawn,
            _ => Ending::Stays,
        }
    }

    fn remember<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> T {
        change(&mut self.memory.lock().unwrap())
    }

    /// Does what the yard says is next, until there is nothing more.
    async fn go(&self, line: &Line, race: Uuid) -> Result<(), Gone> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Value::Null;
        while !self.remember(|memory| memory.over) {
            assert!(Instant::now() < deadline, "runner {} waits forever: {:?} {seen}", self.nth, self.memory);
            let Some(place) = self.remember(|memory| memory.place) else {
                self.claim(line, race).await?;
                continue;
            };
            let path = format!("/api/v1/registrations/{place}");
            let now = self.must(line, Method::GET, &path, None).await?;
            seen = now.clone();
            match now["state"].as_str().unwrap() {
                "held" => self.step(line, &path, &now).await?,
                "paying" => tokio::time::sleep(PAUSE).await,
                "confirmed" => self.confirmed(line, &path, &now).await?,
                _ => self.remember(|memory| memory.over = true),
            }
        }
        Ok(())
    }

    async fn claim(&self, line: &Line, race: Uuid) -> Result<(), Gone> {
        let path = format!("/api/v1/races/{race}/registrations");
        let (status, body) = self.ask(line, Method::POST, &path, Some(json!({}))).await?;
        match (status, body["code"].as_str()) {
            (200 | 201, _) => {
                let id = body["id"].as_str().unwrap().parse().unwrap();
                self.remember(|memory| memory.place = Some(id));
            }
            (409, Some("admission/sold-out")) => self.remember(|memory| memory.over = true),
            _ => panic!("{path}: {status} {body}"),
        }
        Ok(())
    }

    async fn step(&self, line: &Line, path: &str, now: &Value) -> Result<(), Gone> {
        let Some(step) = now["next_step"].as_str() else { panic!("held without a step: {now}") };
        let body = match step {
            "terms" => json!({ "agreed": true, "terms_version": now["terms_version"].as_i64().unwrap_or(1) }),
            "address" => {
                json!({ "recipient": "김하늘", "phone": "010-1234-5678", "postcode": "07345", "line1": "서울 여의대로 1" })
            }
            "payment" => return self.pay(line, path).await,
            other => panic!("no such step: {other}"),
        };
        self.must(line, Method::PUT, &format!("{path}/steps/{step}"), Some(body)).await.map(drop)
    }

    async fn pay(&self, line: &Line, path: &str) -> Result<(), Gone> {
        let body = json!({ "provider": "sandbox" });
        // Refused where the state has moved since.
        let (status, opened) = self.ask(line, Method::PUT, &format!("{path}/steps/payment"), Some(body)).await?;
        let Some(id) = opened["payment"]["id"].as_str().filter(|_| status == 200) else {
            assert_eq!(status, 409, "{opened}");
            return Ok(());
        };
        let first = self.remember(|memory| memory.first_payment.get_or_insert(id.to_owned()) == id);
        let outcome = if first { FIRST[self.nth % FIRST.len()] } else { "approve" };
        let (outcome, goes) = outcome.split_once(' ').map_or((outcome, false), |(outcome, _)| (outcome, true));
        let page = opened["payment"]["checkout_url"].as_str().unwrap();
        let (status, chosen) = self.ask(line, Method::POST, page, Some(json!({ "outcome": outcome }))).await?;
        assert!(matches!(status, 200 | 409), "{page}: {status} {chosen}");
        if goes {
            // The money comes by itself.
            tokio::time::sleep(PAUSE).await;
            return Ok(());
        }
        let confirm = format!("/api/v1/payments/{id}/confirm");
        let (status, answer) = self.ask(line, Method::POST, &confirm, Some(json!({}))).await?;
        assert!(matches!(status, 200 | 409), "{confirm}: {status} {answer}");
        Ok(())
    }

    async fn confirmed(&self, line: &Line, path: &str, now: &Value) -> Result<(), Gone> {
        let bib = now["bib"].as_i64().expect("confirmed without a bib");
        let before = self.remember(|memory| *memory.bib.get_or_insert(bib));
        assert_eq!(before, bib, "{path} was told two bibs");
        let ending = self.ending();
        self.remember(|memory| memory.asked_to_end = ending != Ending::Stays);
        match ending {
            Ending::Stays => self.remember(|memory| memory.over = true),
            Ending::Leaves => drop(self.must(line, Method::DELETE, path, None).await?),
            Ending::IsWithdrawn => {
                let (path, body) = (format!("{path}/cancellation"), json!({ "reason": "기록 위조" }));
                let (status, answer) = line.ask(&line.admin, Method::POST, &path, Some(&body)).await?;
                assert!(matches!(status, 200 | 429 | 503), "{path}: {status} {answer}");
            }
        }
        Ok(())
    }

    async fn must(&self, line: &Line, method: Method, path: &str, body: Option<Value>) -> Result<Value, Gone> {
        let (status, answer) = self.ask(line, method.clone(), path, body).await?;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        Ok(answer)
    }

    /// Asks until the yard is not too busy.
    async fn ask(&self, line: &Line, method: Method, path: &str, body: Option<Value>) -> Result<(u16, Value), Gone> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, answer) = line.ask(&self.token, method.clone(), path, body.as_ref()).await?;
            if !matches!(status, 429 | 503) {
                return Ok((status, answer));
            }
            assert!(Instant::now() < deadline, "{method} {path}: {status} {answer} all the time");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Line {
    async fn ask(&self, token: &str, method: Method, path: &str, body: Option<&Value>) -> Result<(u16, Value), Gone> {
        let request = self.client.request(method, self.yard.join(path).unwrap()).bearer_auth(token);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request.send().await.map_err(|_| Gone)?;
        let status = answer.status().as_u16();
        let body = answer.json().await.map_err(|_| Gone)?;
        self.answers.count.fetch_add(1, Ordering::Relaxed);
        self.answers.more.notify_one();
        Ok((status, body))
    }
}

/// Waits until everybody has come to his end.
pub async fn until_over(runners: &Runners) {
    until_so("everybody has come to his end", PATIENCE, async || runners.all_over()).await;
}
