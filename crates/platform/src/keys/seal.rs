//! Sealing with the yard's secret: XChaCha20-Poly1305 under a key derived from it by SHA-256 with a label.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

const LABEL: &[u8] = b"madang-seal-1\n";
const NONCE_BYTES: usize = 24;

/// Seals and opens keys. A key opens under the name it was sealed for only.
pub(super) struct Sealer(XChaCha20Poly1305);

impl Sealer {
    pub fn new(secret: &str) -> Self {
        let key: [u8; 32] = Sha256::new_with_prefix(LABEL).chain_update(secret).finalize().into();
        Self(XChaCha20Poly1305::new(&key.into()))
    }

    /// The nonce, then the ciphertext with its tag; `None` only where the cipher itself gives up.
    pub fn seal(&self, name: &str, key: &[u8; 32]) -> Option<Vec<u8>> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload { msg: key, aad: name.as_bytes() };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).ok()?;
        Some([nonce.as_slice(), &sealed].concat())
    }

    /// `None` where another secret or another name sealed it, or a bit was changed.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Option<[u8; 32]> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: text, aad: name.as_bytes() };
        self.0.decrypt(&XNonce::from(*nonce), payload).ok()?.try_into().ok()
    }
}
