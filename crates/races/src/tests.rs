//! Races by their own routes, on every database there is. Identity is a stand-in that knows whom a test names,
//! payments one that keeps its books in memory.

mod claims;
mod edits;
mod hand;
mod lists;
mod messages;
mod money;
mod rehearsals;
mod sagas;
mod terms;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::middleware::from_fn;
use http_body_util::BodyExt;
use kernel::contracts::Event;
use kernel::contracts::identity::{
    Eligibility, EligibilityFacts, FindUser, MintPeople, MintedToken, MintedTokens, UserSaved,
};
use kernel::{RaceId, Role, SessionId, UserId, UtcTime};
use orderlog::LogKey;
use platform::admission::OfferKeys;
use platform::db::{Clock, Db, DbOptions, Query, args, open};
use platform::events::{ConsumeError, Consumer, Envelope};
use platform::http::Caller;
use platform::http::auth::Identity;
use platform::jobs::Job;
use platform::peers::{Peers, answers};
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use crate::{Config, Deps, Races, TicketKey, assemble};
use money::Money;

/// A yard with nothing but races.
pub struct Yard {
    api: Router,
    commands: Router,
    jobs: Vec<Job>,
    consumers: Vec<Consumer>,
    races: Races,
    pub db: Db,
    pub clock: Clock,
    pub people: People,
    pub money: Money,
    _dir: tempfile::TempDir,
}

/// What the stand-in for identity knows.
#[derive(Clone, Default)]
pub struct People {
    pub profiles: Arc<Mutex<HashMap<String, UserSaved>>>,
    pub facts: Arc<Mutex<HashMap<UserId, Eligibility>>>,
    minted: Arc<Mutex<Vec<MintPeople>>>,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    pub body: Value,
}

impl Answer {
    /// The problem's code; empty for a success.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub fn str(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.body)).to_owned()
    }

    /// The wrong fields it names.
    pub fn fields(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().filter_map(|error| error["field"].as_str()).collect()
    }

    /// What it must be to go on.
    pub fn must(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    pub fn fails(self, status: u16, code: &str) -> Self {
        let answer = self.must(status);
        assert_eq!(answer.code(), code, "{}", answer.text);
        answer
    }
}

/// Somebody who is signed in.
#[derive(Clone)]
pub struct Person(Arc<Caller>);

impl Person {
    pub fn new(role: Role) -> Self {
        let user = UserId::fresh();
        let username = format!("u{}", &user.0.simple().to_string()[20..]);
        let caller = Caller { user, username: username.into(), role, session: SessionId::fresh(), rehearsal: None };
        Self(Arc::new(caller))
    }

    pub fn member() -> Self {
        Self::new(Role::Member)
    }

    pub fn organiser() -> Self {
        Self::new(Role::Company)
    }

    /// One of a rehearsal's marked people.
    pub fn rehearsing(race: &str) -> Self {
        let race = RaceId(race.parse().expect("an id"));
        let caller = Caller { rehearsal: Some(race), ..(*Self::member().0).clone() };
        Self(Arc::new(caller))
    }

    pub fn user(&self) -> UserId {
        self.0.user
    }

    pub fn username(&self) -> &str {
        &self.0.username
    }
}

impl Yard {
    /// One yard per database: SQLite always, PostgreSQL where a test server is named.
    pub async fn all() -> Vec<Yard> {
        Self::all_with(Config::default()).await
    }

    pub async fn all_with(config: Config) -> Vec<Yard> {
        let mut yards = vec![Self::open(None, config.clone()).await];
        if let Ok(url) = std::env::var("MADANG_TEST_POSTGRES_URL") {
            yards.push(Self::open(Some(url), config).await);
        }
        yards
    }

