//! The organiser's pages: races of his own, creating and editing, who registered, the funnel, and his hand on the sale.

mod edit;
mod hand;
mod intake;
mod registrants;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use platform::http::IdPath;
use uuid::Uuid;

use crate::account::signed_in;
use crate::answers::{Funnel, Offer, Page, Race};
use crate::browser::{Browser, Web};
use crate::fault::{Fault, Result};
use crate::forms::Form;
use crate::frame::{Frame, page};
use crate::races::race_path;

pub fn routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/organise", get(own_races))
        .route("/organise/new", get(edit::new).post(edit::create))
        .route("/organise/{id}", get(dashboard))
        .route("/organise/{id}/edit", get(edit::edit_page).post(edit::edit))
        .route("/organise/{id}/registrants", get(registrants::list))
        .route("/organise/{id}/registrants.csv", get(registrants::csv))
        .route("/organise/{id}/offer", post(hand::adjust))
        .route("/organise/{id}/assign", post(hand::assign))
        .route("/organise/{id}/cancel", post(hand::cancel))
}

#[derive(Template)]
#[template(path = "organise/races.html")]
struct OwnRaces {
    f: Frame,
    races: Vec<Race>,
}

async fn own_races(browser: Browser) -> Result<Response> {
    let me = signed_in(&browser)?;
    let races: Page<Race> = browser.get(&format!("/api/v1/races?owner={}&limit=100", me.id)).await?;
    Ok(page(&OwnRaces { f: browser.frame(), races: races.items }))
}

#[derive(Template)]
#[template(path = "organise/race.html")]
struct Dashboard {
    f: Frame,
    race: Race,
    offer: Offer,
    funnel: Funnel,
    curve: String,
    form: Form,
}

async fn dashboard(browser: Browser, IdPath(id): IdPath) -> Result<Response> {
    Ok(page(&dashboard_of(&browser, id, Form::default()).await?))
}

async fn dashboard_of(browser: &Browser, id: Uuid, form: Form) -> Result<Dashboard> {
    signed_in(browser)?;
    let race: Race = browser.get(&race_path(id)).await?;
    let offer: Offer = browser.get(&format!("{}/offer", race_path(id))).await?;
    let funnel: Funnel = browser.get(&format!("{}/funnel", race_path(id))).await?;
    let curve = intake::curve(&funnel);
    Ok(Dashboard { f: browser.frame(), race, offer, funnel, curve, form })
}

/// A fault that the form it came from cannot show.
fn is_final(fault: &Fault) -> bool {
    fault.wants_sign_in() || matches!(fault.status, 403 | 404)
}
