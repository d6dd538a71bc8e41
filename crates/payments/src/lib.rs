//! Payments: who pays what for which thing, what the providers said, and where the money is.
//!
//! Owns the intents to pay, the refunds, the webhooks as they came, the ledger and the reconciliations. What is paid
//! for belongs to another part, which is asked to pin it before any money can move and told by events what came of it.
//!
//! Invariants:
//! - amount, payee, payer and outcome are ours and the provider's; no request and no webhook says them;
//! - whatever may have reached the provider is `confirming` on disk first, and ends by the provider's word alone;
//! - an intent's outcome, its ledger transfer and its event are one transaction, once;
//! - all balances sum to zero, and no refund exceeds what was captured.
//!
//! Never: guesses an outcome, undoes one blindly, or decides who has a place.

mod api;
mod confirm;
mod error;
mod events;
mod jobs;
pub mod ledger;
mod list_reconciliations;
mod model;
mod of;
mod open;
mod pay_in_sandbox;
mod provider;
mod questions;
mod read;
mod receive_webhook;
mod reconcile;
mod refund;
pub mod sandbox;
mod settle;
mod signature;
mod store;
mod void;

use std::sync::Arc;

use axum::Router;
use platform::db::{Db, DbError, Migration};
use platform::peers::Peers;
use platform::service::{Service, migrate_context};

use provider::Provider;
use sandbox::SandboxClient;

const MIGRATIONS: [Migration; 1] =
    [Migration { name: "payments_0001_payments", sql: include_str!("../migrations/0001_payments.sql") }];

/// What payments need from the process that runs them.
pub struct Deps {
    pub db: Db,
    pub peers: Peers,
    /// The built-in provider, where it is offered.
    pub sandbox: Option<SandboxClient>,
    pub config: Config,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long the request that confirms a payment, gives money back or brings a webhook is left to finish it before
    /// the jobs do, in milliseconds.
    pub settle_after_ms: i64,
    /// The yard's time zone, in seconds east of UTC: a reconciliation is of a day there.
    pub offset_s: i32,
}

impl Default for Config {
    fn default() -> Self {
        Self { settle_after_ms: 10_000, offset_s: 9 * 3_600 }
    }
}

/// Brings up the tables and answers the context, ready to be served.
pub async fn service(deps: Deps) -> Result<Service, DbError> {
    let Deps { db, peers, sandbox, config } = deps;
    migrate_context(&db, &MIGRATIONS).await?;
    let sandbox = sandbox.map(Arc::new);
    let providers = sandbox.iter().map(|sandbox| sandbox.clone() as Arc<dyn Provider>).collect();
    let app = Arc::new(App { db: db.clone(), peers, providers, sandbox, config });
    Ok(Service {
        name: "payments",
        db,
        api: api::routes(&app),
        internal: questions::routes(&app),
        commands: Router::new(),
        consumers: Vec::new(),
        jobs: jobs::jobs(&app),
        offers: None,
        sagas: None,
    })
}

/// What every handler has at hand.
struct App {
    db: Db,
    peers: Peers,
    providers: Vec<Arc<dyn Provider>>,
    /// Also the payer's page, which no other provider has here.
    sandbox: Option<Arc<SandboxClient>>,
    config: Config,
}

impl App {
    fn provider(&self, name: &str) -> Option<&dyn Provider> {
        self.providers.iter().find(|provider| provider.name() == name).map(AsRef::as_ref)
    }

    fn now_ms(&self) -> i64 {
        self.db.clock().now_ms()
    }
}

#[cfg(test)]
mod tests;
