//! Making tokens: signed access tokens, and opaque refresh tokens that are stored as hashes only.
//!
//! Invariant: the claims are read and stamped in a transaction that holds the account's lock; see [`crate::store`].

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::SessionId;
use platform::db::{DbError, Tx};
use platform::token::Claims;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::model::Account;
use crate::{App, Config, store};

/// What signing in gives.
#[derive(Serialize, utoipa::ToSchema)]
pub struct TokenPair {
    /// Sent as `Authorization: Bearer …`.
    pub access_token: String,
    #[schema(value_type = String, example = "Bearer")]
    pub token_type: &'static str,
    pub expires_in_s: u32,
    /// Good for one refresh within 14 days. Used twice, it ends the session.
    pub refresh_token: String,
}

/// Tokens that are recorded but not signed yet.
pub struct Granted {
    claims: Claims,
    refresh_token: String,
}

impl Granted {
    /// Signs; to be called once the transaction that granted is committed.
    pub fn sign(self, app: &App) -> TokenPair {
        TokenPair {
            access_token: app.token_key.sign(&self.claims),
            token_type: "Bearer",
            expires_in_s: app.config.access_token_s,
            refresh_token: self.refresh_token,
        }
    }
}

/// The only form in which a refresh token is stored.
pub fn hash_of(refresh_token: &str) -> [u8; 32] {
    Sha256::digest(refresh_token).into()
}

/// Begins a session of an account that is locked.
pub async fn begin_session(
    tx: &Tx,
    config: &Config,
    account: &Account,
    user_agent: Option<String>,
) -> Result<Granted, DbError> {
    let now_ms = tx.now_ms().await?;
    let session = SessionId::fresh();
    store::insert_session(tx, session, account.id, user_agent, now_ms, refresh_ends_ms(config, now_ms)).await?;
    grant(tx, config, account, session, now_ms).await
}

/// Makes a session's next pair of tokens; its account is locked and the last refresh token was used.
pub async fn continue_session(
    tx: &Tx,
    config: &Config,
    account: &Account,
    session: SessionId,
) -> Result<Granted, DbError> {
    let now_ms = tx.now_ms().await?;
    store::touch_session(tx, session, now_ms, refresh_ends_ms(config, now_ms)).await?;
    grant(tx, config, account, session, now_ms).await
}

/// What an access token made now says.
fn claims(config: &Config, account: &Account, session: SessionId, now_ms: i64) -> Claims {
    let iat_ms = account.token_issue_ms(now_ms);
    Claims {
        sub: account.id,
        name: account.username.clone(),
        role: account.role,
        sid: session,
        iat_ms,
        exp: iat_ms / 1000 + i64::from(config.access_token_s),
        reh: None,
    }
}

async fn grant(
    tx: &Tx,
    config: &Config,
    account: &Account,
    session: SessionId,
    now_ms: i64,
) -> Result<Granted, DbError> {
    // 256 random bits from the operating system's generator: nothing to guess, so a plain hash protects them.
    let refresh_token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    store::insert_refresh_token(tx, &hash_of(&refresh_token), session, now_ms, refresh_ends_ms(config, now_ms)).await?;
    Ok(Granted { claims: claims(config, account, session, now_ms), refresh_token })
}

fn refresh_ends_ms(config: &Config, now_ms: i64) -> i64 {
    now_ms + i64::from(config.refresh_token_s) * 1000
}
