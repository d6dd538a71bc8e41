//! Payments by their own routes, on every database there is, against a sandbox on a socket of its own. Races is a
//! stand-in that pins what a test lets it.

mod books;
mod faults;
mod properties;
mod refunds;
mod webhooks;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::middleware::from_fn;
use http_body_util::BodyExt;
use kernel::contracts::payments::{OpenPayment, Payment, PaymentsOf, Subject, VoidPayment};
use kernel::contracts::races::{PinRegistration, Pinned};
use kernel::{Role, SessionId, UserId, Won};
use platform::db::{Clock, Db, DbOptions, Query, args, open};
use platform::http::Caller;
use platform::http::auth::Identity;
use platform::jobs::Job;
use platform::peers::{Peers, answers};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

use crate::sandbox::{Sandbox, SandboxClient, SandboxKey, Timing};
use crate::{Config, Deps, ledger, service};

const KEY: &[u8] = b"a key of the tests' own";
const WITHIN: Duration = Duration::from_secs(20);
const TIMING: Timing = Timing { late_ms: 150, unknown_ms: 200, retry_ms: 50 };
pub const FEE_WON: i64 = 30_000;

/// What races would answer: a place is there unless a test took it.
#[derive(Clone, Default)]
pub struct Races {
    refused: Arc<Mutex<HashMap<Uuid, String>>>,
}

/// A yard with nothing but payments, and the sandbox.
pub struct Yard {
    api: Router,
    jobs: Vec<Job>,
    pub peers: Peers,
    pub db: Db,
    pub races: Races,
    /// The provider as the yard speaks to it.
    pub provider: SandboxClient,
    dir: tempfile::TempDir,
    address: SocketAddr,
    sandbox: Mutex<CancellationToken>,
}

impl Drop for Yard {
    fn drop(&mut self) {
        self.sandbox.lock().expect("a lock").cancel();
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    #[track_caller]
    pub fn must(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }

    #[track_caller]
    pub fn fails(self, status: u16, code: &str) -> Self {
        let answer = self.must(status);
        assert_eq!(answer.body["code"], code, "{}", answer.body);
        answer
    }
}

#[derive(Clone)]
pub struct Person(Arc<Caller>);

impl Person {
    pub fn new(role: Role) -> Self {
        let user = UserId::fresh();
        Self(Arc::new(Caller { user, username: "somebody".into(), role, session: SessionId::fresh(), rehearsal: None }))
    }

    pub fn member() -> Self {
        Self::new(Role::Member)
    }

    pub fn user(&self) -> UserId {
        self.0.user
    }
}

impl Yard {
    /// One yard per database: SQLite always, PostgreSQL where a test server is named.
    pub async fn all() -> Vec<Yard> {
        let mut yards = vec![Self::open(None).await];
        if let Ok(url) = std::env::var("MADANG_TEST_POSTGRES_URL") {
            yards.push(Self::open(Some(url)).await);
        }
        yards
    }

    pub async fn open(postgres: Option<String>) -> Yard {
        let dir = tempfile::tempdir().expect("a directory");
        let options = match postgres {
            Some(url) => DbOptions::Postgres { url },
            None => DbOptions::Sqlite { dir: dir.path().to_owned() },
        };
        // A schema of its own, since tests run side by side.
        let name: &'static str = format!("payments_{}", Uuid::new_v4().simple()).leak();
        let db = open(name, &options, &Clock::default()).await.expect("the database opens");
        let sandbox = Sandbox::open(dir.path(), SocketAddr::from(([127, 0, 0, 1], 0)), SandboxKey::new(KEY), TIMING);
        let sandbox = sandbox.await.expect("the sandbox opens");
        let address = sandbox.address().expect("an address");
        let (peers, races) = (Peers::default(), Races::default());
        let deps = Deps {
            db: db.clone(),
            peers: peers.clone(),
            sandbox: Some(client(address)),
            config: Config { settle_after_ms: 0, ..Config::default() },
        };
        let service = service(deps).await.expect("the tables are made");
        peers.connect(service.internal.merge(races.answers()));
        let (api, _document) = service.api.split_for_parts();
        let api = api.layer(from_fn(platform::http::edge));
        let yard = Yard {
            api,
            jobs: service.jobs,
            peers,
            db,
            races,
            provider: client(address),
            dir,
            address,
            sandbox: Mutex::default(),
        };
        yard.run(sandbox);
        yard
    }

    fn run(&self, sandbox: Sandbox) {
        let stop = CancellationToken::new();
        *self.sandbox.lock().expect("a lock") = stop.clone();
        tokio::spawn(sandbox.run(self.api.clone(), stop));
    }

    /// Stops the provider and waits until it is gone.
    pub async fn close_sandbox(&self) {
        self.sandbox.lock().expect("a lock").cancel();
        until("the sandbox is away", async || tokio::net::TcpStream::connect(self.address).await.is_err()).await;
    }

    /// The provider again, on its own file and address.
    pub async fn open_sandbox(&self) {
        self.open_sandbox_at(self.address.port()).await;
    }

    /// The same on another port, 0 for a free one.
    pub async fn open_sandbox_at(&self, port: u16) {
        let address = SocketAddr::new(self.address.ip(), port);
        let sandbox = Sandbox::open(self.dir.path(), address, SandboxKey::new(KEY), TIMING).await;
        self.run(sandbox.expect("it opens again"));
    }

