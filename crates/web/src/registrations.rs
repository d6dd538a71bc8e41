//! My places: the list, the wizard from the hold to the bib, paying in the sandbox, and leaving.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query};
use axum::http::{HeaderValue, Method, header};
use axum::response::Response;
use axum::routing::{get, post};
use platform::http::IdPath;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::account::signed_in;
use crate::answers::{Checkout, Page, PaymentOf, Quote, Race, Registration, SouvenirChoice};
use crate::api::Call;
use crate::browser::{Browser, Web};
use crate::fault::{Fault, Result};
use crate::forms::{Fields, Form};
use crate::frame::{Frame, again, go, page};

pub fn routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/registrations", get(list))
        .route("/registrations/{id}", get(show))
        .route("/registrations/{id}/steps/{step}", post(take_step))
        .route("/registrations/{id}/leave", get(ask_to_leave).post(leave))
        .route("/registrations/{id}/qr.png", get(qr))
        .route("/registrations/{id}/calendar.ics", get(calendar))
        .route("/pay/{id}", get(checkout).post(pay))
}

fn path_of(id: Uuid) -> String {
    format!("/api/v1/registrations/{id}")
}

#[derive(Template)]
#[template(path = "registrations.html")]
struct List {
    f: Frame,
    mine: Vec<(Registration, Option<Race>)>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct After {
    cursor: Option<String>,
}

async fn list(browser: Browser, Query(after): Query<After>) -> Result<Response> {
    signed_in(&browser)?;
    let query = after.cursor.map(|cursor| serde_urlencoded::to_string([("cursor", cursor)]).unwrap_or_default());
    let path = format!("/api/v1/registrations?{}", query.unwrap_or_default());
    let all: Page<Registration> = browser.get(&path).await?;
    let mut mine = Vec::with_capacity(all.items.len());
    for registration in all.items {
        let race = browser.find(&format!("/api/v1/races/{}", registration.race_id)).await?;
        mine.push((registration, race));
    }
    let link =
        |cursor| format!("/registrations?{}", serde_urlencoded::to_string([("cursor", cursor)]).unwrap_or_default());
    Ok(page(&List { f: browser.frame(), mine, next: all.next_cursor.map(link) }))
}

#[derive(Deserialize)]
struct At {
    /// A step to go back to.
    step: Option<String>,
}

#[derive(Template)]
#[template(path = "registration.html")]
struct Show {
    f: Frame,
    r: Registration,
    race: Race,
    form: Form,
    /// The step on the screen; none where nothing is to be done.
    step: Option<&'static str>,
    /// All steps of this registration, in their order.
    steps: Vec<&'static str>,
    quote: Option<Quote>,
}

impl Show {
    fn has(&self, souvenir: &str, size: &str) -> bool {
        self.r.souvenir == Some(SouvenirChoice { id: souvenir.to_owned(), size: size.to_owned() })
    }

    fn at(&self, step: &str) -> bool {
        self.step == Some(step)
    }

    fn agreed(&self) -> bool {
        self.r.terms_version == Some(self.race.terms_version)
    }

    fn costs(&self) -> bool {
        self.steps.contains(&"payment")
    }

    /// May the person still go back to it?
    fn may_change(&self, step: &str) -> bool {
        let next = self.r.next_step.as_deref();
        let at = |name: &str| self.steps.iter().position(|known| *known == name);
        next.and_then(at) > at(step) && at(step).is_some()
    }
}

const STEPS: [&str; 5] = ["course", "terms", "souvenir", "address", "payment"];

/// The steps that a race has: without a choice there is nothing to choose, and free races are not paid.
fn steps_of(race: &Race, registration: &Registration) -> Vec<&'static str> {
    let costs = race.course(&registration.course).is_some_and(|course| course.fee_won.0 > 0);
    let has = |step: &&str| match *step {
        "course" => race.courses.len() > 1,
        "payment" => costs,
        "souvenir" => !race.souvenirs.is_empty() || registration.next_step.as_deref() == Some("souvenir"),
        _ => true,
    };
    STEPS.into_iter().filter(has).collect()
}

async fn show(browser: Browser, IdPath(id): IdPath, Query(at): Query<At>) -> Result<Response> {
    signed_in(&browser)?;
    Ok(page(&shown(&browser, id, at.step.as_deref(), None).await?))
}

async fn shown(browser: &Browser, id: Uuid, step: Option<&str>, failed: Option<Form>) -> Result<Show> {
    let r: Registration = browser.get(&path_of(id)).await?;
    let race: Race = browser.get(&format!("/api/v1/races/{}", r.race_id)).await?;
    let steps = steps_of(&race, &r);
    let next = r.next_step.as_deref();
    let place = |name: &str| STEPS.iter().position(|known| *known == name);
    let step = step.or(next).filter(|step| next.and_then(place).is_some() && place(step) <= next.and_then(place));
    let step = STEPS.into_iter().find(|known| Some(*known) == step);
    let quote = match r.state.as_str() {
        "confirmed" => browser.find(&format!("{}/refund-quote", path_of(id))).await?,
        _ => None,
    };
    let form = failed.unwrap_or_else(|| form_of(&r));
    Ok(Show { f: browser.frame(), r, race, form, step, steps, quote })
}

/// The form with what was said before.
fn form_of(r: &Registration) -> Form {
    let mut form = Form::default();
    form.fields.set("course", &r.course);
    if let Some(address) = &r.address {
        for (name, value) in [
            ("recipient", &address.recipient),
            ("phone", &address.phone),
            ("postcode", &address.postcode),
            ("line1", &address.line1),
            ("line2", &address.line2),
        ] {
            form.fields.set(name, value);
        }
    }
    form
}

