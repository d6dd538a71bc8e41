//! What organisers wrote to those who registered.

use admission::ClaimState;
use kernel::{Cursor, MessageId, OfferId, RaceId, UserId};
use platform::db::{Db, DbError, FromQueryResult, Query, Tx, Value, args};
use uuid::Uuid;

use super::broken;

#[derive(Clone, Debug)]
pub struct Message {
    pub id: MessageId,
    pub race: RaceId,
    pub sent_by: UserId,
    pub title: String,
    pub body: String,
    /// Whom it was for.
    pub states: Vec<ClaimState>,
    /// How many they were.
    pub recipients: i64,
    pub created_ms: i64,
}

#[derive(FromQueryResult)]
struct MessageRow {
    id: Uuid,
    race_id: Uuid,
    sent_by: Uuid,
    title: String,
    body: String,
    states: String,
    recipients: i64,
    created_ms: i64,
}
platform::rows!(MessageRow);

/// Lets one message of a race be sent after the other, so that none passes the limit beside another.
pub async fn lock_race(tx: &Tx, race: RaceId) -> Result<(), DbError> {
    let sql = tx.db().pick("SELECT id FROM race WHERE id = $1", "SELECT id FROM race WHERE id = $1 FOR NO KEY UPDATE");
    tx.one::<(Uuid,)>(sql, args![race.0]).await?;
    Ok(())
}

/// When the `nth` newest message (from 0) was sent.
pub async fn nth_newest_ms(tx: &Tx, race: RaceId, nth: i64) -> Result<Option<i64>, DbError> {
    let sql = "SELECT created_ms FROM race_message WHERE race_id = $1 ORDER BY created_ms DESC LIMIT 1 OFFSET $2";
    Ok(tx.one::<(i64,)>(sql, args![race.0, nth]).await?.map(|row| row.0))
}

/// Who has a registration in one of the states, each once.
pub async fn recipients(tx: &Tx, offer: OfferId, states: &[ClaimState]) -> Result<Vec<UserId>, DbError> {
    let places: Vec<String> = (2..states.len() + 2).map(|n| format!("${n}")).collect();
    let sql = format!("SELECT DISTINCT user_id FROM claim WHERE offer_id = $1 AND state IN ({})", places.join(", "));
    let states = states.iter().map(|state| Value::from(state.as_str()));
    let rows = tx.all::<(Uuid,)>(&sql, std::iter::once(Value::from(offer.0)).chain(states).collect()).await?;
    Ok(rows.into_iter().map(|row| UserId(row.0)).collect())
}

pub async fn insert(tx: &Tx, message: &Message) -> Result<(), DbError> {
    let sql = "INSERT INTO race_message (id, race_id, sent_by, title, body, states, recipients, created_ms)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let states: Vec<&str> = message.states.iter().map(|state| state.as_str()).collect();
    let args = args![
        message.id.0,
        message.race.0,
        message.sent_by.0,
        message.title.as_str(),
        message.body.as_str(),
        states.join(","),
        message.recipients,
        message.created_ms,
    ];
    tx.run(sql, args).await?;
    Ok(())
}

/// One more than `limit` of a race's messages, newest first.
pub async fn list(db: &Db, race: RaceId, after: Option<Cursor>, limit: i64) -> Result<Vec<Message>, DbError> {
    let after = after.unwrap_or(Cursor { key: i64::MAX, id: Uuid::max() });
    let sql = "SELECT id, race_id, sent_by, title, body, states, recipients, created_ms FROM race_message
               WHERE race_id = $1 AND (created_ms, id) < ($2, $3) ORDER BY created_ms DESC, id DESC LIMIT $4";
    let rows = db.all::<MessageRow>(sql, args![race.0, after.key, after.id, limit + 1]).await?;
    rows.into_iter().map(MessageRow::message).collect()
}

impl MessageRow {
    fn message(self) -> Result<Message, DbError> {
        let states = self.states.split(',').map(|state| state.parse().map_err(|_| broken("a message's states")));
        Ok(Message {
            id: MessageId(self.id),
            race: RaceId(self.race_id),
            sent_by: UserId(self.sent_by),
            title: self.title,
            body: self.body,
            states: states.collect::<Result<_, _>>()?,
            recipients: self.recipients,
            created_ms: self.created_ms,
        })
    }
}
