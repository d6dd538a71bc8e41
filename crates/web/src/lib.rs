//! The pages: what a person sees in a browser, in Korean and English, made on the server.
//!
//! Owns: the browser's session cookie, forms, texts, templates and assets. Everything else it asks of the public API,
//! through the yard's own router, as any client would: with the person's token and nothing more.
//!
//! Invariants: no table, no rule, no context's crate. Every page works by links and forms; script only makes it live.
//! A form is taken from our own pages only ([`forms::Fields`]).

mod account;
mod admin;
mod answers;
mod api;
mod assets;
mod browser;
mod enter;
mod fault;
mod forms;
mod frame;
mod home;
mod inbox;
mod layer;
mod organise;
mod races;
mod registrations;
mod seal;
mod session;
mod texts;
mod why;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::browser::Web;
pub use crate::layer::pages_for_browsers;

/// What the pages need.
pub struct Deps {
    /// The yard's router, edge and gateway included: the API.
    pub api: Router,
    /// Seals cookies.
    pub key: [u8; 32],
    /// Where the yard is reached, empty where nobody said.
    pub public_url: String,
    /// The zone in which pages show and take times.
    pub utc_offset_s: i32,
}

/// The shared state of all pages.
pub fn open(deps: Deps) -> Arc<Web> {
    Arc::new(Web::new(deps))
}

/// The pages' routes, to be mounted at the root.
pub fn routes(web: &Arc<Web>) -> Router {
    let pages = Router::new()
        .route("/", get(home::home))
        .route("/language", post(home::language))
        .route("/login", get(enter::login_page).post(enter::login))
        .route("/sign-up", get(enter::sign_up_page).post(enter::sign_up))
        .route("/logout", post(enter::logout))
        .merge(races::routes())
        .merge(account::routes())
        .merge(registrations::routes())
        .merge(organise::routes())
        .merge(admin::routes())
        .merge(inbox::routes())
        .route_layer(from_fn_with_state(web.clone(), layer::with_browser))
        .with_state(web.clone());
    pages.route("/assets/{file}", get(assets::asset))
}
