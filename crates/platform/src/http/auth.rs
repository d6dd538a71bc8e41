//! Who is calling: a typed extension that only the gateway can set, and the extractors that ask for it.
//!
//! A handler without one of these extractors is public, and listed as such by a test.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use kernel::{RaceId, Role, SessionId, UserId};

use super::problem::{Code, Problem, codes};

/// A caller whose token was checked.
#[derive(Clone, Debug)]
pub struct Caller {
    pub user: UserId,
    pub username: Arc<str>,
    pub role: Role,
    pub session: SessionId,
    /// Set for a rehearsal's people: the one race they can claim in, and nothing else.
    pub rehearsal: Option<RaceId>,
}

/// What the gateway found out about a request. No header can make one.
#[derive(Clone, Debug)]
pub enum Identity {
    Known(Arc<Caller>),
    Anonymous,
    /// A token came but does not count, and why.
    Refused(&'static Code),
}

/// Where a request came from, as far as the gateway believes it: the peer, or what a trusted proxy said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// Reads the caller that the gateway left; `Err` says why there is none.
pub fn caller(parts: &Parts) -> Result<Arc<Caller>, Problem> {
    match parts.extensions.get::<Identity>() {
        Some(Identity::Known(caller)) => Ok(caller.clone()),
        Some(Identity::Refused(code)) if code.status == 503 => Err(Problem::new(code).retry_after_ms(1_000)),
        Some(Identity::Refused(code)) => Err(Problem::new(code)),
        Some(Identity::Anonymous) | None => Err(Problem::new(&codes::AUTH_REQUIRED)),
    }
}

macro_rules! extractors {
    ($($(#[$doc:meta])* $name:ident($allowed:expr);)+) => {$(
        $(#[$doc])*
        pub struct $name(pub Arc<Caller>);

        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
                let caller = caller(parts)?;
                let allowed: fn(&Caller) -> bool = $allowed;
                if allowed(&caller) { Ok(Self(caller)) } else { Err(Problem::new(&codes::AUTH_ROLE)) }
            }
        }
    )+};
}

extractors! {
    /// Anybody signed in, a rehearsal's marked people included: only for what a claimant does with his own place.
    Claimant(|_| true);
    /// Anybody signed in.
    Member(|caller| caller.rehearsal.is_none());
    /// Organisers, and admins.
    Company(|caller| caller.rehearsal.is_none() && matches!(caller.role, Role::Company | Role::Admin));
    /// Managers and admins.
    Manager(|caller| caller.rehearsal.is_none() && matches!(caller.role, Role::Manager | Role::Admin));
    Admin(|caller| caller.rehearsal.is_none() && caller.role == Role::Admin);
}
