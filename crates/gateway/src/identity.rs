//! Who is calling, by his token alone.

use std::time::Instant;

use axum::http::{HeaderMap, HeaderName, header};
use kernel::UserId;
use platform::http::auth::Identity;
use platform::http::{Code, codes};
use platform::token::TokenError;

use crate::Gateway;

/// What a request's token says.
pub(crate) struct Presented {
    pub identity: Identity,
    /// Whose token it is, also where it no longer counts.
    pub user: Option<UserId>,
}

impl Gateway {
    pub(crate) fn identify(&self, headers: &HeaderMap) -> Presented {
        match bearer(headers) {
            Bearer::Absent => Presented { identity: Identity::Anonymous, user: None },
            Bearer::Unreadable => refused(&codes::AUTH_INVALID, None),
            Bearer::Token(token) => self.check(token),
        }
    }

    fn check(&self, token: &str) -> Presented {
        let verified = match self.verifier.verify(token, self.clock.now_ms()) {
            Ok(verified) => verified,
            Err(TokenError::Invalid) => return refused(&codes::AUTH_INVALID, None),
            Err(TokenError::Expired) => return refused(&codes::AUTH_EXPIRED, None),
        };
        let user = Some(verified.caller.user);
        if self.revocations.is_revoked(&verified) {
            return refused(&codes::AUTH_REVOKED, user);
        }
        if self.revocations.is_stale(Instant::now()) {
            return refused(&codes::AUTH_UNAVAILABLE, user);
        }
        Presented { identity: Identity::Known(verified.caller.clone()), user }
    }
}

fn refused(code: &'static Code, user: Option<UserId>) -> Presented {
    metrics::counter!("madang_gateway_tokens_refused_total", "code" => code.code).increment(1);
    Presented { identity: Identity::Refused(code), user }
}

enum Bearer<'a> {
    Absent,
    Unreadable,
    Token(&'a str),
}

/// The token of the one `Authorization: Bearer` header (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Bearer<'_> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (values.next(), values.next());
    let Some(value) = first else {
        return Bearer::Absent;
    };
    match value.to_str().ok().and_then(|text| text.split_once(' ')) {
        Some((scheme, token)) if second.is_none() && scheme.eq_ignore_ascii_case("bearer") => {
            Bearer::Token(token.trim())
        }
        _ => Bearer::Unreadable,
    }
}

/// Takes away what only another part of the yard could say about a caller.
pub(crate) fn strip_identity_headers(headers: &mut HeaderMap) {
    // Why twice: hardly any request has one, and the first look costs no memory.
    if headers.keys().any(is_identity_header) {
        let forged: Vec<HeaderName> = headers.keys().filter(|name| is_identity_header(name)).cloned().collect();
        for name in forged {
            headers.remove(name);
        }
    }
}

/// `X-User-…` and `X-Madang-…`, also with underscores, which some servers read as hyphens.
fn is_identity_header(name: &HeaderName) -> bool {
    // A `HeaderName` is in lower case, however it was sent.
    let Some([b'-' | b'_', rest @ ..]) = name.as_str().as_bytes().strip_prefix(b"x") else {
        return false;
    };
    let rest = rest.strip_prefix(b"user").or_else(|| rest.strip_prefix(b"madang"));
    matches!(rest, Some([b'-' | b'_', ..]))
}
