//! The routes of notify.

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::{App, delete, deliveries, list, mark_read, preferences, stream, texts, unread};

pub fn routes(app: &Arc<App>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(unread::count))
        .routes(routes!(stream::watch))
        .routes(routes!(mark_read::all))
        .routes(routes!(mark_read::one))
        .routes(routes!(delete::delete))
        .routes(routes!(preferences::read, preferences::change))
        .routes(routes!(texts::list))
        .routes(routes!(texts::change))
        .routes(routes!(texts::preview))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::resend))
        .with_state(app.clone())
}
