//! Lists: `{"items": […], "next_cursor": …}`, stable under inserts.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Items of a page when the client does not say.
pub const LIMIT_DEFAULT: i64 = 20;
/// More would let one reader hold a connection for long.
pub const LIMIT_MAX: i64 = 100;

#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Opaque; give it back as `?cursor=` for the next page; null on the last.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Makes a page of at most `limit` items out of the `limit + 1` that were read.
    pub fn cut(mut items: Vec<T>, limit: i64, cursor_of: impl Fn(&T) -> Cursor) -> Self {
        let limit = usize::try_from(limit).unwrap_or(0);
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = if more { items.last().map(|item| cursor_of(item).encode()) } else { None };
        Self { items, next_cursor }
    }
}

/// The sort key and id of the last item seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub key: i64,
    pub id: Uuid,
}

#[derive(Debug, thiserror::Error)]
#[error("the cursor was not made by this list")]
pub struct CursorError;

impl Cursor {
    pub fn encode(self) -> String {
        let mut bytes = [0u8; 24];
        bytes[..8].copy_from_slice(&self.key.to_be_bytes());
        bytes[8..].copy_from_slice(self.id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub fn decode(text: &str) -> Result<Self, CursorError> {
        let bytes: [u8; 24] =
            URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?.try_into().map_err(|_| CursorError)?;
        let (key, id) = bytes.split_at(8);
        Ok(Self {
            key: i64::from_be_bytes(key.try_into().map_err(|_| CursorError)?),
            id: Uuid::from_slice(id).map_err(|_| CursorError)?,
        })
    }
}
