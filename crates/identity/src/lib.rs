//! Identity: accounts and how people sign in.
//!
//! Owns accounts (with their roles and suspensions), sessions and their refresh tokens, revocations, applications
//! to become an organiser, and the marked people of rehearsals. It signs access tokens; every gateway checks them
//! by the public key and by what was revoked.
//!
//! Invariants:
//! - sign-up makes members; only an admin gives roles, nobody to himself, and the first comes from the command line;
//! - a refresh token works once; a second use ends its session;
//! - whatever ends sign-ins (a logout, a suspension, a new role or password) and its revocation are one transaction;
//! - no answer and no time taken tells whether an account exists, other than sign-up's "taken".
//!
//! Never: stores a password or a refresh token in the clear, or puts either into a log or an event.

mod api;
mod change_password;
mod change_role;
mod check_availability;
mod client;
mod contracts;
mod create_admin;
mod decide_application;
mod edit_me;
mod end_sessions;
mod error;
mod events;
mod jobs;
mod list_applications;
mod list_sessions;
mod login;
mod logout;
mod model;
mod password;
mod publish_keys;
mod read_me;
mod refresh;
mod search_users;
mod send_application;
mod sign_up;
mod slow_down;
mod store;
mod suspend;
mod tokens;

use std::sync::Arc;

use platform::db::{Clock, Db, DbError, Migration};
use platform::revocation::Revocations;
use platform::service::{Service, migrate_context};
use platform::token::TokenKey;

/// What identity needs.
pub struct Deps {
    pub db: Db,
    pub clock: Clock,
    /// Signs access tokens.
    pub token_key: Arc<TokenKey>,
    /// Further public keys of the yard, as JWKs: what tickets are checked by.
    pub further_keys: Vec<serde_json::Value>,
    /// What this process's gateway looks at: told at once what ends here.
    pub revocations: Revocations,
    pub config: Config,
}

/// How long sign-ins last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// An access token's life. Revocations are forgotten after 20 minutes, so it must be shorter.
    pub access_token_s: u32,
    /// A refresh token's life: a session that is not used for so long is over.
    pub refresh_token_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { access_token_s: 900, refresh_token_s: 1_209_600 }
    }
}

const MIGRATIONS: [Migration; 1] =
    [Migration { name: "identity_0001_identity", sql: include_str!("../migrations/0001_identity.sql") }];

/// Brings up the tables and answers what is to be served.
pub async fn service(deps: Deps) -> Result<Service, DbError> {
    migrate_context(&deps.db, &MIGRATIONS).await?;
    store::SEARCH.create(&deps.db).await?;
    let app = Arc::new(App {
        db: deps.db.clone(),
        clock: deps.clock,
        token_key: deps.token_key,
        further_keys: deps.further_keys,
        revocations: deps.revocations,
        config: deps.config,
        hasher: password::Hasher::default(),
        slow_down: slow_down::SlowDown::default(),
    });
    Ok(Service {
        name: "identity",
        db: deps.db,
        api: api::routes(app.clone()),
        internal: contracts::routes(app.clone()),
        commands: create_admin::routes(app.clone()),
        consumers: Vec::new(),
        jobs: vec![jobs::cleaning(app.db.clone())],
        offers: None,
        sagas: None,
    })
}

/// What every handler has at hand.
struct App {
    db: Db,
    clock: Clock,
    token_key: Arc<TokenKey>,
    further_keys: Vec<serde_json::Value>,
    revocations: Revocations,
    config: Config,
    hasher: password::Hasher,
    slow_down: slow_down::SlowDown,
}

#[cfg(test)]
mod tests;