    async fn open(postgres: Option<String>, config: Config) -> Yard {
        let dir = tempfile::tempdir().expect("a directory");
        let options = match postgres {
            Some(url) => DbOptions::Postgres { url },
            None => DbOptions::Sqlite { dir: dir.path().to_owned() },
        };
        let clock = Clock::default();
        // A schema of its own, since tests run side by side.
        let name: &'static str = format!("races_{}", Uuid::new_v4().simple()).leak();
        let db = open(name, &options, &clock).await.expect("the database opens");
        let offer_keys =
            OfferKeys { log: LogKey::from_seed(&[7; 32]), person_secret: [9; 32], yard: "test.yard".to_owned() };
        let people = People::default();
        let peers = Peers::default();
        let money = Money::new(peers.clone());
        let deps = Deps {
            db: db.clone(),
            clock: clock.clone(),
            peers: peers.clone(),
            offer_keys: Arc::new(offer_keys),
            ticket_key: TicketKey::from_seed(&[3; 32]),
            config,
        };
        let (races, service) = assemble(deps).await.expect("the tables are made");
        peers.connect(people.answers().merge(money.answers()).merge(service.internal));
        let (api, _document) = service.api.split_for_parts();
        Yard {
            api: api.layer(from_fn(platform::http::edge)),
            commands: service.commands.layer(from_fn(platform::http::edge)),
            jobs: service.jobs,
            consumers: service.consumers,
            races,
            db,
            clock,
            people,
            money,
            _dir: dir,
        }
    }

    pub async fn send(&self, who: Option<&Person>, request: Request<Body>) -> Answer {
        send(&self.api, who, request).await
    }

    pub async fn call(&self, who: Option<&Person>, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.send(who, request(method, path, body, &[])).await
    }

    pub async fn get(&self, who: &Person, path: &str) -> Answer {
        self.call(Some(who), Method::GET, path, None).await
    }

    pub async fn look(&self, path: &str) -> Answer {
        self.call(None, Method::GET, path, None).await
    }

    pub async fn post(&self, who: &Person, path: &str, body: Value) -> Answer {
        self.call(Some(who), Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, who: &Person, path: &str, body: Value) -> Answer {
        self.call(Some(who), Method::PUT, path, Some(body)).await
    }

    pub async fn patch(&self, who: &Person, path: &str, body: Value) -> Answer {
        self.call(Some(who), Method::PATCH, path, Some(body)).await
    }

    pub async fn delete(&self, who: &Person, path: &str) -> Answer {
        self.call(Some(who), Method::DELETE, path, None).await
    }

    pub async fn command(&self, method: Method, path: &str, body: Value) -> Answer {
        send(&self.commands, None, request(method, path, Some(body), &[])).await
    }

    /// Makes a race out of [`Yard::wish`] with some fields changed; null takes one away. Answers its id.
    pub async fn race(&self, organiser: &Person, changes: Value) -> String {
        self.post(organiser, "/api/v1/races", self.wish(changes)).await.must(201).str("id")
    }

    /// A race of two places that opened an hour ago.
    pub fn wish(&self, changes: Value) -> Value {
        let mut wish = json!({
            "title": "한강 마라톤", "reception": "first_come", "place": "서울 여의도", "type": "km10", "capacity": 2,
            "fee_won": 30_000, "opens_at": self.in_s(-3_600), "closes_at": self.in_s(86_400), "race_at": self.in_s(864_000),
        });
        for (field, value) in changes.as_object().expect("an object") {
            if value.is_null() {
                wish.as_object_mut().expect("an object").remove(field);
            } else {
                wish[field] = value.clone();
            }
        }
        wish
    }

    /// A moment so many seconds from now, as the API writes it.
    pub fn in_s(&self, seconds: i64) -> String {
        UtcTime(self.clock.now_ms() + seconds * 1_000).to_string()
    }

    pub async fn claim(&self, who: &Person, race: &str) -> Answer {
        self.post(who, &registrations(race), json!({})).await
    }

    /// Makes identity know somebody, and races hear of it.
    pub async fn known(&self, person: &Person, name: &str, version: i64) {
        let saved = UserSaved {
            user_id: person.user(),
            username: person.username().to_owned(),
            name: name.to_owned(),
            nickname: format!("n-{}", person.username()),
            version,
            language: None,
            email: None,
            role: None,
        };
        self.people.profiles.lock().expect("a lock").insert(saved.username.clone(), saved.clone());
        self.tell(0, &saved).await;
    }

    /// Hands an event to one of the context's consumers.
    pub async fn tell<E: Event>(&self, consumer: usize, event: &E) {
        let event = Envelope {
            event_id: Uuid::now_v7(),
            kind: E::KIND.to_owned(),
            version: E::VERSION,
            key: event.key(),
            actor: None,
            created_ms: self.clock.now_ms(),
            payload: json!(event),
        };
        let consumer = self.consumers[consumer].clone();
        let applied = self.db.write(move |tx| Box::pin(async move { (consumer.apply)(tx, &event).await }));
        Result::<(), ConsumeError>::expect(applied.await, "the event is taken");
    }

    pub async fn run_jobs(&self) {
        for job in &self.jobs {
            (job.work)().await.expect("the job does its work");
        }
    }

    pub async fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        self.db.one::<(i64,)>(&sql, args![]).await.expect("the table is there").expect("a row").0
    }

