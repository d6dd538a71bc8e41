use kernel::UserId;
use kernel::contracts::identity::MintPeople;
use platform::db::{DbError, FromQueryResult, Query, Tx, args};
use serde_json::json;
use uuid::Uuid;

/// Makes the rehearsal's people number `from` to `to`, in one statement. Their usernames follow from the rehearsal
/// and the number, so a repeat makes only those that are missing.
pub async fn mint_people(tx: &Tx, mint: &MintPeople, from: u32, to: u32, now_ms: i64) -> Result<(), DbError> {
    let tag = username_tag(mint.rehearsal_id);
    let people: Vec<_> =
        (from..to).map(|n| json!([Uuid::now_v7().simple().to_string(), format!("r{tag}{n}")])).collect();
    let sql = tx.db().pick(
        "INSERT INTO account (id, username, name, nickname, nickname_key, language, role, tokens_after_ms, rehearsal_id,
             rehearsal_race_id, rehearsal_expires_ms, version, created_ms, changed_ms)
         SELECT unhex(e.value ->> 0), e.value ->> 1, e.value ->> 1, e.value ->> 1, e.value ->> 1, 'ko', 'member', 0, $2, $3, $4, 1, $5, $5
         FROM json_each($1) e WHERE true ORDER BY e.key
         ON CONFLICT (username) DO NOTHING",
        "INSERT INTO account (id, username, name, nickname, nickname_key, language, role, tokens_after_ms, rehearsal_id,
             rehearsal_race_id, rehearsal_expires_ms, version, created_ms, changed_ms)
         SELECT (e.value ->> 0)::uuid, e.value ->> 1, e.value ->> 1, e.value ->> 1, e.value ->> 1, 'ko', 'member', 0, $2, $3, $4, 1, $5, $5
         FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY e(value, n) ORDER BY e.n
         ON CONFLICT (username) DO NOTHING",
    );
    let people = serde_json::Value::from(people).to_string();
    tx.run(sql, args![people, mint.rehearsal_id, mint.race_id.0, mint.expires_ms, now_ms]).await?;
    Ok(())
}

/// The random end of the rehearsal's id: 12 digits, so that with 7 for the number a username has 20 characters.
fn username_tag(rehearsal_id: Uuid) -> String {
    rehearsal_id.simple().to_string().split_off(20)
}

/// One of a rehearsal's marked people.
#[derive(FromQueryResult)]
pub struct MintedPerson {
    pub id: Uuid,
    pub username: String,
    pub rehearsal_race_id: Uuid,
    pub rehearsal_expires_ms: i64,
}
platform::rows!(MintedPerson);

/// A rehearsal's people in the order of their ids.
pub async fn minted_people(
    query: &impl Query,
    rehearsal_id: Uuid,
    after: Option<UserId>,
    limit: i64,
) -> Result<Vec<MintedPerson>, DbError> {
    let sql = "SELECT id, username, rehearsal_race_id, rehearsal_expires_ms FROM account
               WHERE rehearsal_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    query.all(sql, args![rehearsal_id, after.map_or(Uuid::nil(), |user| user.0), limit]).await
}

/// Deletes up to `rows` people of rehearsals that are over; answers how many went.
pub async fn delete_expired_people(tx: &Tx, now_ms: i64, rows: i64) -> Result<u64, DbError> {
    let sql = "DELETE FROM account WHERE id IN (SELECT id FROM account WHERE rehearsal_expires_ms < $1 LIMIT $2)";
    tx.run(sql, args![now_ms, rows]).await
}
