//! Identity by its own routes, on every database there is. A stand-in for the gateway checks the tokens.

mod accounts;
mod applications;
mod people;
mod powers;
mod sessions;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use http_body_util::BodyExt;
use platform::db::{Clock, Db, DbOptions, Query, open};
use platform::http::auth::Identity;
use platform::http::codes;
use platform::jobs::Job;
use platform::peers::Peers;
use platform::revocation::Revocations;
use platform::token::{TokenError, TokenKey, TokenVerifier};
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use crate::{Config, Deps, service};

pub const PASSWORD: &str = "rain on Tuesday";

/// A yard with nothing but identity.
pub struct Yard {
    api: Router,
    commands: Router,
    jobs: Vec<Job>,
    pub db: Db,
    pub peers: Peers,
    pub gate: Gate,
    _dir: tempfile::TempDir,
}

#[derive(Clone)]
pub struct Gate {
    pub verifier: TokenVerifier,
    pub revocations: Revocations,
    pub clock: Clock,
}

pub struct Answer {
    pub status: StatusCode,
    pub retry_after: Option<String>,
    pub body: Value,
}

impl Answer {
    /// The problem's code; empty for a success.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub fn text(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.body)).to_owned()
    }

    /// What it must be to go on.
    pub fn must(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }
}

/// A sign-in.
pub struct Tokens {
    pub access: String,
    pub refresh: String,
}

impl Yard {
    /// One yard per database: SQLite always, PostgreSQL where a test server is named.
    pub async fn all() -> Vec<Yard> {
        Self::all_with(Config::default()).await
    }

    pub async fn all_with(config: Config) -> Vec<Yard> {
        let mut yards = vec![Self::open(None, config).await];
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
        let name: &'static str = format!("identity_{}", Uuid::new_v4().simple()).leak();
        let db = open(name, &options, &clock).await.expect("the database opens");
        let token_key = Arc::new(TokenKey::from_seed([7; 32]));
        let revocations = Revocations::default();
        let gate = Gate {
            verifier: TokenVerifier::new(token_key.public()),
            revocations: revocations.clone(),
            clock: clock.clone(),
        };
        let deps = Deps { db: db.clone(), clock, token_key, further_keys: Vec::new(), revocations, config };
        let service = service(deps).await.expect("the tables are made");
        let (api, _document) = service.api.split_for_parts();
        let peers = Peers::default();
        peers.connect(service.internal);
        let api = api.layer(from_fn_with_state(gate.clone(), identify)).layer(from_fn(platform::http::edge));
        let commands = service.commands.layer(from_fn(platform::http::edge));
        Yard { api, commands, jobs: service.jobs, db, peers, gate, _dir: dir }
    }

    pub async fn send(&self, request: Request) -> Answer {
        read(self.api.clone().oneshot(request).await.expect("infallible")).await
    }

    pub async fn call(&self, method: Method, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        self.send(request(method, path, token, body, &[])).await
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.call(Method::GET, path, Some(token), None).await
    }

    pub async fn post(&self, path: &str, token: Option<&str>, body: Value) -> Answer {
        self.call(Method::POST, path, token, Some(body)).await
    }

    pub async fn put(&self, path: &str, token: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, Some(token), Some(body)).await
    }

    pub async fn delete(&self, path: &str, token: &str) -> Answer {
        self.call(Method::DELETE, path, Some(token), None).await
    }

    pub async fn sign_up(&self, username: &str) -> Answer {
        self.post("/api/v1/users", None, new_user(username)).await
    }

    pub async fn try_login(&self, username: &str, password: &str) -> Answer {
        self.post("/api/v1/auth/login", None, json!({ "username": username, "password": password })).await
    }

    pub async fn login(&self, username: &str) -> Tokens {
        tokens(&self.try_login(username, PASSWORD).await.must(200))
    }

    pub async fn refresh(&self, refresh_token: &str) -> Answer {
        self.post("/api/v1/auth/refresh", None, json!({ "refresh_token": refresh_token })).await
    }

    /// Signs up and in; answers the id too.
    pub async fn member(&self, username: &str) -> (String, Tokens) {
        let id = self.sign_up(username).await.must(201).text("id");
        (id, self.login(username).await)
    }

    pub async fn command(&self, path: &str, body: Value) -> Answer {
        let request = request(Method::POST, path, None, Some(body), &[]);
        read(self.commands.clone().oneshot(request).await.expect("infallible")).await
    }

    pub async fn admin(&self, username: &str) -> (String, Tokens) {
        let body = json!({ "username": username, "password": PASSWORD });
        let id = self.command("/identity/admin", body).await.must(201).text("id");
        (id, self.login(username).await)
    }

    /// Somebody whom an admin gave a role; signed in since.
    pub async fn with_role(&self, admin: &Tokens, username: &str, role: &str) -> (String, Tokens) {
        let id = self.sign_up(username).await.must(201).text("id");
        self.put(&format!("/api/v1/users/{id}/role"), &admin.access, json!({ "role": role })).await.must(200);
        (id, self.login(username).await)
    }

    pub async fn run_jobs(&self) {
        for job in &self.jobs {
            (job.work)().await.expect("the job does its work");
        }
    }

    pub async fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        self.db.one::<(i64,)>(&sql, vec![]).await.expect("the table is there").expect("a row").0
    }

    /// The payloads of the published events of a kind.
    pub async fn events(&self, kind: &str) -> Vec<Value> {
        let sql = "SELECT payload FROM outbox WHERE kind = $1 ORDER BY id";
        let rows = self.db.all::<(String,)>(sql, platform::db::args![kind]).await.expect("the outbox is there");
        rows.iter().map(|row| serde_json::from_str(&row.0).expect("JSON")).collect()
    }
}

pub fn new_user(username: &str) -> Value {
    json!({
        "username": username, "password": PASSWORD, "name": "김하늘", "nickname": format!("n-{username}"),
        "email": format!("{username}@example.com"),
    })
}

pub fn tokens(answer: &Answer) -> Tokens {
    assert_eq!(answer.body["token_type"], "Bearer");
    Tokens { access: answer.text("access_token"), refresh: answer.text("refresh_token") }
}

pub fn request(
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Option<Value>,
    headers: &[(&str, &str)],
) -> Request {
    let mut request = Request::builder().method(method).uri(path).header(header::ACCEPT_LANGUAGE, "en");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = match body {
        Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string())),
        None => request.body(Body::empty()),
    };
    request.expect("a request")
}

async fn read(response: Response) -> Answer {
    let status = response.status();
    let retry_after = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().expect("text").to_owned());
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).expect("JSON") };
    Answer { status, retry_after, body }
}

/// What the gateway does, as far as identity can tell.
async fn identify(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let token =
        request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let identity = match token.map(|token| gate.verifier.verify(token, gate.clock.now_ms())) {
        None => Identity::Anonymous,
        Some(Err(TokenError::Invalid)) => Identity::Refused(&codes::AUTH_INVALID),
        Some(Err(TokenError::Expired)) => Identity::Refused(&codes::AUTH_EXPIRED),
        Some(Ok(token)) if gate.revocations.is_revoked(&token) => Identity::Refused(&codes::AUTH_REVOKED),
        Some(Ok(token)) => Identity::Known(token.caller.clone()),
    };
    request.extensions_mut().insert(identity);
    next.run(request).await
}
