//! Requests as bytes, ready to be sent.

use std::sync::Arc;

use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use serde::Serialize;

/// One request, ready to be sent as it is. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) wire: Arc<[u8]>,
    /// The answer to HEAD has the length of a body but no body.
    pub(super) head_only: bool,
}

impl Request {
    /// `GET http://{host}{path}`, with a bearer token if given.
    pub fn get(host: &str, path: &str, token: Option<&str>) -> Result<Request, http::Error> {
        Ok(Request::from(&start(Method::GET, host, path, token).body("")?))
    }

    /// `POST http://{host}{path}` with a JSON body, with a bearer token if given.
    pub fn post<B: Serialize>(host: &str, path: &str, token: Option<&str>, body: &B) -> anyhow::Result<Request> {
        let request = start(Method::POST, host, path, token).header(CONTENT_TYPE, "application/json");
        Ok(Request::from(&request.body(serde_json::to_vec(body)?)?))
    }
}

/// For any other method or header. `Host` comes from the URI unless it is among the headers; `Content-Length` from the
/// body, so a `Content-Length` or `Transfer-Encoding` of the caller's is left out.
impl<B: AsRef<[u8]>> From<&http::Request<B>> for Request {
    fn from(request: &http::Request<B>) -> Request {
        let body = request.body().as_ref();
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let mut wire = format!("{} {path} HTTP/1.1\r\n", request.method()).into_bytes();
        let mut header = |name: &str, value: &[u8]| {
            wire.extend_from_slice(name.as_bytes());
            wire.extend_from_slice(b": ");
            wire.extend_from_slice(value);
            wire.extend_from_slice(b"\r\n");
        };
        if !request.headers().contains_key(HOST) {
            let host = request.uri().authority().map_or("", |authority| authority.as_str());
            header("host", host.as_bytes());
        }
        for (name, value) in request.headers() {
            if name != http::header::CONTENT_LENGTH && name != TRANSFER_ENCODING {
                header(name.as_str(), value.as_bytes());
            }
        }
        if !body.is_empty() || matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH) {
            header("content-length", body.len().to_string().as_bytes());
        }
        wire.extend_from_slice(b"\r\n");
        wire.extend_from_slice(body);
        Request { wire: wire.into(), head_only: request.method() == Method::HEAD }
    }
}

fn start(method: Method, host: &str, path: &str, token: Option<&str>) -> http::request::Builder {
    let request = http::Request::builder().method(method).uri(format!("http://{host}{path}"));
    match token {
        Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
        None => request,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_cannot_smuggle_a_header() {
        assert!(Request::get("yard", "/", Some("a\r\nx-user-id: 1")).is_err());
        assert!(Request::get("yard", "/ HTTP/1.1\r\nx: y", None).is_err());
        let plain =
            http::Request::put("http://yard:81/a?b=c").header("Content-Length", "9").body("hi").expect("a request");
        assert_eq!(
            &*Request::from(&plain).wire,
            b"PUT /a?b=c HTTP/1.1\r\nhost: yard:81\r\ncontent-length: 2\r\n\r\nhi"
        );
    }
}
