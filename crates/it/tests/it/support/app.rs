//! A whole yard in this process, without sockets, asked as a client would ask it.
//!
//! Every answer is held to what all answers share: a request id, a problem where it failed, no 5xx other than a 503
//! that says when to come back, nothing that the OpenAPI document does not say. A yard that ends with events nobody
//! took or with jobs that failed fails its test.

use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, header};
use http_body_util::BodyExt;
use kernel::{Role, SessionId, UserId};
use platform::config::Sources;
use platform::db::{Query, args};
use platform::keys::{KeyStore, Keys};
use platform::token::{Claims, TokenKey};
use serde_json::{Value, json};
use server::{Config, Yard};
use tempfile::TempDir;
use tower::ServiceExt;
use uuid::Uuid;

use super::contract::Contract;
use super::site::{Site, databases};
use super::wait::until_so;

/// What everybody in these tests signs in with.
pub const PASSWORD: &str = "rain on Tuesday";
const SHOWN_CHARS_MAX: usize = 2_000;
const SECRET: &str = "a secret of the tests' own, long enough";

/// A running yard.
pub struct App {
    pub yard: Yard,
    /// The key its access tokens are signed with: to forge what a thief would.
    pub token_key: TokenKey,
    contract: Contract,
    _dir: Option<TempDir>,
}

/// Runs the test against a fresh yard on each database.
pub async fn yards(test: impl AsyncFn(&App)) {
    yards_with(&[], test).await;
}

/// The same with settings of its own, by the names of the environment.
pub async fn yards_with(settings: &[(&str, &str)], test: impl AsyncFn(&App)) {
    databases(async |site| {
        let app = App::open(site, settings).await;
        Box::pin(test(&app)).await;
        app.end().await;
    })
    .await;
}

impl App {
    pub async fn open(site: &Site, settings: &[(&str, &str)]) -> App {
        let own_dir = site.dir.is_none().then(|| TempDir::new().unwrap());
        let dir = own_dir.as_ref().or(site.dir.as_ref()).unwrap().path().to_owned();
        let mut env = vec![("MADANG__TELEMETRY__LOG_LEVEL".to_owned(), "error".to_owned())];
        if own_dir.is_some() {
            env.push(("MADANG__DB__URL".to_owned(), site.url().to_owned()));
            env.push(("MADANG__SECRET".to_owned(), SECRET.to_owned()));
        }
        env.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let config = Config::load(&Sources::default().env(env)).unwrap().settings;
        let yard = Yard::start(&dir, config, None).await.unwrap();
        let keys = match own_dir {
            None => Keys::open(KeyStore::Files(&dir), "").await.unwrap(),
            Some(_) => {
                let db = site.open("yard").await;
                Keys::open(KeyStore::Rows { db: &db, secret: Some(SECRET) }, "").await.unwrap()
            }
        };
        let contract = Contract::read(yard.openapi());
        App { yard, token_key: TokenKey::from_seed(keys.token), contract, _dir: own_dir }
    }

    /// Every event was taken and every job went through.
    pub async fn end(&self) {
        self.settled().await;
        for db in self.yard.databases() {
            let parked = db.all::<(String, String)>("SELECT consumer, reason FROM parked", args![]).await.unwrap();
            assert!(parked.is_empty(), "{} parked events: {parked:?}", db.name());
            let failed = "SELECT name, last_error FROM job WHERE last_error IS NOT NULL";
            let failed = db.all::<(String, String)>(failed, args![]).await.unwrap();
            assert!(failed.is_empty(), "{} failed jobs: {failed:?}", db.name());
        }
        self.yard.stop().await;
    }

    /// Waits until every event that was published was also taken.
    pub async fn settled(&self) {
        until_so("every event is taken", Duration::from_secs(20), async || self.yard.settled().await.unwrap()).await;
    }

