//! The outermost layer: request id, problems written out, panics, time limit, security headers, metrics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;

use super::problem::{Language, Problem, codes};

/// A handler that takes longer has lost something; its client is told to come back.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(30);

/// The id of this request, in the answer's `X-Request-Id`, in problems and in logs.
#[derive(Clone, Debug)]
pub struct RequestId(pub Arc<str>);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The layer; put it outermost with `axum::middleware::from_fn`.
pub async fn edge(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = request_id(request.headers());
    let language = Language::accepted(request.headers().get(header::ACCEPT_LANGUAGE));
    let method = request.method().clone();
    request.extensions_mut().insert(RequestId(request_id.clone()));
    let mut response = if holds_nul(&request) {
        Problem::new(&codes::UNREADABLE).detail("an address cannot hold a NUL character").into_response()
    } else {
        answer(request, next, &request_id).await
    };
    let problem = response.extensions_mut().remove::<Box<Problem>>().or_else(|| problem_of_bare(&response));
    if let Some(problem) = problem {
        write_problem(&mut response, &problem, language, &request_id);
    }
    finish(&mut response, &request_id);
    record(&method, &response, started.elapsed());
    response
}

/// The route's pattern, kept for the metrics.
#[derive(Clone)]
struct Route(MatchedPath);

/// Remembers the matched route of a response; put innermost with `route_layer`.
pub async fn note_route(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(path) = path {
        response.extensions_mut().insert(Route(path));
    }
    response
}

async fn answer(request: Request, next: Next, request_id: &str) -> Response {
    let work = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(HANDLER_TIMEOUT, work).await {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => {
            tracing::error!(request.id = request_id, "a handler panicked");
            Problem::new(&codes::INTERNAL).into_response()
        }
        Err(_elapsed) => {
            tracing::error!(request.id = request_id, "a handler ran out of time");
            Problem::new(&codes::UNAVAILABLE).retry_after_ms(1_000).into_response()
        }
    }
}

/// PostgreSQL's text cannot hold U+0000, so no address may bring one in.
fn holds_nul(request: &Request) -> bool {
    request.uri().path_and_query().is_some_and(|target| target.as_str().contains("%00"))
}

/// The client's own id where it is a plain one, else a fresh one.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    match given {
        Some(id) if (8..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => {
            id.into()
        }
        _ => uuid::Uuid::now_v7().to_string().into(),
    }
}

/// Errors that a library answered without a body of ours.
fn problem_of_bare(response: &Response) -> Option<Box<Problem>> {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || is_ours(response) {
        return None;
    }
    let code = match status {
        StatusCode::NOT_FOUND => &codes::NO_ROUTE,
        StatusCode::METHOD_NOT_ALLOWED => &codes::METHOD,
        StatusCode::PAYLOAD_TOO_LARGE => &codes::TOO_LARGE,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => &codes::MEDIA_TYPE,
        status if status.is_client_error() => &codes::UNREADABLE,
        _ => &codes::INTERNAL,
    };
    Some(Box::new(Problem::new(code)))
}

/// A problem, or a page: a form that is shown again has the problem's status. Libraries answer plain text.
fn is_ours(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"application/problem+json") || kind.starts_with(b"text/html"))
}

fn write_problem(response: &mut Response, problem: &Problem, language: Language, request_id: &str) {
    let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.status_mut() = status;
    let body = problem.render(language, request_id);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language.as_str()));
    *response.body_mut() = Body::from(body);
}

fn finish(response: &mut Response, request_id: &str) {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Why: answers are a caller's own unless a handler said otherwise.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

fn record(method: &Method, response: &Response, took: Duration) {
    let route = response.extensions().get::<Route>().map_or("none", |route| route.0.as_str()).to_owned();
    let labels = [
        ("method", known_method(method).to_owned()),
        ("route", route),
        ("status", response.status().as_str().to_owned()),
    ];
    metrics::counter!("madang_http_requests_total", &labels).increment(1);
    metrics::histogram!("madang_http_request_seconds", &labels[..2]).record(took.as_secs_f64());
}

/// The method as a metric's label. HTTP lets a client invent methods; each would be a series that is kept for ever.
fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_methods_make_no_series_of_their_own() {
        assert_eq!(known_method(&Method::GET), "GET");
        assert_eq!(known_method(&Method::PATCH), "PATCH");
        for invented in ["M1", "get", "TRACE"] {
            let method = Method::from_bytes(invented.as_bytes()).expect("a method");
            assert_eq!(known_method(&method), "other");
        }
    }
}
