//! The client of the API: the yard's own router, asked as a stranger would ask it.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tower::ServiceExt;

use crate::fault::Fault;
use crate::session::Tokens;

/// From where the browser's own request came: the gateway counts by it.
#[derive(Clone, Default)]
pub struct From {
    peer: Option<ConnectInfo<SocketAddr>>,
    headers: HeaderMap,
}

impl From {
    /// What a call hands on of the request it is made for.
    pub fn of<B>(request: &Request<B>) -> Self {
        const HANDED_ON: [HeaderName; 4] = [
            HeaderName::from_static("x-forwarded-for"),
            HeaderName::from_static("forwarded"),
            HeaderName::from_static("x-request-id"),
            header::USER_AGENT,
        ];
        let mut headers = HeaderMap::new();
        for name in HANDED_ON {
            for value in request.headers().get_all(&name) {
                headers.append(name.clone(), value.clone());
            }
        }
        Self { peer: request.extensions().get().copied(), headers }
    }
}

/// One call.
pub struct Call<'a> {
    pub method: Method,
    pub path: &'a str,
    pub body: Option<&'a Value>,
    pub headers: Vec<(HeaderName, String)>,
}

impl<'a> Call<'a> {
    pub fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, body: None, headers: Vec::new() }
    }

    pub fn body(mut self, body: &'a Value) -> Self {
        self.body = Some(body);
        self
    }

    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

#[derive(Clone)]
pub struct Api(pub Router);

impl Api {
    /// The answer as it came, where it is a good one.
    pub async fn send(
        &self,
        from: &From,
        language: &str,
        token: Option<&str>,
        call: &Call<'_>,
    ) -> Result<Response, Fault> {
        let mut request = Request::new(call.body.map_or(Body::empty(), |body| Body::from(body.to_string())));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.path.parse().map_err(|_| Fault::broken())?;
        let headers = request.headers_mut();
        *headers = from.headers.clone();
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        set(header::ACCEPT, "application/json");
        set(header::ACCEPT_LANGUAGE, language);
        if call.body.is_some() {
            set(header::CONTENT_TYPE, "application/json");
        }
        if let Some(token) = token {
            set(header::AUTHORIZATION, &format!("Bearer {token}"));
        }
        for (name, value) in &call.headers {
            set(name.clone(), value);
        }
        if let Some(peer) = from.peer {
            request.extensions_mut().insert(peer);
        }
        let response = self.0.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let read = serde_json::from_slice(&bytes(response).await?).ok();
        Err(read.unwrap_or(Fault { status, ..Fault::broken() }))
    }

    /// Trades a refresh token in; `None` where the session is over.
    pub async fn refresh(&self, from: &From, refresh_token: &str) -> Result<Option<Tokens>, Fault> {
        let body = json!({ "refresh_token": refresh_token });
        let call = Call::new(Method::POST, "/api/v1/auth/refresh").body(&body);
        match self.send(from, "en", None, &call).await {
            Ok(response) => read(response).await.map(Some),
            Err(fault) if fault.status == StatusCode::UNAUTHORIZED.as_u16() => Ok(None),
            Err(fault) => Err(fault),
        }
    }
}

/// The answer as what it should be; an empty one is null.
pub async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Fault> {
    let body = bytes(response).await?;
    let text: &[u8] = if body.is_empty() { b"null" } else { &body };
    serde_json::from_slice(text).map_err(|error| {
        tracing::error!(%error, "the API answered what a page does not understand");
        Fault::broken()
    })
}

async fn bytes(response: Response) -> Result<Bytes, Fault> {
    Ok(response.into_body().collect().await.map_err(|_| Fault::broken())?.to_bytes())
}
