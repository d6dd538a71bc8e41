//! Copies of other parts' people and races, and the holds that end.

use std::collections::HashMap;

use kernel::contracts::admission::DecidedClaim;
use kernel::contracts::identity::UserSaved;
use kernel::contracts::races::RaceChanged;
use kernel::{OfferId, RaceId, Role, UserId};
use platform::db::{DbError, FromQueryResult, Query, Tx, args};
use platform::http::Language;
use serde_json::json;
use uuid::Uuid;

use crate::model::remind_ms;

/// Takes over a profile, unless the copy is as new.
pub async fn save_person(tx: &Tx, user: &UserSaved) -> Result<(), DbError> {
    let sql = "INSERT INTO person (user_id, version, language, email, role) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (user_id) DO UPDATE SET version = excluded.version, language = excluded.language,
                   email = excluded.email, role = excluded.role
               WHERE person.version < excluded.version";
    let role = user.role.map(Role::as_str);
    tx.run(sql, args![user.user_id.0, user.version, user.language.clone(), user.email.clone(), role]).await?;
    Ok(())
}

pub async fn set_role(tx: &Tx, user: UserId, role: Role) -> Result<(), DbError> {
    tx.run("UPDATE person SET role = $2 WHERE user_id = $1", args![user.0, role.as_str()]).await?;
    Ok(())
}

/// A rehearsal's people are nobody here.
pub async fn knows(query: &impl Query, user: UserId) -> Result<bool, DbError> {
    Ok(query.one::<(i64,)>("SELECT version FROM person WHERE user_id = $1", args![user.0]).await?.is_some())
}

pub async fn admins(query: &impl Query) -> Result<Vec<UserId>, DbError> {
    let rows =
        query.all::<(Uuid,)>("SELECT user_id FROM person WHERE role = 'admin' ORDER BY user_id", args![]).await?;
    Ok(rows.into_iter().map(|row| UserId(row.0)).collect())
}

/// What somebody set; `None` for who is not known.
pub async fn language(query: &impl Query, user: UserId) -> Result<Option<Language>, DbError> {
    let row = query.one::<(Option<String>,)>("SELECT language FROM person WHERE user_id = $1", args![user.0]).await?;
    Ok(row.and_then(|row| row.0).as_deref().and_then(Language::parse))
}

#[derive(Clone, Debug, FromQueryResult)]
pub struct RaceCopy {
    pub race_id: Uuid,
    pub title: String,
    pub cancelled: i64,
}
platform::rows!(RaceCopy);

pub async fn save_race(tx: &Tx, race: &RaceChanged) -> Result<(), DbError> {
    let Some(offer) = race.offer_id else { return Ok(()) };
    let sql = "INSERT INTO race (race_id, offer_id, title, cancelled) VALUES ($1, $2, $3, $4)
               ON CONFLICT (race_id) DO UPDATE SET title = excluded.title,
                   cancelled = CASE WHEN race.cancelled = 1 THEN 1 ELSE excluded.cancelled END";
    let cancelled = i64::from(race.change == "cancelled");
    tx.run(sql, args![race.race_id.0, offer.0, race.title.as_str(), cancelled]).await?;
    Ok(())
}

/// The public race that sells by this offer; none for a rehearsal's.
pub async fn race_of(query: &impl Query, offer: OfferId) -> Result<Option<RaceCopy>, DbError> {
    query.one("SELECT race_id, title, cancelled FROM race WHERE offer_id = $1", args![offer.0]).await
}

/// Takes over where a batch left the race's places: those that are held, and those that are no more.
pub async fn follow_holds(tx: &Tx, race: RaceId, decided_ms: i64, claims: &[DecidedClaim]) -> Result<(), DbError> {
    // Who moved twice in a batch stands as he was left.
    let last: HashMap<Uuid, &DecidedClaim> = claims.iter().map(|claim| (claim.claim_id.0, claim)).collect();
    let simple = |id: Uuid| id.simple().to_string();
    let (mut held, mut gone) = (Vec::new(), Vec::new());
    for claim in last.into_values() {
        let id = simple(claim.claim_id.0);
        match claim.hold_until_ms {
            Some(until_ms) if claim.state == "held" => {
                held.push(json!([id, simple(claim.user_id.0), until_ms, remind_ms(decided_ms, until_ms)]));
            }
            // A new claim that is not held has none.
            _ if claim.was.is_some() => gone.push(json!(id)),
            _ => {}
        }
    }
    if !held.is_empty() {
        let sql = tx.db().pick(
            "INSERT INTO hold (registration_id, user_id, race_id, until_ms, remind_ms)
             SELECT unhex(e.value ->> 0), unhex(e.value ->> 1), $2, e.value ->> 2, e.value ->> 3
             FROM json_each($1) e WHERE true
             ON CONFLICT (registration_id) DO UPDATE SET until_ms = excluded.until_ms, remind_ms = excluded.remind_ms",
            "INSERT INTO hold (registration_id, user_id, race_id, until_ms, remind_ms)
             SELECT (e.value ->> 0)::uuid, (e.value ->> 1)::uuid, $2, (e.value ->> 2)::bigint, (e.value ->> 3)::bigint
             FROM jsonb_array_elements($1::jsonb) e
             ON CONFLICT (registration_id) DO UPDATE SET until_ms = excluded.until_ms, remind_ms = excluded.remind_ms",
        );
        tx.run(sql, args![json!(held).to_string(), race.0]).await?;
    }
    if !gone.is_empty() {
        let sql = tx.db().pick(
            "DELETE FROM hold WHERE registration_id IN (SELECT unhex(value) FROM json_each($1))",
            "DELETE FROM hold WHERE registration_id IN (SELECT value::uuid FROM jsonb_array_elements_text($1::jsonb))",
        );
        tx.run(sql, args![json!(gone).to_string()]).await?;
    }
    Ok(())
}

/// A hold whose owner is to be told that it ends.
#[derive(Clone, Debug, FromQueryResult)]
pub struct EndingHold {
    pub registration_id: Uuid,
    pub user_id: Uuid,
    pub race_id: Uuid,
    pub until_ms: i64,
    pub title: String,
}
platform::rows!(EndingHold);

pub async fn ending_holds(query: &impl Query, now_ms: i64, limit: i64) -> Result<Vec<EndingHold>, DbError> {
    let sql = "SELECT h.registration_id, h.user_id, h.race_id, h.until_ms, r.title
               FROM hold h JOIN race r ON r.race_id = h.race_id
               WHERE h.remind_ms <= $1 ORDER BY h.remind_ms LIMIT $2";
    query.all(sql, args![now_ms, limit]).await
}

pub async fn any_ending_hold(query: &impl Query, now_ms: i64) -> Result<bool, DbError> {
    let sql = "SELECT remind_ms FROM hold WHERE remind_ms <= $1 LIMIT 1";
    Ok(query.one::<(i64,)>(sql, args![now_ms]).await?.is_some())
}

/// False when it was gone already.
pub async fn forget_hold(tx: &Tx, registration: Uuid) -> Result<bool, DbError> {
    Ok(tx.run("DELETE FROM hold WHERE registration_id = $1", args![registration]).await? == 1)
}
