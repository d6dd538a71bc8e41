//! Signatures of webhooks as Standard Webhooks has them (<https://www.standardwebhooks.com>): `webhook-id`,
//! `webhook-timestamp` and `webhook-signature: v1,<base64 of HMAC-SHA-256 over id.timestamp.body>`.

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::provider::Forged;

pub const ID: &str = "webhook-id";
pub const TIMESTAMP: &str = "webhook-timestamp";
pub const SIGNATURE: &str = "webhook-signature";

/// A captured webhook is worth nothing later.
const AGE_S_MAX: i64 = 300;
const ID_CHARS_MAX: usize = 128;

/// The secret that both sides of a webhook hold.
#[derive(Clone)]
pub struct WebhookKey([u8; 32]);

impl WebhookKey {
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The value of `webhook-signature`.
    pub fn sign(&self, id: &str, at_s: i64, body: &[u8]) -> String {
        format!("v1,{}", STANDARD.encode(self.mac(id, at_s, body).finalize().into_bytes()))
    }

    /// Answers the id of a webhook that was signed with this key, not long ago.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now_ms: i64) -> Result<String, Forged> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let id = text(ID);
        if id.is_empty() || id.len() > ID_CHARS_MAX {
            return Err(Forged("no id"));
        }
        let at_s: i64 = text(TIMESTAMP).parse().map_err(|_| Forged("no timestamp"))?;
        if (now_ms / 1_000).abs_diff(at_s) > AGE_S_MAX.unsigned_abs() {
            return Err(Forged("too old, or from the future"));
        }
        // Several are separated by spaces while a secret is being changed.
        let signed = text(SIGNATURE).split(' ').filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
        for signature in signed {
            if self.mac(id, at_s, body).verify_slice(&signature).is_ok() {
                return Ok(id.to_owned());
            }
        }
        Err(Forged("no signature of ours"))
    }

    fn mac(&self, id: &str, at_s: i64, body: &[u8]) -> Hmac<Sha256> {
        hmac(&self.0, &[id.as_bytes(), b".", at_s.to_string().as_bytes(), b".", body])
    }
}

/// HMAC-SHA-256 over the parts one after the other.
pub fn hmac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    // Invariant: HMAC takes a key of any length; the error does not happen.
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).unwrap_or_else(|_| unreachable!());
    parts.iter().for_each(|part| mac.update(part));
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(id: &str, at: &str, signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [(ID, id), (TIMESTAMP, at), (SIGNATURE, signature)] {
            headers.insert(name, value.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn agrees_with_the_published_example() {
        // From the reference library's tests: secret, id, timestamp, body, signature.
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let body = br#"{"test": 2432232314}"#;
        let mac = hmac(&secret, &[b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.", body]);
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        assert_eq!(signature, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn any_change_is_noticed() {
        let key = WebhookKey::new([7; 32]);
        let good = key.sign("e1", 1_000, b"body");
        let two = format!("v1,AAAA {good}");
        assert_eq!(key.verify(&headers("e1", "1000", &good), b"body", 1_000_000).as_deref(), Ok("e1"));
        assert!(key.verify(&headers("e1", "1000", &two), b"body", 1_299_000).is_ok());
        for (headers, body, now_ms) in [
            (headers("e2", "1000", &good), &b"body"[..], 1_000_000),
            (headers("e1", "1001", &good), b"body", 1_000_000),
            (headers("e1", "1000", &good), b"bodY", 1_000_000),
            (headers("e1", "1000", &good), b"body", 1_301_000),
            (headers("e1", "1000", &good), b"body", 699_000),
            (headers("e1", "1000", &good[3..]), b"body", 1_000_000),
            (headers("e1", "x", &good), b"body", 1_000_000),
            (headers("", "1000", &good), b"body", 1_000_000),
            (HeaderMap::new(), b"body", 1_000_000),
        ] {
            assert!(key.verify(&headers, body, now_ms).is_err(), "{headers:?}");
        }
        assert!(WebhookKey::new([8; 32]).verify(&headers("e1", "1000", &good), b"body", 1_000_000).is_err());
    }
}
