//! The edge: who is calling, from where, and how often.
//!
//! Owns: the token check, the client's address, the rate limits. Each request leaves here with an
//! [`Identity`](platform::http::auth::Identity) and a [`ClientAddress`](platform::http::ClientAddress) that no
//! header can make.
//!
//! Invariant: no business rule, no table, no list of who may do what: that is the extractor's on each handler. A
//! token that does not count makes a caller nobody, never somebody; so public routes still answer him.

mod address;
mod config;
mod identity;
mod layer;
mod limits;
mod upkeep;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use ipnet::IpNet;
use platform::db::Clock;
use platform::revocation::Revocations;
use platform::token::TokenVerifier;

pub use config::{Config, DEFAULTS};
pub use layer::{GatewayLayer, GatewayService, layer};

use limits::Limits;

/// What a gateway needs.
pub struct Deps {
    pub verifier: TokenVerifier,
    pub revocations: Revocations,
    /// Unix milliseconds of the yard, by which tokens end.
    pub clock: Clock,
    /// Peers whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    pub config: Config,
}

/// The state of the edge, one per process.
pub struct Gateway {
    verifier: TokenVerifier,
    revocations: Revocations,
    clock: Clock,
    trusted_proxies: Vec<IpNet>,
    limits: Limits,
    /// All revocations up to here are known, in Unix milliseconds; 0 before the first time.
    caught_up_ms: AtomicI64,
}

impl Gateway {
    pub fn new(deps: Deps) -> Arc<Self> {
        let Deps { verifier, revocations, clock, trusted_proxies, config } = deps;
        let limits = Limits::new(&config);
        Arc::new(Self { verifier, revocations, clock, trusted_proxies, limits, caught_up_ms: AtomicI64::new(0) })
    }
}

#[cfg(test)]
mod tests;
