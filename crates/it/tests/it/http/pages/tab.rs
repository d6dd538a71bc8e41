//! A browser's tab without script.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::support::app::{App, PASSWORD};
use crate::support::wait::until;

#[derive(Clone)]
pub struct Tab<'a> {
    app: &'a App,
    language: &'static str,
    pub cookie: String,
    /// The hidden field of the last page that had forms.
    pub token: String,
    /// Of the forms it sends; its own yard's where nothing is said.
    pub origin: Option<String>,
}

/// What a tab shows.
pub struct Shown {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Where it is, after all redirects.
    pub path: String,
    pub html: String,
}

impl Shown {
    /// The value of the first field of this name.
    pub fn value_of(&self, name: &str) -> String {
        let field = self.html.split(&format!("name=\"{name}\"")).nth(1);
        let value = field.and_then(|rest| rest.split("value=\"").nth(1)).and_then(|rest| rest.split('"').next());
        value.unwrap_or_else(|| panic!("no field {name} in {}", self.html)).to_owned()
    }

    /// The first address that ends so.
    pub fn link_to(&self, end: &str) -> String {
        let links = self.html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
        links.into_iter().find(|link| link.ends_with(end)).expect("a link").to_owned()
    }
}

impl<'a> Tab<'a> {
    pub fn new(app: &'a App, language: &'static str) -> Self {
        Self { app, language, cookie: String::new(), token: String::new(), origin: None }
    }

    pub async fn login(&mut self, username: &str) {
        self.get("/login").await;
        let at = self.send("/login", &[("username", username), ("password", PASSWORD)]).await;
        assert_eq!((at.status, at.path.as_str()), (StatusCode::OK, "/"), "{}", at.html);
    }

    pub async fn get(&mut self, path: &str) -> Shown {
        self.go(Method::GET, path, String::new()).await
    }

    /// Sends a form.
    pub async fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> Shown {
        let token = self.token.clone();
        let fields = fields.iter().copied().chain([("form_token", token.as_str())]);
        let body: Vec<String> = fields.map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
        self.go(Method::POST, path, body.join("&")).await
    }

    /// Loads the page again until it says so.
    pub async fn until(&self, path: &str, text: &str) -> Shown {
        until(text, Duration::from_secs(30), async || {
            let shown = self.clone().get(path).await;
            shown.html.contains(text).then_some(shown)
        })
        .await
    }

    async fn go(&mut self, method: Method, path: &str, body: String) -> Shown {
        let (mut method, mut path, mut body) = (method, path.to_owned(), body);
        for _redirect in 0..5 {
            let mut request = Request::builder().method(&method).uri(&path).header(header::HOST, "yard.test");
            request = request.header(header::ACCEPT, "text/html").header(header::ACCEPT_LANGUAGE, self.language);
            request = request.header(header::COOKIE, &self.cookie);
            if method == Method::POST {
                let origin = self.origin.as_deref().unwrap_or("http://yard.test");
                request = request.header(header::ORIGIN, origin);
                request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            }
            let request = request.body(Body::from(std::mem::take(&mut body))).unwrap();
            let response = self.app.yard.router().oneshot(request).await.unwrap();
            let (parts, content) = response.into_parts();
            if let Some(cookie) = parts.headers.get(header::SET_COOKIE) {
                let cookie = cookie.to_str().unwrap();
                assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
                self.cookie = cookie.split(';').next().unwrap().to_owned();
            }
            if parts.status.is_redirection() {
                path = parts.headers[header::LOCATION].to_str().unwrap().to_owned();
                method = Method::GET;
                continue;
            }
            let content = content.collect().await.unwrap().to_bytes();
            let html = String::from_utf8_lossy(&content).into_owned();
            let shown = Shown { status: parts.status, headers: parts.headers, path, html };
            if shown.html.contains("name=\"form_token\"") {
                self.token = shown.value_of("form_token");
            }
            return shown;
        }
        panic!("{path} leads in circles");
    }
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
