//! What a claim asks for: units of one or several pools, all or nothing.

use crate::error::{FormatError, decimal};
use std::fmt::{self, Write};
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

/// Most pools one claim can name.
pub const WANT_POOLS_MAX: usize = 8;
const CODE_BYTES_MAX: usize = 32;
const UNITS_MAX: u32 = 1 << 31;

/// The code of a pool: 1 to 32 of `a-z`, `0-9` and `-`.
///
/// Kept inline and padded with zeros, which sort before every allowed character, so that the derived
/// order is the order of the texts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolCode {
    bytes: [u8; CODE_BYTES_MAX],
    len: u8,
}

impl PoolCode {
    /// Checks the characters and the length.
    pub fn new(code: &str) -> Result<PoolCode, FormatError> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if code.is_empty() || code.len() > CODE_BYTES_MAX || !code.bytes().all(allowed) {
            let why = format!("{code:?} is not 1 to 32 of a-z, 0-9 and -");
            return Err(FormatError::new("pool code", why));
        }
        let mut bytes = [0; CODE_BYTES_MAX];
        bytes[..code.len()].copy_from_slice(code.as_bytes());
        Ok(PoolCode { bytes, len: code.len() as u8 })
    }

    pub fn as_str(&self) -> &str {
        // Only ASCII gets in, so this never falls back.
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl Deref for PoolCode {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for PoolCode {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for PoolCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for PoolCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl FromStr for PoolCode {
    type Err = FormatError;

    fn from_str(code: &str) -> Result<Self, FormatError> {
        PoolCode::new(code)
    }
}

impl serde::Serialize for PoolCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for PoolCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        PoolCode::new(&code).map_err(serde::de::Error::custom)
    }
}

/// Units per pool, sorted by pool, 1 to 8 pools, 1 to 2^31 units of each. A clone is a count.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Want(Arc<[(PoolCode, u32)]>);

impl Want {
    /// Sorts by pool; a pool named twice, no pool, too many pools or zero units are refused.
    pub fn new(units: impl IntoIterator<Item = (PoolCode, u32)>) -> Result<Want, FormatError> {
        let mut list: Vec<_> = units.into_iter().collect();
        list.sort_unstable_by_key(|(code, _)| *code);
        Want::checked(list)
    }

    /// One unit of one pool, the usual want.
    pub fn one(code: PoolCode) -> Want {
        Want([(code, 1)].into())
    }

    pub fn units(&self) -> &[(PoolCode, u32)] {
        &self.0
    }

    /// Units asked of this pool, zero where the want does not name it.
    pub fn of(&self, code: &str) -> u32 {
        let named = self.0.iter().find(|(pool, _)| pool.as_str() == code);
        named.map_or(0, |(_, units)| *units)
    }

    pub(crate) fn write_to(&self, out: &mut impl Write) -> fmt::Result {
        for (i, (code, units)) in self.0.iter().enumerate() {
            if i > 0 {
                out.write_char(',')?;
            }
            out.write_str(code.as_str())?;
            write!(out, ":{units}")?;
        }
        Ok(())
    }

    fn checked(list: Vec<(PoolCode, u32)>) -> Result<Want, FormatError> {
        let wrong = |why: &str| Err(FormatError::new("want", why));
        if list.is_empty() || list.len() > WANT_POOLS_MAX {
            return wrong("not 1 to 8 pools");
        }
        if !list.is_sorted_by(|a, b| a.0 < b.0) {
            return wrong("pools are not sorted or one is named twice");
        }
        if list.iter().any(|(_, units)| !(1..=UNITS_MAX).contains(units)) {
            return wrong("units are not within 1 to 2^31");
        }
        Ok(Want(list.into()))
    }
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(f)
    }
}

impl fmt::Debug for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(f)
    }
}

impl FromStr for Want {
    type Err = FormatError;

    /// Accepts the canonical text only: sorted, no repeated pool, no leading zeros.
    fn from_str(text: &str) -> Result<Self, FormatError> {
        let part = |part: &str| {
            let (code, units) = part.split_once(':')?;
            let units = decimal(units).and_then(|units| u32::try_from(units).ok())?;
            Some((PoolCode::new(code).ok()?, units))
        };
        let list: Option<Vec<_>> = text.split(',').map(part).collect();
        match list {
            Some(list) => Want::checked(list),
            None => Err(FormatError::new("want", format!("{text:?} is no list of pool:units"))),
        }
    }
}
