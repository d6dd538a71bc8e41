//! RFC 9457 problems. A handler says which [`Code`]; the edge writes the body in the caller's language.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::db::DbError;

/// Room for a usual problem's body.
const BODY_BYTES: usize = 512;

/// A stable problem: its code is part of the contract, its titles are for people.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// `part/reason`.
    pub code: &'static str,
    pub status: u16,
    pub en: &'static str,
    pub ko: &'static str,
}

/// Problems of the edge itself.
pub mod codes {
    crate::problem_codes! {
        AUTH_REQUIRED = 401 "auth/required", "Sign in first", "먼저 로그인해 주세요";
        AUTH_INVALID = 401 "auth/invalid", "This sign-in is not valid", "유효하지 않은 로그인입니다";
        AUTH_EXPIRED = 401 "auth/expired", "The sign-in has expired", "로그인이 만료되었습니다";
        AUTH_REVOKED = 401 "auth/revoked", "The sign-in was ended", "종료된 로그인입니다";
        AUTH_ROLE = 403 "auth/role", "Your account may not do this", "이 작업을 할 권한이 없습니다";
        AUTH_UNAVAILABLE = 503 "auth/unavailable", "Sign-ins cannot be checked right now", "지금은 로그인을 확인할 수 없습니다";
        NO_ROUTE = 404 "gateway/no-route", "There is nothing at this address", "존재하지 않는 주소입니다";
        METHOD = 405 "http/method", "This address does not take this method", "지원하지 않는 메서드입니다";
        UNREADABLE = 400 "http/unreadable", "The request cannot be read", "요청을 읽을 수 없습니다";
        MEDIA_TYPE = 415 "http/media-type", "Send the body as application/json", "본문은 application/json 이어야 합니다";
        TOO_LARGE = 413 "http/too-large", "The body is too large", "본문이 너무 큽니다";
        TIMEOUT = 408 "http/timeout", "The request took too long to arrive", "요청이 너무 오래 걸렸습니다";
        FORM = 403 "http/form", "This form is no longer good; load the page again", "만료된 양식입니다. 페이지를 다시 불러와 주세요";
        INVALID = 422 "http/invalid", "Some fields are not right", "입력값을 확인해 주세요";
        NOT_FOUND = 404 "http/not-found", "Not found", "찾을 수 없습니다";
        VERSION = 412 "http/version", "It was changed meanwhile; read it again", "그사이 변경되었습니다. 다시 불러와 주세요";
        RATE_LIMITED = 429 "gateway/rate-limited", "Too many requests; wait a moment", "요청이 너무 많습니다. 잠시 후 다시 시도해 주세요";
        IDEMPOTENCY_MISMATCH = 422 "idempotency/mismatch", "This Idempotency-Key was used with another body", "다른 내용에 이미 사용된 Idempotency-Key 입니다";
        UNAVAILABLE = 503 "http/unavailable", "Not available right now; nothing was changed", "일시적으로 사용할 수 없습니다. 변경된 내용은 없습니다";
        INTERNAL = 500 "http/internal", "Something went wrong on our side", "서버에 문제가 발생했습니다";
    }
}

/// One wrong field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Its path in the body, e.g. `courses[0].capacity`.
    pub field: String,
    pub code: String,
    pub message: String,
}

/// The way every failing request ends.
#[derive(Clone, Debug)]
pub struct Problem {
    pub code: &'static Code,
    pub detail: Option<String>,
    pub errors: Vec<FieldError>,
    /// Further members of the body, e.g. `opens_in_ms`.
    pub extra: Vec<(&'static str, Value)>,
    pub retry_after_ms: Option<u64>,
}

/// The body of a problem, as the OpenAPI document shows it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// `urn:madang:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: &'a str,
    pub status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'a str>,
    /// Stable, `part/reason`.
    pub code: &'a str,
    pub request_id: &'a str,
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    pub errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    #[serde(flatten, serialize_with = "members")]
    #[schema(value_type = Object)]
    pub extra: &'a [(&'static str, Value)],
}

