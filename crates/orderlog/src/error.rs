//! Why a text or a byte string is not what the format asks for.

/// A value that does not follow the log's format. The text names what was read and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct FormatError {
    /// What was being read, for instance `leaf` or `pool code`.
    pub what: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl FormatError {
    pub(crate) fn new(what: &'static str, why: impl Into<String>) -> Self {
        FormatError { what, why: why.into() }
    }
}

/// A decimal in the log's one spelling: digits only, no leading zero.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let canonical =
        text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0')) && !text.is_empty();
    canonical.then(|| text.parse().ok()).flatten()
}

/// Lower-case hex of exactly `N` bytes.
pub(crate) fn lower_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let lower = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
    (lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}
