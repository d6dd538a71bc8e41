//! Distinct people with tokens who want a place, what each of them was told, and whether that still stands.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orderlog::check::Report;
use serde::Deserialize;
use serde_json::json;
use server::load::{self, Answer, Options, Request, Retry};
use server::rehearse;
use server::verify::Place;
use tokio::sync::Notify;
use uuid::Uuid;

use super::process::Serving;

/// What somebody was told for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Placed { claim: Uuid, seq: u64, index: u64 },
    Refused { seq: u64, index: u64 },
}

impl Told {
    fn number(self) -> (u64, u64) {
        match self {
            Told::Placed { seq, index, .. } | Told::Refused { seq, index } => (seq, index),
        }
    }
}

/// What somebody heard.
#[derive(Clone, Copy, Debug)]
pub enum Heard {
    Told(Told),
    /// 503 with a code, and when to come back.
    Away,
}

/// Who was answered in a burst, in the order of the answers.
pub type Answers = Vec<(usize, Heard)>;

/// How many heard that they should come back.
pub fn away(answers: &Answers) -> usize {
    answers.iter().filter(|(_, heard)| matches!(heard, Heard::Away)).count()
}

/// People of a rehearsal, and the memory of all they heard.
#[derive(Clone)]
pub struct Crowd {
    race: Uuid,
    /// How many logs the offer has.
    logs: usize,
    capacity: u32,
    tokens: Vec<String>,
    told: Vec<Option<Told>>,
}

/// A hold must not end within a test.
const TTL_S: u32 = 3_600;
const CONNECTIONS: usize = 32;
/// Longer than the edge lets a handler take.
const TRY_MAX: Duration = Duration::from_secs(45);
const PATIENCE: Duration = Duration::from_secs(120);

impl Crowd {
    /// Lets the yard make a race of so many places, and the people who want them.
    pub async fn gather(yard: &Serving, admin: &str, people: u32, capacity: u32) -> Crowd {
        let wish = rehearse::Wish { people, capacity, ttl_s: TTL_S, ..Default::default() };
        let made = rehearse::Crowd::gather(&yard.url("/"), admin, &wish).await.unwrap();
        let tokens: Vec<String> = made.tokens().map(str::to_owned).collect();
        Crowd { race: made.race_id, logs: 1, capacity, told: vec![None; tokens.len()], tokens }
    }

    /// From here on the offer has a further log: the yard was restored.
    pub fn continued(&mut self) {
        self.logs += 1;
    }

    pub fn race(&self) -> Uuid {
        self.race
    }

    pub fn token(&self, person: usize) -> &str {
        &self.tokens[person]
    }

    /// People who have a place.
    pub fn placed(&self) -> u64 {
        let placed = |told: &&Option<Told>| matches!(told, Some(Told::Placed { .. }));
        self.told.iter().filter(placed).count() as u64
    }

    /// All of `people` click at once, each of them once; ends when everybody was answered or lost his connection.
    pub fn burst(&self, yard: &Serving, people: Range<usize>) -> Burst {
        self.clicks(yard, people, None)
    }

    /// All of `people` click until each has his last word, and it is what he was told before.
    pub async fn ask(&mut self, yard: &Serving, people: Range<usize>) {
        let expected = people.len();
        let retry = Retry { patience: PATIENCE };
        let answers = self.clicks(yard, people, Some(retry)).end().await;
        assert_eq!(answers.len(), expected, "people without an answer");
        assert_eq!(away(&answers), 0, "people who still hear that nobody is there");
        self.remember(answers);
    }

    /// Whoever was told something is never told anything else.
    pub fn remember(&mut self, answers: Answers) {
        for (person, heard) in answers {
            let Heard::Told(told) = heard else { continue };
            let before = *self.told[person].get_or_insert(told);
            assert_eq!(told, before, "person {person} was told two things");
        }
    }

    fn clicks(&self, yard: &Serving, people: Range<usize>, retry: Option<Retry>) -> Burst {
        let (address, first) = (yard.address(), people.start);
        let path = format!("/api/v1/races/{}/registrations", self.race);
        let click = |token: &String| Request::post(&address.to_string(), &path, Some(token), &json!({})).unwrap();
        let requests: Arc<[Request]> = self.tokens[people].iter().map(click).collect();
        let heard = Arc::new(Collected::default());
        let options = Options { connections: CONNECTIONS, timeout: TRY_MAX, retry };
        let task = tokio::spawn({
            let heard = heard.clone();
            async move {
                let note = move |answer: Answer<'_>| heard.note(first + answer.index, &answer);
                load::closed_loop(address, &options, requests, note).await;
            }
        });
        Burst { heard, task }
    }

