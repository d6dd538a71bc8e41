//! My page and my account: profile, password, sign-ins, applying to be an organiser.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use platform::http::IdPath;
use serde_json::{Value, json};

use crate::answers::{Application, Me, Page, SignIn};
use crate::browser::{Browser, Web};
use crate::fault::{Fault, Result};
use crate::forms::{Fields, Form};
use crate::frame::{Frame, again, go, page};

pub fn routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/me", get(me))
        .route("/account", get(account).post(edit))
        .route("/account/password", post(change_password))
        .route("/account/sessions/{id}/end", post(end_session))
        .route("/account/sessions/end", post(end_all))
        .route("/account/organiser", get(application).post(apply))
}

/// Whoever is signed in; else the way to the login.
pub fn signed_in(browser: &Browser) -> Result<Me> {
    let nobody = || Fault { status: 401, code: "auth/required".to_owned(), ..Fault::default() };
    Ok(browser.me().ok_or_else(nobody)?)
}

#[derive(Template)]
#[template(path = "me.html")]
struct MePage {
    f: Frame,
    me: Me,
}

async fn me(browser: Browser) -> Result<Response> {
    let me = signed_in(&browser)?;
    Ok(page(&MePage { f: browser.frame(), me }))
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    f: Frame,
    profile: Form,
    password: Form,
    sessions: Vec<SignIn>,
}

async fn account(browser: Browser) -> Result<Response> {
    Ok(page(&account_page(&browser, None, Form::default()).await?))
}

async fn account_page(browser: &Browser, profile: Option<Form>, password: Form) -> Result<AccountPage> {
    let me = signed_in(browser)?;
    let sessions: Page<SignIn> = browser.get("/api/v1/users/me/sessions?limit=100").await?;
    let profile = profile.unwrap_or_else(|| profile_of(&me));
    Ok(AccountPage { f: browser.frame(), profile, password, sessions: sessions.items })
}

fn profile_of(me: &Me) -> Form {
    let mut form = Form::default();
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    for (name, value) in [
        ("name", me.name.clone()),
        ("nickname", me.nickname.clone()),
        ("email", optional(&me.email)),
        ("phone", optional(&me.phone)),
        ("birth_date", optional(&me.birth_date)),
    ] {
        form.fields.set(name, value);
    }
    form
}

async fn edit(browser: Browser, fields: Fields) -> Result<Response> {
    let mut change = json!({
        "name": fields.text("name"), "nickname": fields.text("nickname"),
        "phone": fields.json("phone"), "birth_date": fields.json("birth_date"),
    });
    if fields.is_on("email") {
        change["email"] = fields.json("email");
    }
    match browser.say::<Value>(Method::PATCH, "/api/v1/users/me", &change).await {
        Ok(_) => Ok(go("/account")),
        Err(fault) if fault.wants_sign_in() => Err(fault.into()),
        Err(fault) => {
            let status = fault.status;
            let failed = Some(Form::failed(fields, fault));
            Ok(again(status, &account_page(&browser, failed, Form::default()).await?))
        }
    }
}

async fn change_password(browser: Browser, fields: Fields) -> Result<Response> {
    let change = json!({ "current": fields.raw("current"), "new": fields.raw("new") });
    match browser.say::<Value>(Method::PUT, "/api/v1/users/me/password", &change).await {
        Ok(_) => Ok(go("/account")),
        Err(fault) if fault.wants_sign_in() => Err(fault.into()),
        Err(fault) => {
            let status = fault.status;
            Ok(again(status, &account_page(&browser, None, Form::failed(fields, fault)).await?))
        }
    }
}

async fn end_session(browser: Browser, IdPath(id): IdPath, _fields: Fields) -> Result<Response> {
    browser.say::<Value>(Method::DELETE, &format!("/api/v1/users/me/sessions/{id}"), &Value::Null).await?;
    Ok(go("/account"))
}

async fn end_all(browser: Browser, _fields: Fields) -> Result<Response> {
    browser.say::<Value>(Method::DELETE, "/api/v1/users/me/sessions", &Value::Null).await?;
    browser.begin(None);
    Ok(go("/login"))
}

#[derive(Template)]
#[template(path = "application.html")]
struct ApplicationPage {
    f: Frame,
    form: Form,
    sent: Vec<Application>,
}

async fn application_page(browser: &Browser, form: Form) -> Result<ApplicationPage> {
    signed_in(browser)?;
    let sent: Page<Application> = browser.get("/api/v1/users/me/company-applications").await?;
    Ok(ApplicationPage { f: browser.frame(), form, sent: sent.items })
}

async fn application(browser: Browser) -> Result<Response> {
    Ok(page(&application_page(&browser, Form::default()).await?))
}

async fn apply(browser: Browser, fields: Fields) -> Result<Response> {
    let body = json!({ "name": fields.text("name"), "description": fields.text("description") });
    match browser.say::<Value>(Method::POST, "/api/v1/company-applications", &body).await {
        Ok(_) => Ok(go("/account/organiser")),
        Err(fault) => Ok(again(fault.status, &application_page(&browser, Form::failed(fields, fault)).await?)),
    }
}
