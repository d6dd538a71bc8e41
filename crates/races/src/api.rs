//! The routes of races.

use axum::middleware::from_fn;
use kernel::RaceId;
use platform::admission::{log_document, log_routes};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::{
    Races, adjust, assign, cancel, claim, create, delete, edit, funnel, leave, list, list_messages, meter, mine, quote,
    read, registrants, rehearse, send_message, steps, store, ticket, watch, withdraw,
};

const PREFIX: &str = "/api/v1/races";

pub fn routes(races: &Races) -> OpenApiRouter {
    let for_log = races.clone();
    let log = log_routes(&races.admission, PREFIX, move |id| {
        let races = for_log.clone();
        Box::pin(async move { Ok(store::offer_of(&races.db, RaceId(id)).await?) })
    });
    OpenApiRouter::new()
        .routes(routes!(create::create))
        .routes(routes!(list::list))
        .routes(routes!(read::read))
        .routes(routes!(watch::watch))
        .routes(routes!(edit::edit))
        .routes(routes!(delete::delete))
        .routes(routes!(cancel::cancel))
        .routes(routes!(adjust::read))
        .routes(routes!(adjust::adjust))
        .routes(routes!(assign::assign))
        .routes(routes!(claim::claim))
        .routes(routes!(registrants::list))
        .routes(routes!(funnel::read))
        .routes(routes!(send_message::send))
        .routes(routes!(list_messages::list))
        .routes(routes!(mine::list))
        .routes(routes!(mine::read))
        .routes(routes!(leave::leave))
        .merge(steps())
        .routes(routes!(quote::read))
        .routes(routes!(ticket::qr))
        .routes(routes!(ticket::calendar))
        .routes(routes!(withdraw::withdraw))
        .routes(routes!(rehearse::begin))
        .routes(routes!(rehearse::tokens))
        .with_state(races.clone())
        .merge(OpenApiRouter::from(log))
        .merge(OpenApiRouter::with_openapi(log_document(PREFIX, "order log")))
}

fn steps() -> OpenApiRouter<Races> {
    OpenApiRouter::new()
        .routes(routes!(steps::course::change))
        .routes(routes!(steps::terms::agree))
        .routes(routes!(steps::souvenir::choose))
        .routes(routes!(steps::address::set))
        .routes(routes!(steps::payment::open))
        .route_layer(from_fn(meter::count_refusals))
}
