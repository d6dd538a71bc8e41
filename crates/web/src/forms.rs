//! Forms: taken from our own pages only, and shown again with what was wrong.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, Uri, header};
use http_body_util::{BodyExt, Limited};
use platform::http::{BODY_BYTES_MAX, Problem, codes};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::fault::Fault;
use crate::frame::Frame;
use crate::texts::fill;
use askama::Template;
use std::time::Duration;

/// The hidden field that says which session a form was made for.
const TOKEN: &str = "form_token";
/// A body that trickles in longer keeps a task for nothing.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What a form says. Exists only for forms that came from a page of this session.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// The field's text, trimmed; empty where it is absent.
    pub fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.trim())
    }

    /// As it was typed: passwords may begin with a space.
    pub fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Null where nothing was typed.
    pub fn json(&self, name: &str) -> Value {
        match self.text(name) {
            "" => Value::Null,
            text => json!(text),
        }
    }

    /// A number where it is one; else its text, which the API will refuse by the field's name.
    pub fn number(&self, name: &str) -> Value {
        let text = self.text(name);
        text.replace(',', "").parse::<i64>().map_or_else(|_| self.json(name), Value::from)
    }

    pub fn is_on(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }

    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let browser = Browser::from_request_parts(&mut parts, state).await?;
        let refused = || Problem::new(&codes::FORM);
        if !is_from_here(&parts.headers, &browser.web().public_url) {
            return Err(refused());
        }
        let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect()).await;
        let bytes = match read {
            Err(_elapsed) => return Err(Problem::new(&codes::TIMEOUT)),
            Ok(Ok(collected)) => collected.to_bytes(),
            Ok(Err(_)) => return Err(Problem::new(&codes::TOO_LARGE)),
        };
        let fields: Vec<(String, String)> =
            serde_urlencoded::from_bytes(&bytes).map_err(|_| Problem::new(&codes::UNREADABLE))?;
        let fields = Fields(fields);
        if browser.is_form_token(fields.text(TOKEN)) { Ok(fields) } else { Err(refused()) }
    }
}

/// Whether the browser says that one of our own pages sent it. A browser that says nothing is held to the token.
fn is_from_here(headers: &HeaderMap, public_url: &str) -> bool {
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("null"));
    let Some(origin) = text(header::ORIGIN) else {
        let site = headers.get("sec-fetch-site").map(|value| value.to_str().unwrap_or_default());
        return matches!(site, None | Some("same-origin" | "none"));
    };
    let authority = |url: &str| url.parse::<Uri>().ok()?.authority().map(ToString::to_string);
    let Some(origin) = authority(origin) else {
        return false;
    };
    text(header::HOST) == Some(origin.as_str()) || authority(public_url).is_some_and(|own| own == origin)
}

/// A form on a page: what was typed, and what was wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Form {
    pub fields: Fields,
    pub fault: Option<Fault>,
}

impl Form {
    pub fn failed(fields: Fields, fault: Fault) -> Self {
        Self { fields, fault: Some(fault) }
    }

    pub fn value(&self, name: impl AsRef<str>) -> &str {
        self.fields.text(name.as_ref())
    }

    pub fn is(&self, name: impl AsRef<str>, value: &str) -> bool {
        self.value(name) == value
    }

    /// What is wrong with a field, in the page's language.
    pub fn wrong(&self, f: &Frame, name: &str) -> Option<String> {
        let fault = self.fault.as_ref()?.errors.iter().find(|error| error.field == name)?;
        let t = f.t;
        Some(match (f.lang, fault.code.as_str()) {
            (_, "required" | "blank") => t.wrong_required.to_owned(),
            (_, "past") => t.wrong_past.to_owned(),
            (_, "order") => t.wrong_order.to_owned(),
            (_, "shape") => t.wrong_shape.to_owned(),
            ("en", _) => fault.message.clone(),
            _ => fill(t.wrong_other, &[&fault.message]),
        })
    }

    /// A labelled input. `attributes` are our own words, never a person's.
    pub fn input(&self, f: &Frame, name: impl AsRef<str>, label: &str, kind: &str, attributes: &str) -> String {
        let name = name.as_ref();
        let value = if kind == "password" { "" } else { self.value(name) };
        self.render(f, "input", name, label, kind, attributes, value)
    }

    pub fn area(&self, f: &Frame, name: &str, label: &str, attributes: &str) -> String {
        self.render(f, "area", name, label, "", attributes, self.value(name))
    }

    #[expect(clippy::too_many_arguments, reason = "a field's markup needs all of it")]
    fn render(
        &self,
        f: &Frame,
        shape: &str,
        name: &str,
        label: &str,
        kind: &str,
        attributes: &str,
        value: &str,
    ) -> String {
        let id = name.replace(['[', ']', '.'], "-");
        let wrong = self.wrong(f, name);
        let field = FieldPart { shape, id: &id, name, label, kind, attributes, value, wrong };
        field.render().unwrap_or_default()
    }
}

#[derive(Template)]
#[template(path = "parts/field.html")]
struct FieldPart<'a> {
    shape: &'a str,
    id: &'a str,
    name: &'a str,
    label: &'a str,
    kind: &'a str,
    attributes: &'a str,
    value: &'a str,
    wrong: Option<String>,
}
