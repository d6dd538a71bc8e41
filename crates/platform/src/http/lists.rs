//! `limit` and `cursor` of a list, and `If-Match` of an edit.

use axum::extract::{FromRequestParts, Query};
use axum::http::header;
use axum::http::request::Parts;
use kernel::{Cursor, LIMIT_DEFAULT, LIMIT_MAX};
use serde::de::DeserializeOwned;

use super::problem::{Problem, codes};

/// A list's query: its own filters `F` (a struct with `limit` and `cursor` among its fields).
pub struct ListQuery<F>(pub F);

impl<F: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for ListQuery<F> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<F>::from_request_parts(parts, state).await {
            Ok(Query(filters)) => Ok(Self(filters)),
            Err(rejection) => Err(Problem::new(&codes::INVALID).detail(rejection.body_text())),
        }
    }
}

impl ListQuery<()> {
    /// The page's size: 1 to 100, 20 where the client does not say.
    pub fn limit(given: Option<i64>) -> Result<i64, Problem> {
        match given {
            None => Ok(LIMIT_DEFAULT),
            Some(limit @ 1..=LIMIT_MAX) => Ok(limit),
            Some(_) => Err(Problem::field("limit", "range", format!("a page has 1 to {LIMIT_MAX} items"))),
        }
    }

    pub fn cursor(given: Option<&str>) -> Result<Option<Cursor>, Problem> {
        given
            .map(|text| Cursor::decode(text).map_err(|error| Problem::field("cursor", "cursor", error.to_string())))
            .transpose()
    }
}

/// The version an edit was made from; absent means the last write wins.
pub struct IfMatch(pub Option<i64>);

impl IfMatch {
    /// Refuses the edit when the resource has moved on.
    pub fn check(&self, version: i64) -> Result<(), Problem> {
        match self.0 {
            Some(expected) if expected != version => Err(Problem::new(&codes::VERSION).with("version", version)),
            _ => Ok(()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        let bare = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
        match bare.parse() {
            Ok(version) => Ok(Self(Some(version))),
            Err(_) => Err(Problem::new(&codes::UNREADABLE).detail("If-Match holds the resource's version, e.g. \"3\"")),
        }
    }
}
