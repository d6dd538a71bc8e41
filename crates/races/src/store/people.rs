//! The copy of identity's people.

use kernel::contracts::identity::UserSaved;
use platform::db::{DbError, Query, Tx, args};

use super::PEOPLE;

/// Takes over a profile, unless the copy is as new.
pub async fn save(tx: &Tx, user: &UserSaved) -> Result<(), DbError> {
    let sql = "INSERT INTO person (user_id, username, name, nickname, version) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (user_id) DO UPDATE SET username = excluded.username, name = excluded.name,
                   nickname = excluded.nickname, version = excluded.version
               WHERE person.version < excluded.version";
    let (username, name, nickname) = (user.username.as_str(), user.name.as_str(), user.nickname.as_str());
    if tx.run(sql, args![user.user_id.0, username, name, nickname, user.version]).await? == 1 {
        PEOPLE.put(tx, user.user_id.0, &format!("{username} {name} {nickname}")).await?;
    }
    Ok(())
}
