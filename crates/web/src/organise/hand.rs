//! The organiser's hand on a running sale. Each act has a reason, which the public log's readers may ask for.

use axum::http::Method;
use axum::response::Response;
use platform::http::IdPath;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{dashboard_of, is_final};
use crate::browser::Browser;
use crate::fault::{Fault, Result};
use crate::forms::{Fields, Form};
use crate::frame::{again, go};
use crate::races::race_path;

pub async fn adjust(browser: Browser, IdPath(id): IdPath, fields: Fields) -> Result<Response> {
    let mut body = json!({ "reason": fields.text("reason") });
    if fields.is_on("capacity") || fields.is_on("held_back") {
        body["course"] = fields.json("course");
        for name in ["capacity", "held_back"].into_iter().filter(|name| fields.is_on(name)) {
            body[name] = fields.number(name);
        }
    }
    match fields.text("act") {
        "pause" => body["paused"] = json!(true),
        "resume" => body["paused"] = json!(false),
        "close" => body["closes_at"] = json!("1970-01-01T00:00:00.000Z"),
        _ => {}
    }
    let said = browser.say::<Value>(Method::PUT, &format!("{}/offer", race_path(id)), &body).await;
    done(&browser, id, fields, said.map(|_| ())).await
}

pub async fn assign(browser: Browser, IdPath(id): IdPath, fields: Fields) -> Result<Response> {
    let mut body = json!({ "username": fields.text("username"), "reason": fields.text("reason") });
    if fields.is_on("course") {
        body["course"] = fields.json("course");
    }
    let said = browser.say::<Value>(Method::POST, &format!("{}/offer/assignments", race_path(id)), &body).await;
    done(&browser, id, fields, said.map(|_| ())).await
}

pub async fn cancel(browser: Browser, IdPath(id): IdPath, fields: Fields) -> Result<Response> {
    let body = json!({ "reason": fields.text("reason") });
    let said = browser.say::<Value>(Method::POST, &format!("{}/cancellation", race_path(id)), &body).await;
    done(&browser, id, fields, said.map(|_| ())).await
}

async fn done(browser: &Browser, id: Uuid, fields: Fields, said: std::result::Result<(), Fault>) -> Result<Response> {
    match said {
        Ok(()) => Ok(go(format!("/organise/{id}"))),
        // Nobody of that name is a fault of the form, though its status says 404.
        Err(fault) if is_final(&fault) && !fault.is("races/no-such-user") => Err(fault.into()),
        Err(fault) => Ok(again(fault.status, &dashboard_of(browser, id, Form::failed(fields, fault)).await?)),
    }
}