    /// Asks everybody again and holds what they were told against the offer and its public log.
    pub async fn settle(&mut self, yard: &Serving) -> Report {
        self.ask(yard, 0..self.tokens.len()).await;
        let told: Vec<Told> = self.told.iter().map(|told| told.expect("everybody was answered")).collect();
        let numbers: BTreeSet<u64> = told.iter().map(|told| told.number().0).collect();
        let people = self.tokens.len() as u64;
        assert_eq!(numbers, (1..=people).collect(), "each person has one number");
        let indices: BTreeSet<u64> = told.iter().map(|told| told.number().1).collect();
        assert_eq!(indices.len(), told.len(), "each person has a leaf of his own");
        let report = self.check(yard).await;
        let places = people.min(u64::from(self.capacity));
        assert_eq!((self.placed(), report.open.held), (places, places));
        assert_eq!((report.claims, report.counts.refused), (people, people - places));
        report
    }

    /// The public log is true, and the offer's numbers are its numbers; nobody clicks meanwhile.
    pub async fn check(&self, yard: &Serving) -> Report {
        let report = self.verify(yard).await;
        let offer = yard.read(&format!("/api/v1/races/{}/offer", self.race)).await;
        let pool = &offer["pools"][0];
        assert_eq!(pool["taken"].as_u64(), Some(report.open.held), "{offer}");
        assert_eq!(pool["remaining"].as_u64(), Some(u64::from(self.capacity) - report.open.held), "{offer}");
        assert_eq!(offer["size"].as_u64(), report.logs.last().map(|log| log.size), "{offer}");
        assert_eq!(offer["log_no"].as_u64(), Some(self.logs as u64), "{offer}");
        assert!(self.placed() <= report.open.held, "somebody lost his place");
        report
    }

    /// Recomputes the sale from its log as a stranger would.
    pub async fn verify(&self, yard: &Serving) -> Report {
        self.verify_with(yard, Vec::new(), None).await
    }

    /// The same with receipts, and keeps what was read.
    pub async fn verify_with(&self, yard: &Serving, receipts: Vec<String>, save: Option<PathBuf>) -> Report {
        let place = Place::parse(yard.url(&format!("/api/v1/races/{}", self.race)).as_str()).unwrap();
        let report = place.verify(receipts, save).await.unwrap();
        assert!(report.verified, "{:#?}", report.violations);
        assert_eq!(report.logs.len(), self.logs, "how many logs");
        report
    }
}

/// A burst under way.
pub struct Burst {
    heard: Arc<Collected>,
    task: tokio::task::JoinHandle<()>,
}

impl Burst {
    /// Waits until so many were answered, or nobody will be any more.
    pub async fn answered(&mut self, count: usize) {
        let enough = async {
            loop {
                let more = self.heard.more.notified();
                if self.heard.answers.lock().unwrap().len() >= count {
                    return;
                }
                more.await;
            }
        };
        tokio::select! {
            () = enough => {}
            ended = &mut self.task => {
                ended.unwrap();
                self.task = tokio::spawn(async {});
            }
        }
    }

    /// Who was answered so far.
    pub fn so_far(&self) -> Answers {
        self.heard.answers.lock().unwrap().clone()
    }

    /// Waits for its end.
    pub async fn end(self) -> Answers {
        self.task.await.unwrap();
        std::mem::take(&mut *self.heard.answers.lock().unwrap())
    }
}

#[derive(Default)]
struct Collected {
    answers: Mutex<Answers>,
    more: Notify,
}

/// What we read of an answer's body.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    id: Option<Uuid>,
    code: Option<String>,
    sequence: Option<u64>,
    log_index: Option<u64>,
    retry_after_ms: Option<u64>,
}

impl Collected {
    fn note(&self, person: usize, answer: &Answer<'_>) {
        let heard = hear(answer)
            .unwrap_or_else(|| panic!("nobody should hear {} {}", answer.status, String::from_utf8_lossy(answer.body)));
        self.answers.lock().unwrap().push((person, heard));
        self.more.notify_one();
    }
}

fn hear(answer: &Answer<'_>) -> Option<Heard> {
    let body: Body = serde_json::from_slice(answer.body).ok()?;
    match (answer.status, body.code.as_deref()) {
        (200 | 201, None) => {
            let (claim, seq, index) = (body.id?, body.sequence?, body.log_index?);
            Some(Heard::Told(Told::Placed { claim, seq, index }))
        }
        (409, Some("admission/sold-out")) => {
            let (seq, index) = (body.sequence?, body.log_index?);
            Some(Heard::Told(Told::Refused { seq, index }))
        }
        (503, Some(_)) if body.retry_after_ms.is_some() => Some(Heard::Away),
        _ => None,
    }
}