    pub fn get(&self, path: impl Into<String>) -> Ask<'_> {
        self.ask(Method::GET, path)
    }

    pub fn post(&self, path: impl Into<String>, body: Value) -> Ask<'_> {
        self.ask(Method::POST, path).json(&body)
    }

    pub fn put(&self, path: impl Into<String>, body: Value) -> Ask<'_> {
        self.ask(Method::PUT, path).json(&body)
    }

    pub fn patch(&self, path: impl Into<String>, body: Value) -> Ask<'_> {
        self.ask(Method::PATCH, path).json(&body)
    }

    pub fn delete(&self, path: impl Into<String>) -> Ask<'_> {
        self.ask(Method::DELETE, path)
    }

    pub fn ask(&self, method: Method, path: impl Into<String>) -> Ask<'_> {
        Ask { app: self, method, path: path.into(), headers: Vec::new(), body: Bytes::new(), from: None }
    }
}

/// Somebody with an account, signed in.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: String,
    pub username: String,
    pub access: String,
    pub refresh: String,
}

impl App {
    /// Signs somebody up; the answer is the new profile.
    pub async fn sign_up(&self, username: &str) -> Answer {
        let body = json!({
            "username": username, "password": PASSWORD, "name": "김하늘", "nickname": username,
            "email": format!("{username}@example.com"),
        });
        self.post("/api/v1/users", body).await
    }

    pub async fn login(&self, username: &str, password: &str) -> Answer {
        self.post("/api/v1/auth/login", json!({ "username": username, "password": password })).await
    }

    /// Signs an account in.
    pub async fn signed_in(&self, username: &str) -> Person {
        let tokens = self.login(username, PASSWORD).await.must(200);
        let (access, refresh) = (tokens.text("access_token"), tokens.text("refresh_token"));
        let me = self.get("/api/v1/users/me").bearer(&access).await.must(200);
        Person { id: me.text("id"), username: username.to_owned(), access, refresh }
    }

    pub async fn member(&self) -> Person {
        let username = fresh_name("m");
        self.sign_up(&username).await.must(201);
        self.signed_in(&username).await
    }

    /// An admin, made as the command line makes him.
    pub async fn admin(&self) -> Person {
        let username = fresh_name("a");
        let body = json!({ "username": username, "password": PASSWORD });
        let request = Request::post("/identity/admin").header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(body.to_string())).unwrap();
        let response = self.yard.commands().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 201);
        self.signed_in(&username).await
    }

    /// Somebody to whom this admin gave a role.
    pub async fn in_role(&self, admin: &Person, role: &str) -> Person {
        let person = self.member().await;
        let path = format!("/api/v1/users/{}/role", person.id);
        self.put(path, json!({ "role": role })).by(admin).await.must(200);
        self.refreshed(&person).await
    }

    /// An organiser, and the admin who made him one.
    pub async fn organiser(&self) -> (Person, Person) {
        let admin = self.admin().await;
        let organiser = self.in_role(&admin, "company").await;
        (organiser, admin)
    }

    /// People with a token each and no account: a claim looks at the token alone.
    pub fn crowd(&self, count: usize) -> Vec<Person> {
        let member = || {
            let claims = self.claims(Role::Member);
            let (id, username) = (claims.sub.to_string(), claims.name.clone());
            Person { id, username, access: self.token_key.sign(&claims), refresh: String::new() }
        };
        std::iter::repeat_with(member).take(count).collect()
    }

    /// What a token of somebody new says, good for a minute from now.
    pub fn claims(&self, role: Role) -> Claims {
        let iat_ms = self.yard.clock().now_ms();
        let exp = iat_ms / 1_000 + 60;
        Claims { sub: UserId::fresh(), name: fresh_name("c"), role, sid: SessionId::fresh(), iat_ms, exp, reh: None }
    }

    /// The person with his next pair of tokens.
    pub async fn refreshed(&self, person: &Person) -> Person {
        let body = json!({ "refresh_token": person.refresh });
        let tokens = self.post("/api/v1/auth/refresh", body).await.must(200);
        Person { access: tokens.text("access_token"), refresh: tokens.text("refresh_token"), ..person.clone() }
    }
}

/// A username that nobody has yet.
pub fn fresh_name(letter: &str) -> String {
    let id = Uuid::new_v4().simple().to_string();
    format!("{letter}{}", &id[..15])
}

/// A request about to be sent; `await` sends it.
#[must_use]
pub struct Ask<'a> {
    app: &'a App,
    method: Method,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
    from: Option<std::net::SocketAddr>,
}

