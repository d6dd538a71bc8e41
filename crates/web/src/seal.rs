//! Sealing what a browser keeps for us: XChaCha20-Poly1305. Nobody else can read or make it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

const LABEL: &[u8] = b"madang-web-session-1";
const NONCE_BYTES: usize = 24;

pub struct Sealer {
    cipher: XChaCha20Poly1305,
    key: [u8; 32],
}

impl Sealer {
    pub fn new(key: &[u8; 32]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(key.into()), key: *key }
    }

    /// `None` only where the cipher itself gives up.
    pub fn seal(&self, value: &impl Serialize) -> Option<String> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let text = serde_json::to_vec(value).ok()?;
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), Payload { msg: &text, aad: LABEL }).ok()?;
        Some(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat()))
    }

    pub fn open<T: DeserializeOwned>(&self, sealed: &str) -> Option<T> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, text) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        let opened = self.cipher.decrypt(&XNonce::from(*nonce), Payload { msg: text, aad: LABEL }).ok()?;
        serde_json::from_slice(&opened).ok()
    }

    /// The token that a form of this session carries.
    pub fn form_token(&self, session: &str) -> String {
        self.mac(session).map(|mac| hex::encode(mac.finalize().into_bytes())).unwrap_or_default()
    }

    /// Compares in constant time.
    pub fn is_form_token(&self, session: &str, token: &str) -> bool {
        let told = hex::decode(token).unwrap_or_default();
        self.mac(session).is_some_and(|mac| mac.verify_slice(&told).is_ok())
    }

    fn mac(&self, session: &str) -> Option<Hmac<Sha256>> {
        let mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.key).ok()?;
        Some(mac.chain_update(b"form\n").chain_update(session))
    }
}
