//! Where a request comes from, as far as signing in cares.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use platform::http::ClientAddress;

/// Longer descriptions are cut; people read the beginning.
const USER_AGENT_CHARS_MAX: usize = 200;

/// Who asks to sign in.
pub struct Client {
    /// As the gateway found it, past the proxies that are trusted.
    pub address: Option<IpAddr>,
    /// What the program calls itself: shown to the owner in the list of his sessions.
    pub user_agent: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let address = parts.extensions.get::<ClientAddress>();
        let user_agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Ok(Self {
            address: address.map(|address| address.0),
            user_agent: user_agent.map(|text| text.chars().take(USER_AGENT_CHARS_MAX).collect()),
        })
    }
}
