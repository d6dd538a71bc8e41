//! Around the pages: who is looking before, the cookie after, and a page where a browser would get a problem.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt;

use crate::browser::{Browser, Web};
use crate::fault::{Fault, PROBLEM_JSON};
use crate::frame::{Frame, go, page_with};

/// Reads who is looking; for the pages' own routes.
pub async fn with_browser(State(web): State<Arc<Web>>, mut request: Request, next: Next) -> Response {
    let browser = Browser::of(&web, &request);
    let browser = browser.recognise().await;
    request.extensions_mut().insert(browser.clone());
    let mut response = next.run(request).await;
    browser.dress(&mut response);
    response.extensions_mut().insert(browser);
    response
}

/// Outside the edge: a problem becomes a page where the asker is a browser.
pub async fn pages_for_browsers(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    if !wants_page(request.headers()) {
        return next.run(request).await;
    }
    let (method, asker) = (request.method().clone(), Browser::of(&web, &request));
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE).map(|value| value.as_bytes());
    if kind != Some(PROBLEM_JSON.as_bytes()) {
        return response;
    }
    let browser = match response.extensions().get::<Browser>() {
        Some(browser) => browser.clone(),
        None => asker.recognise().await,
    };
    problem_page(&browser, &method, response).await
}

fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    f: Frame,
    fault: Fault,
}

async fn problem_page(browser: &Browser, method: &Method, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map(|collected| collected.to_bytes()).unwrap_or_default();
    let mut fault: Fault = serde_json::from_slice(&bytes).unwrap_or_else(|_| Fault::broken());
    if fault.wants_sign_in() {
        let back = if method == Method::GET { browser.path() } else { "/" };
        let query = serde_urlencoded::to_string([("next", back)]).unwrap_or_default();
        let mut response = go(format!("/login?{query}"));
        browser.dress(&mut response);
        return response;
    }
    let status = parts.status;
    let f = browser.frame();
    if let Some(title) = title_of(&f, &fault) {
        title.clone_into(&mut fault.title);
    }
    let mut page = page_with(status, &ProblemPage { f, fault });
    for name in [header::RETRY_AFTER, header::ALLOW, http::HeaderName::from_static("x-request-id")] {
        if let Some(value) = parts.headers.get(&name) {
            page.headers_mut().insert(name, value.clone());
        }
    }
    browser.dress(&mut page);
    page
}

/// The edge spoke the language that the browser accepts, which need not be the one its person chose.
fn title_of<'a>(f: &'a Frame, fault: &Fault) -> Option<&'a str> {
    match (fault.code.as_str(), StatusCode::from_u16(fault.status).ok()?) {
        ("gateway/no-route" | "http/not-found" | "admission/not-found", _) => Some(f.t.problem_not_found),
        ("auth/role", _) => Some(f.t.problem_role),
        ("http/form", _) => Some(f.t.problem_form),
        ("http/internal", _) => Some(f.t.problem_internal),
        ("http/unavailable", _) => Some(f.t.problem_busy),
        _ => None,
    }
}
