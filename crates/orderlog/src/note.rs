//! Signed checkpoints: C2SP tlog-checkpoint in a signed-note with an Ed25519 signature (type 0x01).

use crate::error::{FormatError, decimal};
use crate::merkle::Hash;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use std::fmt;

#[cfg(test)]
mod tests;

const ED25519: u8 = 0x01;
/// Longer notes are refused before they are read: sixteen signatures, post-quantum ones included.
const NOTE_BYTES_MAX: usize = 128 * 1024;

/// The name of the `log_no`-th log (from 1) of an offer, which is the name of its key too: the base
/// itself, then `base/2`, `base/3`, …
pub fn origin(base: &str, log_no: u32) -> String {
    match log_no {
        0 | 1 => base.to_owned(),
        later => format!("{base}/{later}"),
    }
}

/// The yard's key that signs checkpoints.
#[derive(Clone)]
pub struct LogKey(SigningKey);

impl LogKey {
    /// From the 32 secret bytes (RFC 8032's private key).
    pub fn from_seed(seed: &[u8; 32]) -> LogKey {
        LogKey(SigningKey::from_bytes(seed))
    }

    /// The 32 bytes of the public key.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The key's id under a name: what a signature line starts with.
    pub fn id(&self, name: &str) -> u32 {
        key_id(name, &self.public())
    }

    /// `name+hash+key`, as `keys` publishes it.
    pub fn verifier_key(&self, name: &str) -> String {
        let key = VerifierKey { name: name.to_owned(), key: self.0.verifying_key() };
        key.to_string()
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogKey(***)")
    }
}

/// A public key and the name it signs under; the text is `name+hash+key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key: VerifyingKey,
}

impl VerifierKey {
    /// Reads `name+hash+key` and checks that the hash belongs to the rest.
    pub fn parse(text: &str) -> Result<VerifierKey, FormatError> {
        let read = || {
            let mut parts = text.splitn(3, '+');
            let (name, id, key) = (parts.next()?, parts.next()?, parts.next()?);
            let (kind, key) = STANDARD.decode(key).ok()?.split_first().map(|(k, v)| (*k, v.to_vec()))?;
            let key: [u8; 32] = key.try_into().ok()?;
            let named = is_key_name(name) && kind == ED25519 && id == format!("{:08x}", key_id(name, &key));
            let key = VerifyingKey::from_bytes(&key).ok()?;
            named.then(|| VerifierKey { name: name.to_owned(), key })
        };
        read().ok_or_else(|| FormatError::new("verifier key", format!("{text:?} is no Ed25519 key")))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key's id under its name.
    pub fn id(&self) -> u32 {
        key_id(&self.name, self.key.as_bytes())
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519];
        key.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{:08x}+{}", self.name, self.id(), STANDARD.encode(key))
    }
}

/// What a checkpoint says: the log of this name has `size` leaves and this root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: Hash,
}

/// The whole signed note. Ed25519 is deterministic: the same head always gives the same bytes.
pub fn sign_checkpoint(key: &LogKey, origin: &str, size: u64, root: &Hash) -> String {
    let text = format!("{origin}\n{size}\n{}\n", STANDARD.encode(root));
    let mut signature = [0; 4 + Signature::BYTE_SIZE];
    signature[..4].copy_from_slice(&key.id(origin).to_be_bytes());
    signature[4..].copy_from_slice(&key.0.sign(text.as_bytes()).to_bytes());
    format!("{text}\n\u{2014} {origin} {}\n", STANDARD.encode(signature))
}

/// Verifies a signed checkpoint by this key. Signatures by other keys (witnesses) are passed over.
pub fn open_checkpoint(note: &str, key: &VerifierKey) -> Result<Checkpoint, FormatError> {
    let (text, signatures) = split(note)?;
    let ours = signatures.lines().filter_map(|line| signature_of(line, key)).collect::<Vec<_>>();
    let verified = |signature: &Signature| key.key.verify_strict(text.as_bytes(), signature).is_ok();
    if ours.is_empty() || !ours.iter().all(verified) {
        return Err(wrong("not signed by the log's key"));
    }
    let checkpoint = parse_text(text)?;
    if checkpoint.origin != key.name {
        return Err(wrong("signed by a key of another name"));
    }
    Ok(checkpoint)
}

/// Reads a checkpoint **without** verifying its signatures: to learn which key to verify it by.
pub fn read_checkpoint(note: &str) -> Result<Checkpoint, FormatError> {
    parse_text(split(note)?.0)
}

/// A key name is visible text without spaces and `+`; ours is ASCII.
fn is_key_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b'+')
}

fn key_id(name: &str, key: &[u8; 32]) -> u32 {
    let digest =
        Sha256::new().chain_update(name.as_bytes()).chain_update([b'\n', ED25519]).chain_update(key).finalize();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// The text with its last newline, and the signature lines.
fn split(note: &str) -> Result<(&str, &str), FormatError> {
    let clean = |b: u8| b == b'\n' || b >= b' ';
    if note.len() > NOTE_BYTES_MAX || !note.ends_with('\n') || !note.bytes().all(clean) {
        return Err(wrong("not a signed note"));
    }
    let end = note.rfind("\n\n").ok_or_else(|| wrong("without signatures"))?;
    Ok((&note[..=end], &note[end + 2..]))
}

/// The signature of a line by this key; `None` where it is another's.
fn signature_of(line: &str, key: &VerifierKey) -> Option<Signature> {
    let (name, signature) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let bytes = STANDARD.decode(signature).ok()?;
    let (id, signature) = bytes.split_first_chunk::<4>()?;
    let ours = name == key.name && u32::from_be_bytes(*id) == key.id();
    // A line of ours that is too short must not pass for somebody else's.
    ours.then(|| Signature::from_slice(signature).unwrap_or_else(|_| Signature::from_bytes(&[0; 64])))
}

fn parse_text(text: &str) -> Result<Checkpoint, FormatError> {
    let read = || {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let origin = lines.next().filter(|origin| !origin.is_empty())?;
        let size = decimal(lines.next()?)?;
        let root = STANDARD.decode(lines.next()?).ok()?.try_into().ok()?;
        let extensions = lines.all(|line| !line.is_empty());
        extensions.then(|| Checkpoint { origin: origin.to_owned(), size, root })
    };
    read().ok_or_else(|| wrong("its text is no checkpoint"))
}

fn wrong(why: &str) -> FormatError {
    FormatError::new("checkpoint", why)
}
