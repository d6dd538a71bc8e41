//! The public operations.

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;

pub fn routes(app: Arc<App>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(crate::sign_up::sign_up, crate::search_users::search_users))
        .routes(routes!(crate::check_availability::check_availability))
        .routes(routes!(crate::login::login))
        .routes(routes!(crate::refresh::refresh))
        .routes(routes!(crate::logout::logout))
        .routes(routes!(crate::read_me::read_me, crate::edit_me::edit_me))
        .routes(routes!(crate::change_password::change_password))
        .routes(routes!(crate::list_sessions::list_sessions, crate::end_sessions::end_my_sessions))
        .routes(routes!(crate::end_sessions::end_my_session))
        .routes(routes!(crate::end_sessions::end_sessions_of))
        .routes(routes!(crate::change_role::change_role))
        .routes(routes!(crate::suspend::suspend))
        .routes(routes!(crate::send_application::send_application, crate::list_applications::list_applications))
        .routes(routes!(crate::list_applications::list_my_applications))
        .routes(routes!(crate::decide_application::decide_application))
        .routes(routes!(crate::publish_keys::publish_keys))
        .with_state(app)
}
