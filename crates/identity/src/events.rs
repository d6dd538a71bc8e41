//! What identity publishes. It consumes nothing.

use kernel::UserId;
use kernel::contracts::identity::UserSaved;
use platform::db::{DbError, Tx};
use platform::events::publish;

use crate::model::Account;

/// An account as others keep copies of it.
pub fn saved(account: &Account) -> UserSaved {
    UserSaved {
        user_id: account.id,
        username: account.username.clone(),
        name: account.name.clone(),
        nickname: account.nickname.clone(),
        version: account.version,
        language: Some(account.language.as_str().to_owned()),
        email: account.email.clone(),
        role: Some(account.role),
    }
}

/// Tells that an account is new or changed.
pub async fn publish_saved(tx: &Tx, account: &Account, actor: Option<UserId>) -> Result<(), DbError> {
    publish(tx, &saved(account), actor).await
}
