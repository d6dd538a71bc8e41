//! Giving and taking roles: admins only, never their own.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use kernel::contracts::identity::{Revoked, UserRoleChanged};
use kernel::{Role, UserId};
use platform::audit;
use platform::db::Tx;
use platform::events::publish;
use platform::http::auth::Admin;
use platform::http::{Body, IdPath, IfMatch, Problem, Result, codes};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::model::Account;
use crate::search_users::UserItem;
use crate::{App, error, store};

#[derive(Deserialize, Validate, ToSchema)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct RoleChange {
    role: Role,
}

#[utoipa::path(
    put, path = "/api/v1/users/{id}/role", tag = "identity", summary = "Give somebody a role (admins)",
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header, description = "The version the change was made from")),
    request_body = RoleChange, security(("bearer" = [])),
    responses((status = 200, body = UserItem))
)]
pub async fn change_role(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    IdPath(id): IdPath,
    if_match: IfMatch,
    body: Body<RoleChange>,
) -> Result<Json<UserItem>> {
    let role = body.value.role;
    let (account, revoked) = app
        .db
        .write(move |tx| {
            Box::pin(async move {
                let mut account = subordinate(tx, caller.user, UserId(id), Role::Admin).await?;
                if_match.check(account.version)?;
                let revoked = give_role(tx, &mut account, role, caller.user).await?;
                Ok::<_, Problem>((account, revoked))
            })
        })
        .await?;
    app.revocations.apply(revoked.as_slice());
    Ok(Json(UserItem::from(account)))
}

/// Locks the caller and somebody else, and makes sure that the caller still has one of the roles `least` and up:
/// two admins who take each other's role at once must not both succeed.
pub async fn subordinate(tx: &Tx, caller: UserId, user: UserId, least: Role) -> Result<Account> {
    if caller == user {
        return Err(Problem::new(&error::OWN_ACCOUNT));
    }
    let (caller, account) = store::accounts_locked(tx, caller, user).await?;
    let allowed =
        caller.is_some_and(|caller| !caller.is_banned() && (caller.role == Role::Admin || caller.role == least));
    if !allowed {
        return Err(Problem::new(&codes::AUTH_ROLE));
    }
    account.ok_or_else(|| Problem::new(&codes::NOT_FOUND))
}

/// Gives a locked account a role. Its access tokens end, since they say the old one; its sessions go on and the
/// next refresh says the new one.
pub async fn give_role(tx: &Tx, account: &mut Account, role: Role, by: UserId) -> Result<Option<Revoked>> {
    if account.role == role {
        return Ok(None);
    }
    let before = account.role;
    account.role = role;
    let now_ms = tx.now_ms().await?;
    store::update_account(tx, account, by, now_ms).await?;
    let revoked = store::revoke_tokens(tx, account, now_ms).await?;
    let entry = audit::Entry {
        actor: Some(by),
        action: "user.role",
        subject: account.id.to_string(),
        reason: None,
        before: json!({ "role": before }),
        after: json!({ "role": role }),
    };
    audit::record(tx, entry).await?;
    publish(tx, &UserRoleChanged { user_id: account.id, role }, Some(by)).await?;
    Ok(Some(revoked))
}
