//! `/api/v1/admin/deliveries`: what went out, what did not and why, and once more by an admin's hand.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kernel::{Cursor, Page, UserId, UtcTime};
use platform::audit;
use platform::http::auth::Admin;
use platform::http::{IdPath, ListQuery, Problem, Result, codes};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::App;
use crate::store::deliveries::{self, DeliveryRow};

#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    Queued,
    Sent,
    /// It is tried again.
    Failed,
    Suppressed,
    /// It was tried often enough.
    Dead,
}

impl DeliveryState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Suppressed => "suppressed",
            Self::Dead => "dead",
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub struct DeliveryBody {
    /// Said to the receiver too.
    id: Uuid,
    /// Null for the operators' channel.
    user_id: Option<UserId>,
    /// `email`, `slack` or `operators`.
    channel: String,
    kind: String,
    #[schema(value_type = DeliveryState)]
    state: String,
    /// Why it was not sent.
    reason: Option<String>,
    tries: i64,
    /// When it is tried next; null where it is not.
    due_at: Option<UtcTime>,
    created_at: UtcTime,
    changed_at: UtcTime,
}

impl From<DeliveryRow> for DeliveryBody {
    fn from(row: DeliveryRow) -> Self {
        let is_due = matches!(row.state.as_str(), "queued" | "failed");
        Self {
            id: row.id,
            user_id: row.user_id.map(UserId),
            channel: row.channel,
            kind: row.kind,
            reason: row.reason,
            tries: row.tries,
            due_at: is_due.then_some(UtcTime(row.due_ms)),
            created_at: UtcTime(row.created_ms),
            changed_at: UtcTime(row.changed_ms),
            state: row.state,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filters {
    #[param(inline)]
    state: Option<DeliveryState>,
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    cursor: Option<String>,
}

/// Deliveries outside the yard (admins), newest first.
#[utoipa::path(get, path = "/api/v1/admin/deliveries", operation_id = "list_deliveries", tag = "notices",
    params(Filters), responses((status = 200, body = Page<DeliveryBody>)), security(("bearer" = [])))]
pub async fn list(
    State(app): State<Arc<App>>,
    Admin(_caller): Admin,
    ListQuery(filters): ListQuery<Filters>,
) -> Result<Json<Page<DeliveryBody>>> {
    let limit = ListQuery::limit(filters.limit)?;
    let after = ListQuery::cursor(filters.cursor.as_deref())?;
    let state = filters.state.map(DeliveryState::as_str);
    let rows = deliveries::page(&app.db, state, after, limit).await?;
    let page = Page::cut(rows, limit, |row| Cursor { key: 0, id: row.id });
    Ok(Json(Page { items: page.items.into_iter().map(Into::into).collect(), next_cursor: page.next_cursor }))
}

/// Send a delivery once more (admins), with the same id.
///
/// One that waits to be sent stays as it is.
#[utoipa::path(post, path = "/api/v1/admin/deliveries/{id}/resend", operation_id = "resend_delivery", tag = "notices",
    params(("id" = Uuid, Path)), responses((status = 200, body = DeliveryBody)), security(("bearer" = [])))]
pub async fn resend(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    IdPath(id): IdPath,
) -> Result<Json<DeliveryBody>> {
    let row = app
        .db
        .write(move |tx| {
            Box::pin(async move {
                let missing = || Problem::new(&codes::NOT_FOUND);
                let before = deliveries::find(tx, id).await?.ok_or_else(missing)?;
                deliveries::resend(tx, id, tx.now_ms().await?).await?;
                let after = deliveries::find(tx, id).await?.ok_or_else(missing)?;
                let entry = audit::Entry {
                    actor: Some(caller.user),
                    action: "delivery.resend",
                    subject: id.to_string(),
                    reason: None,
                    before: json!({ "state": before.state, "tries": before.tries }),
                    after: json!({ "state": after.state, "tries": after.tries }),
                };
                audit::record(tx, entry).await?;
                Ok::<_, Problem>(after)
            })
        })
        .await?;
    Ok(Json(row.into()))
}
