//! `GET /api/v1/registrations/{id}/refund-quote`: what would come back if its owner left now.

use axum::Json;
use axum::extract::State;
use kernel::{ClaimId, UtcTime, Won};
use orderlog::ReturnReason;
use platform::http::auth::Claimant;
use platform::http::{IdPath, Problem, Result, codes};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Races;
use crate::model::quote;
use crate::store::registrations;

#[derive(Debug, Serialize, ToSchema)]
pub struct RefundQuote {
    pub amount_won: Won,
    pub percent: i64,
    /// Until when this holds; null after the last rule.
    pub rule_until: Option<UtcTime>,
}

/// What comes back.
///
/// By the race's refund rules, of what was paid. Nothing was paid: 0.
#[utoipa::path(get, path = "/api/v1/registrations/{id}/refund-quote", operation_id = "quote_refund",
    tag = "registrations", params(("id" = Uuid, Path)),
    responses((status = 200, body = RefundQuote)), security(("bearer" = [])))]
pub async fn read(
    State(races): State<Races>,
    Claimant(caller): Claimant,
    IdPath(id): IdPath,
) -> Result<Json<RefundQuote>> {
    let row = registrations::find(&races.db, ClaimId(id)).await?.filter(|row| row.user == caller.user);
    let row = row.ok_or_else(|| Problem::new(&codes::NOT_FOUND))?;
    let paid = row.progress.payment.as_ref().filter(|had| had.state == "captured" && row.state.open());
    let paid = paid.map_or(Won(0), |had| Won(had.amount.0 - had.refunded.0));
    let due = quote(&row.refund_rules, paid, ReturnReason::Released, races.clock.now_ms());
    Ok(Json(RefundQuote { amount_won: due.amount, percent: due.percent, rule_until: due.until_ms.map(UtcTime) }))
}
