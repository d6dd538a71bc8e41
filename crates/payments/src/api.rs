//! The routes of payments.

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::{App, confirm, list_reconciliations, pay_in_sandbox, read, receive_webhook, reconcile};

pub fn routes(app: &Arc<App>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(read::read))
        .routes(routes!(confirm::confirm))
        .routes(routes!(receive_webhook::receive))
        .routes(routes!(pay_in_sandbox::look))
        .routes(routes!(pay_in_sandbox::choose))
        .routes(routes!(reconcile::run))
        .routes(routes!(list_reconciliations::list))
        .with_state(app.clone())
}
