//! Rehearsals and their hidden races.

use kernel::{RaceId, UserId};
use platform::db::{Db, DbError, FromQueryResult, Query, Tx, args};
use uuid::Uuid;

#[derive(Clone, Debug)]
pub struct Rehearsal {
    pub id: Uuid,
    pub race: RaceId,
    pub owner: UserId,
    pub people: u32,
    pub created_ms: i64,
    pub expires_ms: i64,
}

#[derive(FromQueryResult)]
struct RehearsalRow {
    id: Uuid,
    race_id: Uuid,
    owner_id: Uuid,
    people: i64,
    created_ms: i64,
    expires_ms: i64,
}
platform::rows!(RehearsalRow);

const SELECT: &str = "SELECT id, race_id, owner_id, people, created_ms, expires_ms FROM rehearsal";

pub async fn insert(tx: &Tx, rehearsal: &Rehearsal) -> Result<(), DbError> {
    let sql =
        "INSERT INTO rehearsal (id, race_id, owner_id, people, created_ms, expires_ms) VALUES ($1, $2, $3, $4, $5, $6)";
    let args = args![
        rehearsal.id,
        rehearsal.race.0,
        rehearsal.owner.0,
        i64::from(rehearsal.people),
        rehearsal.created_ms,
        rehearsal.expires_ms,
    ];
    tx.run(sql, args).await?;
    Ok(())
}

pub async fn find(q: &impl Query, id: Uuid) -> Result<Option<Rehearsal>, DbError> {
    Ok(q.one::<RehearsalRow>(&format!("{SELECT} WHERE id = $1"), args![id]).await?.map(RehearsalRow::rehearsal))
}

/// Some that are over.
pub async fn expired(db: &Db, now_ms: i64) -> Result<Vec<Rehearsal>, DbError> {
    let sql = format!("{SELECT} WHERE expires_ms <= $1 ORDER BY expires_ms LIMIT 100");
    Ok(db.all::<RehearsalRow>(&sql, args![now_ms]).await?.into_iter().map(RehearsalRow::rehearsal).collect())
}

pub async fn delete(tx: &Tx, id: Uuid) -> Result<(), DbError> {
    tx.run("DELETE FROM rehearsal WHERE id = $1", args![id]).await?;
    Ok(())
}

impl RehearsalRow {
    fn rehearsal(self) -> Rehearsal {
        Rehearsal {
            id: self.id,
            race: RaceId(self.race_id),
            owner: UserId(self.owner_id),
            people: u32::try_from(self.people).unwrap_or(0),
            created_ms: self.created_ms,
            expires_ms: self.expires_ms,
        }
    }
}
