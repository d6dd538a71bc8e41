//! What payments answer to other parts.

use std::sync::Arc;

use axum::Router;
use kernel::contracts::payments::{OpenPayment, PaymentsOf, RefundPayment, SettlePayment, VoidPayment};
use platform::peers::answers;

use crate::{App, of, open, refund, settle, void};

pub fn routes(app: &Arc<App>) -> Router {
    let router = answers::<OpenPayment, _, _, _>(Router::new(), open::open);
    let router = answers::<VoidPayment, _, _, _>(router, void::void);
    let router = answers::<SettlePayment, _, _, _>(router, settle::ask);
    let router = answers::<RefundPayment, _, _, _>(router, refund::refund);
    let router = answers::<PaymentsOf, _, _, _>(router, of::of);
    router.with_state(app.clone())
}