impl Ask<'_> {
    pub fn by(self, person: &Person) -> Self {
        self.bearer(&person.access)
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Comes from this address instead of from inside the process.
    pub fn from(mut self, address: &str) -> Self {
        self.from = Some(std::net::SocketAddr::new(address.parse().unwrap(), 40_000));
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.bytes(body.to_string()).header("content-type", "application/json")
    }

    pub fn bytes(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    async fn send(self) -> Answer {
        let told = format!("{} {}", self.method, self.path);
        let method = self.method.to_string();
        let mut request = Request::builder().method(self.method).uri(&self.path);
        for (name, value) in &self.headers {
            request = request.header(name.as_str(), value.as_slice());
        }
        let request = request.body(Body::from(self.body)).unwrap();
        let router = match self.from {
            None => self.app.yard.router(),
            Some(peer) => self.app.yard.router_for(peer),
        };
        let response = router.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let kind = parts.headers.get("content-type");
        // A stream never ends: its begin is enough here.
        let bytes = if kind.is_some_and(|kind| kind == "text/event-stream") {
            Bytes::new()
        } else {
            body.collect().await.unwrap().to_bytes()
        };
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let answer = Answer { told, status: parts.status.as_u16(), headers: parts.headers, bytes, body };
        answer.check_what_all_share();
        let kind = answer.header("content-type");
        if let Err(lie) = self.app.contract.check(&method, &self.path, answer.status, kind, &answer.body) {
            panic!("{}: {lie}: {}", answer.told, answer.show());
        }
        answer
    }
}

impl<'a> IntoFuture for Ask<'a> {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Method and path, for messages.
    told: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Bytes,
    /// Null where the body is no JSON.
    pub body: Value,
}

impl Answer {
    /// What it must be to go on.
    #[track_caller]
    pub fn must(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.told, self.show());
        self
    }

    /// It must have failed in just this way.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{}: {}", self.told, self.show());
        self
    }

    /// It must name this field among the wrong ones.
    #[track_caller]
    pub fn wrong_field(self, field: &str) -> Self {
        let answer = self.problem(422, "http/invalid");
        let named =
            answer.body["errors"].as_array().is_some_and(|errors| errors.iter().any(|error| error["field"] == field));
        assert!(named, "{}: no {field:?} in {}", answer.told, answer.show());
        answer
    }

    /// The code of a problem; empty for a success.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    #[track_caller]
    pub fn text(&self, field: &str) -> String {
        let value = self.body[field].as_str();
        value.unwrap_or_else(|| panic!("{}: no text {field} in {}", self.told, self.show())).to_owned()
    }

    #[track_caller]
    pub fn number(&self, field: &str) -> i64 {
        let value = self.body[field].as_i64();
        value.unwrap_or_else(|| panic!("{}: no number {field} in {}", self.told, self.show()))
    }

    /// A page's items.
    #[track_caller]
    pub fn items(&self) -> &[Value] {
        self.body["items"].as_array().unwrap_or_else(|| panic!("{}: no items in {}", self.told, self.show()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status and body, for messages.
    pub fn show(&self) -> String {
        let text: String = String::from_utf8_lossy(&self.bytes).chars().take(SHOWN_CHARS_MAX).collect();
        format!("{} {text}", self.status)
    }

    fn check_what_all_share(&self) {
        let show = || format!("{}: {} {:?}", self.told, self.show(), self.headers);
        assert!(self.header("x-request-id").len() >= 8, "no request id: {}", show());
        assert_eq!(self.header("x-content-type-options"), "nosniff", "{}", show());
        assert!(self.status < 500 || self.status == 503, "a client made a {}", show());
        if self.status < 400 {
            return;
        }
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", show());
        assert_eq!(self.header("cache-control"), "no-store", "{}", show());
        assert_eq!(self.body["status"], self.status, "{}", show());
        assert_eq!(self.body["type"], format!("urn:madang:problem:{}", self.code()), "{}", show());
        assert_eq!(self.body["request_id"], self.header("x-request-id"), "{}", show());
        assert!(self.code().contains('/') && self.body["title"].is_string(), "{}", show());
        if matches!(self.status, 429 | 503) {
            let after_s: u64 = self.header("retry-after").parse().unwrap_or_default();
            assert!(after_s >= 1 && self.body["retry_after_ms"].is_u64(), "when to come back? {}", show());
        }
    }
}
