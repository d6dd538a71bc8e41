//! Access tokens: Ed25519-signed JWTs (RFC 9068 in spirit), made by identity and checked by every gateway.

use std::sync::Arc;
use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use kernel::{RaceId, Role, SessionId, UserId};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::http::Caller;

/// Longer ones are refused before anything is computed. Ours have about 400 bytes.
pub const TOKEN_BYTES_MAX: usize = 2_048;
/// Verified tokens that are remembered, about 400 bytes each. Beyond it a signature is checked again (44 µs).
const CACHED_TOKENS_MAX: u64 = 100_000;
/// Remembered no longer than an access token lives, so that an idle yard gives the memory back.
const CACHED_FOR: Duration = Duration::from_secs(15 * 60);
const TYPE: &str = "at+jwt";

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub sub: UserId,
    /// The username.
    pub name: String,
    pub role: Role,
    pub sid: SessionId,
    /// Issued, in Unix milliseconds: a revocation of a person counts for the tokens up to its moment.
    pub iat_ms: i64,
    /// Ends, in Unix seconds (RFC 7519 `exp`).
    pub exp: i64,
    /// A rehearsal's race: the only one this person can claim in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reh: Option<RaceId>,
}

/// A token whose signature and end were checked. Whether it was revoked is for [`crate::revocation`] to say.
#[derive(Clone, Debug)]
pub struct Verified {
    pub caller: Arc<Caller>,
    /// Unix milliseconds.
    pub iat_ms: i64,
    /// Unix seconds.
    pub exp: i64,
}

/// Why a token does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the token is not one of ours")]
    Invalid,
    #[error("the token has expired")]
    Expired,
}

/// The yard's signing key for access tokens.
pub struct TokenKey {
    signing: SigningKey,
    /// The first part of every token: base64url of the JOSE header.
    header: String,
    kid: String,
}

impl TokenKey {
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let signing = SigningKey::from_bytes(&seed);
        let kid = kid(signing.verifying_key().as_bytes());
        let header = header(&kid);
        Self { signing, header, kid }
    }

    /// A token that says `claims`. Some 20 µs of work: many at once belong off the async threads.
    pub fn sign(&self, claims: &Claims) -> String {
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).unwrap_or_default());
        let message = format!("{}.{payload}", self.header);
        let signature = self.signing.sign(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    /// First 8 hex digits of SHA-256 of the public key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public key, to build a [`TokenVerifier`] with.
    pub fn public(&self) -> [u8; 32] {
        self.signing.verifying_key().to_bytes()
    }

    /// The JWK set (RFC 7517, RFC 8037): this key, then the `further` ones that the yard publishes.
    pub fn jwks(&self, further: &[Value]) -> Value {
        let mut keys = vec![jwk(&self.public(), "sig")];
        keys.extend_from_slice(further);
        json!({ "keys": keys })
    }
}

/// An Ed25519 public key as a JWK.
pub fn jwk(public: &[u8; 32], key_use: &str) -> Value {
    json!({
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA",
        "use": key_use, "kid": kid(public), "x": URL_SAFE_NO_PAD.encode(public),
    })
}

/// Checks tokens and remembers the good ones. Cheap to clone; clones share what they remember.
#[derive(Clone)]
pub struct TokenVerifier(Arc<Inner>);

struct Inner {
    key: Option<VerifyingKey>,
    /// The only header a token of ours has, so that no token can ask for another algorithm or key.
    header: String,
    /// By SHA-256 of the token. Invariant: only tokens whose signature was checked get in.
    known: Cache<[u8; 32], Arc<Verified>, hashbrown::DefaultHashBuilder>,
}

impl TokenVerifier {
    /// Accepts the tokens of one key, given by its public half.
    pub fn new(public: [u8; 32]) -> Self {
        let known = Cache::builder()
            .max_capacity(CACHED_TOKENS_MAX)
            .time_to_live(CACHED_FOR)
            .build_with_hasher(hashbrown::DefaultHashBuilder::default());
        let key = VerifyingKey::from_bytes(&public).ok();
        Self(Arc::new(Inner { key, header: header(&kid(&public)), known }))
    }

    /// Who a token stands for at `now_ms` (Unix milliseconds).
    pub fn verify(&self, token: &str, now_ms: i64) -> Result<Arc<Verified>, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid);
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        let known = self.0.known.get(&digest);
        let fresh = known.is_none();
        let verified = match known {
            Some(verified) => verified,
            None => Arc::new(self.check_signature(token)?),
        };
        if verified.exp.saturating_mul(1_000) <= now_ms {
            self.0.known.invalidate(&digest);
            return Err(TokenError::Expired);
        }
        if fresh {
            self.0.known.insert(digest, verified.clone());
        }
        Ok(verified)
    }

    /// How many tokens are remembered, for the metrics.
    pub fn cached(&self) -> u64 {
        self.0.known.entry_count()
    }

    /// Gives the memory of expired entries back, also while nobody calls.
    pub fn tidy(&self) {
        self.0.known.run_pending_tasks();
    }

    fn check_signature(&self, token: &str) -> Result<Verified, TokenError> {
        self.claims(token).map(Verified::of).ok_or(TokenError::Invalid)
    }

    /// RFC 7515 §5.2 for tokens of exactly our header: signature first, claims only then.
    fn claims(&self, token: &str) -> Option<Claims> {
        let (message, signature) = token.rsplit_once('.')?;
        let payload = message.strip_prefix(self.0.header.as_str())?.strip_prefix('.')?;
        let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        self.0.key?.verify_strict(message.as_bytes(), &signature).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }
}

impl Verified {
    fn of(claims: Claims) -> Self {
        let Claims { sub, name, role, sid, iat_ms, exp, reh } = claims;
        let caller = Caller { user: sub, username: name.into(), role, session: sid, rehearsal: reh };
        Self { caller: Arc::new(caller), iat_ms, exp }
    }
}

/// The first part of every token under a key: base64url of its JOSE header.
fn header(kid: &str) -> String {
    URL_SAFE_NO_PAD.encode(json!({ "alg": "EdDSA", "kid": kid, "typ": TYPE }).to_string())
}

fn kid(public: &[u8; 32]) -> String {
    hex::encode(&Sha256::digest(public)[..4])
}

#[cfg(test)]
mod tests;