    /// The changes that `race.changed` told of, in order.
    pub async fn told(&self) -> Vec<String> {
        let sql = "SELECT payload FROM outbox WHERE kind = 'race.changed' ORDER BY id";
        let rows = self.db.all::<(String,)>(sql, args![]).await.expect("the outbox is there");
        let change = |text: &String| serde_json::from_str::<Value>(text).expect("JSON")["change"].clone();
        rows.iter().map(|row| change(&row.0).as_str().expect("a text").to_owned()).collect()
    }

    /// The leaves of a race's order log without their times.
    pub async fn leaves(&self, race: &str) -> Vec<String> {
        let log = self.look(&format!("{}/log?limit=1000", offer(race))).await.must(200);
        let items = log.body["items"].as_array().expect("items").clone();
        items.iter().map(|item| item["event"].as_str().expect("an event").to_owned()).collect()
    }
}

impl People {
    fn answers(&self) -> Router {
        let router = answers::<FindUser, _, _, _>(Router::new(), |people: People, asked: FindUser| async move {
            Ok(people.profiles.lock().expect("a lock").get(&asked.username).cloned())
        });
        let router =
            answers::<EligibilityFacts, _, _, _>(router, |people: People, asked: EligibilityFacts| async move {
                Ok(people.facts.lock().expect("a lock").get(&asked.user_id).cloned())
            });
        let router = answers::<MintPeople, _, _, _>(router, |people: People, asked: MintPeople| async move {
            people.minted.lock().expect("a lock").push(asked);
            Ok(())
        });
        let router = answers::<MintedTokens, _, _, _>(router, |people: People, asked: MintedTokens| async move {
            let minted = people.minted.lock().expect("a lock");
            let count = minted.iter().filter(|one| one.rehearsal_id == asked.rehearsal_id).map(|one| one.people).max();
            let from = asked.after.map_or(1, |user| user.0.as_u128() + 1);
            let last = u128::from(count.unwrap_or(0)).min(from + u128::from(asked.limit) - 1);
            let token = |n| MintedToken { user_id: UserId(Uuid::from_u128(n)), token: format!("token-{n}") };
            Ok((from..=last).map(token).collect::<Vec<_>>())
        });
        router.with_state(self.clone())
    }

    pub fn minted(&self) -> usize {
        self.minted.lock().expect("a lock").len()
    }
}

pub fn race(id: &str) -> String {
    format!("/api/v1/races/{id}")
}

pub fn offer(id: &str) -> String {
    format!("/api/v1/races/{id}/offer")
}

pub fn registrations(id: &str) -> String {
    format!("/api/v1/races/{id}/registrations")
}

pub fn registration(id: &str) -> String {
    format!("/api/v1/registrations/{id}")
}

pub fn request(method: Method, path: &str, body: Option<Value>, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header(header::ACCEPT_LANGUAGE, "en");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = match body {
        Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string())),
        None => request.body(Body::empty()),
    };
    request.expect("a request")
}

async fn send(app: &Router, who: Option<&Person>, mut request: Request<Body>) -> Answer {
    let identity = who.map_or(Identity::Anonymous, |person| Identity::Known(person.0.clone()));
    request.extensions_mut().insert(identity);
    let response = app.clone().oneshot(request).await.expect("infallible");
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::Null), text }
}
