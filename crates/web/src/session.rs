//! A browser's session: sealed in its cookie, nothing is kept here but the refreshes of the last minutes.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use platform::http::Language;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Requests that were under way with the old cookie still find the new tokens; who comes later reuses a token.
const REFRESHES_KEPT: Duration = Duration::from_secs(120);
/// More at once than one process refreshes in that time.
const REFRESHES_MAX: u64 = 100_000;

/// What the cookie holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Form tokens are bound to it. A new one begins with every sign-in and sign-out.
    pub id: String,
    pub tokens: Option<Tokens>,
    /// Chosen in the footer.
    pub language: Option<Language>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tokens {
    #[serde(rename = "access_token")]
    pub access: String,
    #[serde(rename = "refresh_token")]
    pub refresh: String,
}

impl Session {
    pub fn begin(tokens: Option<Tokens>, language: Option<Language>) -> Self {
        Self { id: Uuid::new_v4().simple().to_string(), tokens, language }
    }
}

/// `None`: the session is over.
pub type Refreshed = Option<Tokens>;

/// The refreshes of the last minutes, by the hash of the token that was traded in.
///
/// Why: a refresh token works once, and used twice it ends the session. Two tabs that find the access token ended at
/// the same moment must come out with the same new pair.
pub struct Refreshes(Cache<[u8; 32], Arc<OnceCell<Refreshed>>>);

impl Default for Refreshes {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(REFRESHES_MAX).time_to_live(REFRESHES_KEPT).build())
    }
}

impl Refreshes {
    pub fn of(&self, refresh_token: &str) -> Arc<OnceCell<Refreshed>> {
        self.0.get_with(Sha256::digest(refresh_token).into(), Arc::default)
    }
}
