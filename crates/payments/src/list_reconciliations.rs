//! `GET /api/v1/admin/reconciliations`: the days that were compared, with what differed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kernel::{Cursor, Page, PaymentId, UtcTime, Won};
use platform::http::auth::Admin;
use platform::http::{ListQuery, Result};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::App;
use crate::reconcile::day_of;
use crate::store::reconciliations::{self, Difference, Run};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ReconciliationQuery {
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct ReconciliationBody {
    id: Uuid,
    provider: String,
    #[schema(format = Date, example = "2026-11-24")]
    day: String,
    /// Movements on the provider's statement.
    entries: i64,
    /// What the provider took less what it gave back that day, by its statement.
    provider_won: Won,
    /// The same by our ledger.
    ledger_won: Won,
    difference_count: i64,
    /// At most a thousand of them.
    differences: Vec<DifferenceBody>,
    run_at: UtcTime,
}

/// A payment of which somebody says something else, in all and not only that day.
#[derive(Serialize, ToSchema)]
pub struct DifferenceBody {
    /// `unknown_here`: no payment of ours; `missing_here`: not in our ledger; `missing_there`: the provider has nothing;
    /// `amount`.
    kind: String,
    payment_id: Option<PaymentId>,
    provider_key: String,
    provider_won: Won,
    ledger_won: Won,
    intent_won: Won,
}

impl ReconciliationBody {
    pub fn new(run: &Run, differences: &[Difference], offset_s: i32) -> Self {
        let body = |one: &Difference| DifferenceBody {
            kind: one.kind.clone(),
            payment_id: one.payment_id.map(PaymentId),
            provider_key: one.provider_key.clone(),
            provider_won: Won(one.provider_won),
            ledger_won: Won(one.ledger_won),
            intent_won: Won(one.intent_won),
        };
        Self {
            id: run.id,
            provider: run.provider.clone(),
            day: day_of(run.from_ms, offset_s).to_string(),
            entries: run.entries,
            provider_won: Won(run.provider_won),
            ledger_won: Won(run.ledger_won),
            difference_count: run.differences,
            differences: differences.iter().map(body).collect(),
            run_at: UtcTime(run.run_ms),
        }
    }
}

/// Reconciliations (admins), the newest day first.
#[utoipa::path(get, path = "/api/v1/admin/reconciliations", operation_id = "list_reconciliations", tag = "payments",
    params(ReconciliationQuery), responses((status = 200, body = Page<ReconciliationBody>)), security(("bearer" = [])))]
pub async fn list(
    State(app): State<Arc<App>>,
    Admin(_caller): Admin,
    ListQuery(query): ListQuery<ReconciliationQuery>,
) -> Result<Json<Page<ReconciliationBody>>> {
    let limit = ListQuery::limit(query.limit)?;
    let after = ListQuery::cursor(query.cursor.as_deref())?;
    let runs = reconciliations::page(&app.db, after, limit).await?;
    let page = Page::cut(runs, limit, |run| Cursor { key: run.from_ms, id: run.id });
    let found = reconciliations::differences(&app.db, &page.items).await?;
    let body = |run: &Run| {
        let own: Vec<_> = found.iter().filter(|one| one.reconciliation_id == run.id).cloned().collect();
        ReconciliationBody::new(run, &own, app.config.offset_s)
    };
    Ok(Json(Page { items: page.items.iter().map(body).collect(), next_cursor: page.next_cursor }))
}