async fn take_step(browser: Browser, Path((id, step)): Path<(Uuid, String)>, fields: Fields) -> Result<Response> {
    let body = match step.as_str() {
        "course" => json!({ "course": fields.text("course") }),
        "terms" => json!({ "agreed": fields.is_on("agreed"), "terms_version": fields.number("terms_version") }),
        "souvenir" => match fields.text("choice").split_once('/') {
            Some((souvenir, size)) => json!({ "souvenir_id": souvenir, "size": size }),
            None => json!({ "souvenir_id": null, "size": null }),
        },
        "address" => json!({
            "recipient": fields.text("recipient"), "phone": fields.text("phone"), "postcode": fields.text("postcode"),
            "line1": fields.text("line1"), "line2": fields.text("line2"),
        }),
        "payment" => json!({ "provider": "sandbox" }),
        _ => return Err(Fault { status: 404, code: "gateway/no-route".to_owned(), ..Fault::default() }.into()),
    };
    let path = format!("{}/steps/{step}", path_of(id));
    match browser.say::<Registration>(Method::PUT, &path, &body).await {
        Ok(registration) => Ok(go(match registration.payment.filter(|_| step == "payment") {
            Some(payment) => format!("/pay/{}", payment.id),
            None => format!("/registrations/{id}"),
        })),
        Err(fault) if fault.wants_sign_in() || fault.status == 404 => Err(fault.into()),
        Err(fault) => {
            let status = fault.status;
            // Out of turn: the screen shows whose turn it is.
            let step = Some(step.as_str()).filter(|_| !fault.is("registration/step"));
            Ok(again(status, &shown(&browser, id, step, Some(Form::failed(fields, fault))).await?))
        }
    }
}

#[derive(Template)]
#[template(path = "leave.html")]
struct Leave {
    f: Frame,
    r: Registration,
    race: Race,
    quote: Option<Quote>,
}

async fn ask_to_leave(browser: Browser, IdPath(id): IdPath) -> Result<Response> {
    let r: Registration = browser.get(&path_of(id)).await?;
    let race: Race = browser.get(&format!("/api/v1/races/{}", r.race_id)).await?;
    let quote = browser.find(&format!("{}/refund-quote", path_of(id))).await?;
    Ok(page(&Leave { f: browser.frame(), r, race, quote }))
}

async fn leave(browser: Browser, IdPath(id): IdPath, _fields: Fields) -> Result<Response> {
    browser.say::<Value>(Method::DELETE, &path_of(id), &Value::Null).await?;
    Ok(go(format!("/registrations/{id}")))
}

async fn qr(browser: Browser, IdPath(id): IdPath) -> Result<Response> {
    handed_on(&browser, &format!("{}/qr.png", path_of(id)), "image/png").await
}

async fn calendar(browser: Browser, IdPath(id): IdPath) -> Result<Response> {
    handed_on(&browser, &format!("{}/calendar.ics", path_of(id)), "text/calendar").await
}

/// A file of the API's, for a browser that has a cookie and no token.
pub async fn handed_on(browser: &Browser, path: &str, media: &str) -> Result<Response> {
    let (parts, body) = browser.send(Call::new(Method::GET, path).header(header::ACCEPT, media)).await?.into_parts();
    let mut response = Response::new(Body::new(body));
    for name in [header::CONTENT_TYPE, header::CONTENT_DISPOSITION, header::CONTENT_LENGTH] {
        if let Some(value) = parts.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

#[derive(Template)]
#[template(path = "pay.html")]
struct Pay {
    f: Frame,
    checkout: Checkout,
    registration: String,
    fault: Option<Fault>,
}

async fn pay_page(browser: &Browser, id: Uuid, fault: Option<Fault>) -> Result<Pay> {
    let payment: PaymentOf = browser.get(&format!("/api/v1/payments/{id}")).await?;
    let checkout: Checkout = browser.get(&format!("/api/v1/sandbox/payments/{id}")).await?;
    Ok(Pay { f: browser.frame(), checkout, registration: payment.subject.id, fault })
}

async fn checkout(browser: Browser, IdPath(id): IdPath) -> Result<Response> {
    Ok(page(&pay_page(&browser, id, None).await?))
}

/// The payer's choice at the sandbox, then what a provider's page does next: it sends him back to confirm.
async fn pay(browser: Browser, IdPath(id): IdPath, fields: Fields) -> Result<Response> {
    let payment: PaymentOf = browser.get(&format!("/api/v1/payments/{id}")).await?;
    let choice = json!({ "outcome": fields.text("outcome") });
    let chosen = browser.say::<Value>(Method::POST, &format!("/api/v1/sandbox/payments/{id}"), &choice).await;
    let result = match chosen {
        // A repeat: it was decided, which the confirmation will find out.
        Ok(_) => confirm(&browser, id).await,
        Err(fault) if fault.is("payments/decided") => confirm(&browser, id).await,
        Err(fault) => Err(fault),
    };
    match result {
        Ok(()) => Ok(go(format!("/registrations/{}", payment.subject.id))),
        Err(fault) => Ok(again(fault.status, &pay_page(&browser, id, Some(fault)).await?)),
    }
}

async fn confirm(browser: &Browser, id: Uuid) -> std::result::Result<(), Fault> {
    browser.say::<Value>(Method::POST, &format!("/api/v1/payments/{id}/confirm"), &json!({})).await.map(|_| ())
}