    pub async fn send(&self, who: Option<&Person>, mut request: Request<Body>) -> Answer {
        let identity = who.map_or(Identity::Anonymous, |person| Identity::Known(person.0.clone()));
        request.extensions_mut().insert(identity);
        let response = self.api.clone().oneshot(request).await.expect("infallible");
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }

    pub async fn post(&self, who: Option<&Person>, path: &str, body: Value) -> Answer {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        self.send(who, request.body(Body::from(body.to_string())).expect("a request")).await
    }

    pub async fn get(&self, who: Option<&Person>, path: &str) -> Answer {
        let request = Request::builder().method(Method::GET).uri(path).body(Body::empty());
        self.send(who, request.expect("a request")).await
    }

    /// Opens a payment of a registration for somebody.
    pub async fn opened(&self, payer: &Person, registration: Uuid) -> Payment {
        self.peers.call(&wish(payer, registration)).await.expect("it opens")
    }

    /// A payment of somebody new, chosen in the sandbox.
    pub async fn chosen(&self, outcome: &str) -> (Person, Payment) {
        let payer = Person::member();
        let payment = self.opened(&payer, Uuid::now_v7()).await;
        self.choose(&payment, outcome).await.must(200);
        (payer, payment)
    }

    /// The same, confirmed.
    pub async fn paid(&self) -> (Person, Payment) {
        let (payer, payment) = self.chosen("approve").await;
        self.confirm(&payer, &payment).await.must(200);
        (payer, payment)
    }

    pub async fn choose(&self, payment: &Payment, outcome: &str) -> Answer {
        self.post(None, &payment.checkout_url, json!({ "outcome": outcome })).await
    }

    pub async fn confirm(&self, payer: &Person, payment: &Payment) -> Answer {
        self.post(Some(payer), &format!("/api/v1/payments/{}/confirm", payment.payment_id), json!({})).await
    }

    pub async fn void(&self, payment: &Payment) -> Option<Payment> {
        self.peers.call(&VoidPayment { subject: payment.subject }).await.expect("it is voided")
    }

    /// The newest payment of what this one pays for.
    pub async fn now(&self, payment: &Payment) -> Payment {
        let asked = PaymentsOf { subjects: vec![payment.subject] };
        self.peers.call(&asked).await.expect("an answer").pop().expect("a payment")
    }

    pub async fn state(&self, payment: &Payment) -> &'static str {
        self.now(payment).await.state.as_str()
    }

    /// Runs the jobs until a payment has come to this.
    pub async fn until_state(&self, payment: &Payment, state: &str) {
        until(state, async || {
            self.run_jobs().await;
            self.state(payment).await == state
        })
        .await;
    }

    pub async fn run_jobs(&self) {
        for job in &self.jobs {
            (job.work)().await.expect("the job does its work");
        }
    }

    pub async fn number(&self, sql: &str) -> i64 {
        self.db.one::<(i64,)>(sql, args![]).await.expect("a statement").expect("a row").0
    }

    /// The kinds of the events that told of a payment, in order.
    pub async fn told(&self, payment: &Payment) -> Vec<String> {
        let sql = "SELECT kind FROM outbox WHERE key = $1 ORDER BY id";
        let rows = self.db.all::<(String,)>(sql, args![payment.subject.id().to_string()]).await.expect("events");
        rows.into_iter().map(|row| row.0).collect()
    }

    /// The books are right, and every account of this kind has this balance in all.
    pub async fn balance(&self, kind: &str) -> i64 {
        assert_eq!(ledger::imbalance(&self.db).await.expect("a sum"), 0);
        let sql = "SELECT CAST(coalesce(sum(balance), 0) AS bigint) FROM ledger_account WHERE kind = $1";
        self.db.one::<(i64,)>(sql, args![kind]).await.expect("a sum").expect("a row").0
    }
}

impl Races {
    fn answers(&self) -> Router {
        answers::<PinRegistration, _, _, _>(Router::new(), |races: Races, asked: PinRegistration| async move {
            let refused = races.refused.lock().expect("a lock").get(&asked.registration_id.0).cloned();
            Ok(refused.map_or(Pinned::Yes, |state| Pinned::No { state }))
        })
        .with_state(self.clone())
    }

    /// The place is gone.
    pub fn take(&self, payment: &Payment, state: &str) {
        self.refused.lock().expect("a lock").insert(payment.subject.id(), state.to_owned());
    }
}

pub fn wish(payer: &Person, registration: Uuid) -> OpenPayment {
    OpenPayment {
        subject: Subject::Registration(registration),
        payer: payer.user(),
        payee: UserId(Uuid::from_u128(7)),
        amount_won: Won(FEE_WON),
        provider: "sandbox".to_owned(),
        title: "한강 마라톤 10 km".to_owned(),
        expires_ms: 4_000_000_000_000,
    }
}

fn client(address: SocketAddr) -> SandboxClient {
    let base = format!("http://{address}");
    SandboxClient::new(&base, SandboxKey::new(KEY), "", "", Duration::from_secs(5)).expect("a client")
}

/// Looks again and again until it is so.
pub async fn until(what: &str, look: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !look().await {
        assert!(Instant::now() < deadline, "{what}: not within {WITHIN:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
