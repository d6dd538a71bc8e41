//! The sandbox: a payment provider of our own that takes no money, for yards without another and for tests.
//!
//! A stranger to the yard all the same: it keeps its own file, is spoken to over HTTP only, answers by an
//! `Idempotency-Key`, and tells by signed webhooks. Its payers can make everything go wrong that goes wrong elsewhere.
//!
//! Two halves: the server ([`Sandbox`]) and the client that the yard pays through ([`SandboxClient`]). They share the
//! words below and a key, nothing else.

mod api;
mod books;
mod client;
mod deliver;
mod order;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hmac::Mac;
use kernel::PaymentId;
use platform::db::{Clock, Db, DbOptions, Migration, open};
use platform::service::migrate_context;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

pub use client::SandboxClient;

use crate::signature::{WebhookKey, hmac};

/// What the payer makes of a payment.
///
/// `late`: taken a little later, and the confirmation learns nothing. `twice`: reported twice. `wrong_amount`: another
/// amount is taken. `unknown`: no answer for a while, then as was chosen before (`approve` if nothing was).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Approve,
    Decline,
    Late,
    Twice,
    WrongAmount,
    Unknown,
}

impl Outcome {
    pub const ALL: [Outcome; 6] =
        [Self::Approve, Self::Decline, Self::Late, Self::Twice, Self::WrongAmount, Self::Unknown];
}

/// What yard and sandbox know each other by: from one key come the bearer token and the secret of the webhooks.
#[derive(Clone)]
pub struct SandboxKey {
    bearer: Arc<str>,
    webhook: WebhookKey,
}

impl SandboxKey {
    pub fn new(key: &[u8]) -> Self {
        let part = |name: &[u8]| -> [u8; 32] { hmac(key, &[b"madang sandbox ", name]).finalize().into_bytes().into() };
        Self { bearer: hex::encode(part(b"bearer")).into(), webhook: WebhookKey::new(part(b"webhook")) }
    }
}

/// How long the outcomes keep the yard waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// `late`: from the payer's choice to the money.
    pub late_ms: i64,
    /// `unknown`: from the confirmation to an outcome.
    pub unknown_ms: i64,
    /// The first pause before a webhook that was not taken is sent again; each further one is twice as long.
    pub retry_ms: i64,
}

impl Default for Timing {
    fn default() -> Self {
        Self { late_ms: 1_500, unknown_ms: 3_000, retry_ms: 1_000 }
    }
}

const MIGRATIONS: [Migration; 1] =
    [Migration { name: "sandbox_0001", sql: include_str!("../migrations/sandbox_0001.sql") }];

/// The server half, on a file `sandbox.db` of its own.
pub struct Sandbox {
    shared: Arc<Shared>,
    listener: TcpListener,
}

struct Shared {
    db: Db,
    key: SandboxKey,
    timing: Timing,
    http: reqwest::Client,
    /// Where it listens.
    address: SocketAddr,
    /// Told when a webhook or an outcome may have become due.
    due: Notify,
}

impl Sandbox {
    /// Opens the file in `dir` and listens; nothing is answered before [`Sandbox::run`].
    pub async fn open(dir: &Path, address: SocketAddr, key: SandboxKey, timing: Timing) -> anyhow::Result<Sandbox> {
        let options = DbOptions::Sqlite { dir: dir.to_owned() };
        let db = open("sandbox", &options, &Clock::default()).await?;
        migrate_context(&db, &MIGRATIONS).await?;
        let http = http_client(Duration::from_secs(5))?;
        let listener = platform::http::bind(address)?;
        let address = listener.local_addr()?;
        Ok(Sandbox { shared: Arc::new(Shared { db, key, timing, http, address, due: Notify::new() }), listener })
    }

    /// Its books.
    pub fn db(&self) -> &Db {
        &self.shared.db
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop`. `also` are routes on the same port: a yard that has no address of its own hears its
    /// webhooks there.
    pub async fn run(self, also: Router, stop: CancellationToken) {
        let routes = api::routes(self.shared.clone()).merge(also);
        tokio::join!(
            platform::http::serve(self.listener, routes, stop.clone()),
            deliver::work(self.shared.clone(), stop)
        );
        self.shared.db.close().await;
    }
}

impl Shared {
    /// A merchant that gave a path alone is on the sandbox's own port, whichever that is since the last start.
    fn address_of(&self, url: &str) -> String {
        if url.starts_with('/') { format!("http://{}{url}", self.address) } else { url.to_owned() }
    }
}

/// A client that keeps its connections.
fn http_client(timeout: Duration) -> anyhow::Result<reqwest::Client> {
    // reqwest is built without a provider of its own; a second call changes nothing.
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = reqwest::Client::builder().timeout(timeout).connect_timeout(timeout).no_proxy();
    Ok(client.redirect(reqwest::redirect::Policy::none()).tcp_nodelay(true).build()?)
}

/// A new order, as the merchant sends it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct NewOrder {
    order_id: PaymentId,
    title: String,
    amount_won: i64,
    expires_ms: i64,
    /// Where this merchant hears of it.
    notify_url: String,
}

/// An order, as the merchant sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OrderBody {
    id: String,
    order_id: PaymentId,
    /// `ready`, `processing`, `captured`, `declined` or `cancelled`.
    state: String,
    amount_won: i64,
    captured_won: i64,
    cancelled_won: i64,
    reason: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct ConfirmBody {
    amount_won: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct CancelBody {
    amount_won: i64,
    reason: String,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct OutcomeBody {
    outcome: Outcome,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct StatementBody {
    entries: Vec<EntryBody>,
    next_cursor: Option<i64>,
}

/// A capture is above zero, a cancellation below.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct EntryBody {
    id: String,
    order_id: PaymentId,
    amount_won: i64,
    at_ms: i64,
}

/// What goes wrong, as a body.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ErrorBody {
    code: String,
    reason: String,
}

/// What a webhook says. The yard looks at `data.payment_id` only.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct HookBody {
    #[serde(rename = "type")]
    kind: String,
    data: HookData,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct HookData {
    payment_id: String,
    state: String,
}