fn members<S: Serializer>(extra: &[(&'static str, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(extra.iter().map(|(name, value)| (name, value)))
}

impl Problem {
    pub fn new(code: &'static Code) -> Self {
        Self { code, detail: None, errors: Vec::new(), extra: Vec::new(), retry_after_ms: None }
    }

    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.extra.push((name, value.into()));
        self
    }

    /// A further member of the body.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.extra.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// One wrong field of the body.
    pub fn field(field: &str, code: &str, message: impl Into<String>) -> Self {
        Self::new(&codes::INVALID).and_field(field, code, message)
    }

    pub fn and_field(mut self, field: &str, code: &str, message: impl Into<String>) -> Self {
        self.errors.push(FieldError { field: field.to_owned(), code: code.to_owned(), message: message.into() });
        self
    }

    /// Adds `Retry-After` and `retry_after_ms`, spread by up to a half so that a crowd does not return at once.
    pub fn retry_after_ms(mut self, base_ms: u64) -> Self {
        self.retry_after_ms = Some(base_ms + rand::random_range(0..=base_ms / 2));
        self
    }

    pub fn status(&self) -> u16 {
        self.code.status
    }

    /// The body in one language.
    pub(crate) fn render(&self, language: Language, request_id: &str) -> Vec<u8> {
        let body = ProblemBody {
            kind: format!("urn:madang:problem:{}", self.code.code),
            title: match language {
                Language::Ko => self.code.ko,
                Language::En => self.code.en,
            },
            status: self.code.status,
            detail: self.detail.as_deref(),
            code: self.code.code,
            request_id,
            errors: &self.errors,
            retry_after_ms: self.retry_after_ms,
            extra: &self.extra,
        };
        let mut text = Vec::with_capacity(BODY_BYTES);
        // Writing to memory cannot fail.
        let _ = serde_json::to_writer(&mut text, &body);
        text
    }
}

/// A language we have texts in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    #[default]
    Ko,
    En,
}

impl Language {
    pub fn as_str(self) -> &'static str {
        match self {
            Language::Ko => "ko",
            Language::En => "en",
        }
    }

    /// The language of a code; `None` for one we have no texts in.
    pub fn parse(code: &str) -> Option<Language> {
        [Language::Ko, Language::En].into_iter().find(|language| language.as_str() == code)
    }

    /// The first of `Accept-Language` that we have; Korean otherwise.
    pub fn accepted(header: Option<&HeaderValue>) -> Language {
        let listed = header.and_then(|value| value.to_str().ok()).unwrap_or_default();
        for range in listed.split(',') {
            match range.trim().get(..2).map(str::to_ascii_lowercase).as_deref() {
                Some("en") => return Language::En,
                Some("ko") => return Language::Ko,
                _ => {}
            }
        }
        Language::Ko
    }
}

impl IntoResponse for Problem {
    /// Leaves the body to the edge, which knows the request's id and language.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        if let Some(ms) = self.retry_after_ms {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
        }
        response.extensions_mut().insert(Box::new(self));
        response
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        match &error {
            DbError::Unavailable(cause) => {
                tracing::warn!(%cause, "the database did not answer");
                Problem::new(&codes::UNAVAILABLE).retry_after_ms(1_000)
            }
            DbError::Missing => Problem::new(&codes::NOT_FOUND),
            DbError::ClockJump(lead_ms) => {
                tracing::error!(lead_ms, "the clock jumped; decisions wait until it is set right");
                Problem::new(&codes::UNAVAILABLE).retry_after_ms(5_000)
            }
            DbError::Failed(cause) => {
                tracing::error!(cause = format!("{cause:#}"), "a statement failed");
                Problem::new(&codes::INTERNAL)
            }
            DbError::Unique(text) | DbError::Constraint(text) => {
                tracing::error!(constraint = %text, "a constraint refused a row that the code had let through");
                Problem::new(&codes::INTERNAL)
            }
        }
    }
}

/// Lists a part's problems: `NAME = status "part/reason", "English", "한국어";`.
#[macro_export]
macro_rules! problem_codes {
    ($($(#[$doc:meta])* $name:ident = $status:literal $code:literal, $en:literal, $ko:literal;)+) => {$(
        $(#[$doc])*
        pub const $name: $crate::http::Code =
            $crate::http::Code { code: $code, status: $status, en: $en, ko: $ko };
    )+};
}
