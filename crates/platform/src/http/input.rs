//! Typed input: JSON bodies that refuse what they do not know, and ids in paths.

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use garde::Validate;
use http_body_util::{BodyExt, Limited};
use serde::de::{DeserializeOwned, IgnoredAny};
use sha2::{Digest, Sha256};
use std::time::Duration;
use uuid::Uuid;

use super::problem::{Problem, codes};
use super::strict::Strict;

/// The largest JSON body; terms texts are the longest thing anybody sends.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// A body that trickles in longer keeps a task and its buffers for nothing.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A JSON body that parsed and passed its own rules, with the hash an `Idempotency-Key` is compared by.
pub struct Body<T> {
    pub value: T,
    pub sha: [u8; 32],
}

/// A body type's own rules, beyond its shape. Implemented by every `garde::Validate` type without context.
pub trait Validated: DeserializeOwned + Validate<Context = ()> {}
impl<T: DeserializeOwned + Validate<Context = ()>> Validated for T {}

impl<T: Validated, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        require_json(&parts.headers)?;
        let limited = Limited::new(body, BODY_BYTES_MAX).collect();
        let bytes = match tokio::time::timeout(BODY_TIMEOUT, limited).await {
            Err(_elapsed) => return Err(Problem::new(&codes::TIMEOUT)),
            Ok(Ok(collected)) => collected.to_bytes(),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(Problem::new(&codes::TOO_LARGE).with("limit_bytes", BODY_BYTES_MAX));
            }
            Ok(Err(_)) => return Err(Problem::new(&codes::UNREADABLE).detail("the body broke off")),
        };
        let value: T = parse(&bytes)?;
        value.validate().map_err(|report| invalid(&report))?;
        Ok(Self { value, sha: Sha256::digest(&bytes).into() })
    }
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = kind.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if essence.eq_ignore_ascii_case(b"application/json") { Ok(()) } else { Err(Problem::new(&codes::MEDIA_TYPE)) }
}

/// Parses a body: what is not JSON is unreadable, what has the wrong shape is invalid.
fn parse<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Problem> {
    if holds_escaped_nul(bytes) {
        return Err(Problem::field("", "text/nul", "text cannot hold U+0000"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(Strict(&mut json)).map_err(|error| {
        let field = error.path().to_string();
        let inner = error.into_inner();
        // Why look again: of a body that is no JSON further on, its first wrong field is not what is wrong with it.
        match serde_json::from_slice::<IgnoredAny>(bytes) {
            Ok(_) if inner.is_data() => {
                let field = if field == "." { "" } else { &field };
                Problem::field(field, "shape", inner.to_string())
            }
            Ok(_) => unreadable(&inner),
            Err(syntax) => unreadable(&syntax),
        }
    })?;
    json.end().map_err(|error| unreadable(&error))?;
    Ok(value)
}

fn unreadable(error: &serde_json::Error) -> Problem {
    Problem::new(&codes::UNREADABLE).detail(error.to_string())
}

/// Finds `\u0000`, which JSON may say and PostgreSQL's text cannot hold.
fn holds_escaped_nul(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| *b == b'\\') {
        if rest[at + 1..].starts_with(b"u0000") {
            return true;
        }
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    false
}

fn invalid(report: &garde::Report) -> Problem {
    report.iter().fold(Problem::new(&codes::INVALID), |problem, (path, error)| {
        problem.and_field(&path.to_string(), "rule", error.message())
    })
}

/// The `{id}` of a path. What is not a UUID names nothing: 404.
pub struct IdPath(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for IdPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let missing = || Problem::new(&codes::NOT_FOUND);
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| missing())?;
        // Why: only the canonical form, so that one thing has one address.
        let id = Uuid::try_parse(&text).map_err(|_| missing())?;
        if id.hyphenated().to_string() == text.to_ascii_lowercase() { Ok(Self(id)) } else { Err(missing()) }
    }
}
