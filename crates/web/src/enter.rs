//! Sign-up, login, logout.

use askama::Template;
use axum::extract::Query;
use axum::http::Method;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::fault::{Fault, Result};
use crate::forms::{Fields, Form};
use crate::frame::{Frame, again, go, own_path, page};
use crate::session::Tokens;

#[derive(Default, Deserialize)]
pub struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    f: Frame,
    form: Form,
}

#[derive(Template)]
#[template(path = "sign_up.html")]
struct SignUpPage {
    f: Frame,
    form: Form,
}

/// An empty form that remembers where to go afterwards.
fn beginning(next: &Next) -> Form {
    let mut form = Form::default();
    form.fields.set("next", own_path(&next.next));
    form
}

pub async fn login_page(browser: Browser, Query(next): Query<Next>) -> Response {
    page(&LoginPage { f: browser.frame(), form: beginning(&next) })
}

pub async fn login(browser: Browser, fields: Fields) -> Result<Response> {
    match enter(&browser, &fields).await {
        Ok(()) => Ok(go(own_path(fields.text("next")))),
        Err(fault) => Ok(again(fault.status, &LoginPage { f: browser.frame(), form: Form::failed(fields, fault) })),
    }
}

/// Begins a session of its own for whoever proves who he is.
async fn enter(browser: &Browser, fields: &Fields) -> std::result::Result<(), Fault> {
    let body = json!({ "username": fields.text("username"), "password": fields.raw("password") });
    browser.begin(None);
    let tokens: Tokens = browser.say(Method::POST, "/api/v1/auth/login", &body).await?;
    browser.begin(Some(tokens));
    Ok(())
}

pub async fn sign_up_page(browser: Browser, Query(next): Query<Next>) -> Response {
    page(&SignUpPage { f: browser.frame(), form: beginning(&next) })
}

pub async fn sign_up(browser: Browser, fields: Fields) -> Result<Response> {
    let body = json!({
        "username": fields.text("username"), "password": fields.raw("password"), "name": fields.text("name"),
        "nickname": fields.text("nickname"), "email": fields.text("email"),
    });
    let chosen = browser.language();
    if let Err(fault) = browser.say::<Value>(Method::POST, "/api/v1/users", &body).await {
        return Ok(again(fault.status, &SignUpPage { f: browser.frame(), form: Form::failed(fields, fault) }));
    }
    enter(&browser, &fields).await?;
    let language = json!({ "language": chosen });
    browser.say::<Value>(Method::PATCH, "/api/v1/users/me", &language).await?;
    Ok(go(own_path(fields.text("next"))))
}

pub async fn logout(browser: Browser, _fields: Fields) -> Response {
    // Why the outcome does not matter: the cookie goes either way.
    browser.say::<Value>(Method::POST, "/api/v1/auth/logout", &Value::Null).await.ok();
    browser.begin(None);
    go("/")
}
