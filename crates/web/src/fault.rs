//! A problem as the API answered it, on its way to a page.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use platform::http::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub const PROBLEM_JSON: &str = "application/problem+json";

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Fault {
    pub status: u16,
    /// For people, in the language that was asked for.
    pub title: String,
    pub code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(default)]
    pub request_id: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldFault>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FieldFault {
    pub field: String,
    pub code: String,
    pub message: String,
}

impl Fault {
    /// What came back was no answer of ours.
    pub fn broken() -> Self {
        Self { status: 500, code: "http/internal".to_owned(), ..Self::default() }
    }

    pub fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// The sign-in no longer counts, or there was none.
    pub fn wants_sign_in(&self) -> bool {
        self.status == 401 && self.code.starts_with("auth/")
    }

    pub fn number(&self, name: &str) -> Option<i64> {
        self.extra.get(name).and_then(Value::as_i64)
    }

    pub fn word(&self, name: &str) -> Option<&str> {
        self.extra.get(name).and_then(Value::as_str)
    }
}

/// How a page's handler ends badly: by the API's problem, or by one of its own.
pub enum Failed {
    Api(Box<Fault>),
    Own(Problem),
}

pub type Result<T> = std::result::Result<T, Failed>;

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Failed::Api(Box::new(fault))
    }
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Failed::Own(problem)
    }
}

impl IntoResponse for Failed {
    /// The layer outside makes a page of it.
    fn into_response(self) -> Response {
        let fault = match self {
            Failed::Own(problem) => return problem.into_response(),
            Failed::Api(fault) => fault,
        };
        let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, serde_json::to_vec(&fault).unwrap_or_default()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(ms) = fault.retry_after_ms {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)));
        }
        response
    }
}
