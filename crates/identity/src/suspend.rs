//! Suspending an account ("ban") and letting it in again.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use kernel::contracts::identity::Revoked;
use kernel::{Role, UserId};
use platform::audit;
use platform::db::Tx;
use platform::http::auth::Manager;
use platform::http::{Body, IdPath, IfMatch, Problem, Result};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::change_role::subordinate;
use crate::model::{Account, Reason};
use crate::search_users::UserItem;
use crate::{App, error, store};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Suspension {
    #[garde(skip)]
    banned: bool,
    /// Required to ban; kept in the audit log.
    #[garde(dive)]
    #[schema(inline)]
    reason: Option<Reason>,
}

#[utoipa::path(
    put, path = "/api/v1/users/{id}/ban", tag = "identity", summary = "Ban or unban somebody (managers)",
    description = "A ban ends all sessions at once. Managers ban those below them, admins anybody but themselves.",
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "The version the change was made from")),
    request_body = Suspension, security(("bearer" = [])),
    responses((status = 200, body = UserItem))
)]
pub async fn suspend(
    State(app): State<Arc<App>>,
    Manager(caller): Manager,
    IdPath(id): IdPath,
    if_match: IfMatch,
    body: Body<Suspension>,
) -> Result<Json<UserItem>> {
    let Suspension { banned, reason } = body.value;
    if banned && reason.is_none() {
        return Err(Problem::field("reason", "required", "a ban has a reason"));
    }
    let reason = reason.map(String::from);
    let (account, revoked) = app
        .db
        .write(move |tx| {
            Box::pin(async move {
                let mut account = subordinate(tx, caller.user, UserId(id), Role::Manager).await?;
                if !account.is_banned_by(caller.role) {
                    return Err(Problem::new(&error::RANK));
                }
                if_match.check(account.version)?;
                let revoked = set_banned(tx, &mut account, banned, reason, caller.user).await?;
                Ok((account, revoked))
            })
        })
        .await?;
    app.revocations.apply(revoked.as_slice());
    Ok(Json(UserItem::from(account)))
}

async fn set_banned(
    tx: &Tx,
    account: &mut Account,
    banned: bool,
    reason: Option<String>,
    by: UserId,
) -> Result<Option<Revoked>> {
    if account.is_banned() == banned {
        return Ok(None);
    }
    let now_ms = tx.now_ms().await?;
    account.banned_ms = banned.then_some(now_ms);
    account.ban_reason = reason.clone().filter(|_| banned);
    store::update_account(tx, account, by, now_ms).await?;
    let entry = audit::Entry {
        actor: Some(by),
        action: "user.ban",
        subject: account.id.to_string(),
        reason: reason.as_deref(),
        before: json!({ "banned": !banned }),
        after: json!({ "banned": banned }),
    };
    audit::record(tx, entry).await?;
    if banned { Ok(Some(store::end_all_sessions(tx, account, now_ms).await?)) } else { Ok(None) }
}
