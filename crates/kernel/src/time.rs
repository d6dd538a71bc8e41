//! Times on the wire are RFC 3339 in UTC with milliseconds; inside they are Unix milliseconds.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A moment in Unix milliseconds, written as RFC 3339 UTC (`2026-05-01T00:00:00.000Z`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2027-03-01T01:00:00.000Z")]
pub struct UtcTime(pub i64);

impl UtcTime {
    /// The years a time may lie in: what the public log, the databases and RFC 3339 all hold.
    const MS_MIN: i64 = 0;
    const MS_MAX: i64 = 253_402_300_799_999;

    pub fn parse(text: &str) -> Result<Self, String> {
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| format!("{text:?} is not an RFC 3339 time"))?;
        let ms = time.timestamp_millis();
        if (Self::MS_MIN..=Self::MS_MAX).contains(&ms) {
            Ok(Self(ms))
        } else {
            Err("a time lies between 1970 and 9999".to_owned())
        }
    }
}

impl std::fmt::Display for UtcTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = DateTime::<Utc>::from_timestamp_millis(self.0).unwrap_or_default();
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for UtcTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UtcTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}
