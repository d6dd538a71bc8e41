//! All statements of notify; copies of other parts' things in a file of their own.

pub mod copies;
pub mod deliveries;

use kernel::{Cursor, UserId};
use platform::db::{DbError, FromQueryResult, Kind, Query, Tx, args};
use platform::http::Language;
use serde_json::json;
use uuid::Uuid;

use crate::inbox::Notice;
use crate::kinds::{Channel, Text};

/// A notice as it is stored.
#[derive(Clone, Debug, FromQueryResult)]
pub struct NoticeRow {
    pub no: i64,
    pub id: Uuid,
    pub kind: String,
    pub named: String,
    pub created_ms: i64,
    pub read_ms: Option<i64>,
}
platform::rows!(NoticeRow);

const COLUMNS: &str = "SELECT no, id, kind, named, created_ms, read_ms FROM notice";

/// Keeps other writers of notices out until this transaction ends, so that numbers rise with commits.
///
/// Why one lock and not a number per person: of two transactions that write to the same people in different orders,
/// one would be rolled back. On SQLite there is one writer anyway.
pub async fn in_order(tx: &Tx) -> Result<(), DbError> {
    if tx.db().kind() == Kind::Postgres {
        tx.run("SELECT pg_advisory_xact_lock(hashtext('madang-notice'))", args![]).await?;
    }
    Ok(())
}

/// Inserts what is not there yet. Who wants none of a kind in his inbox has it deleted from the start.
pub async fn insert(tx: &Tx, notices: &[Notice], now_ms: i64) -> Result<(), DbError> {
    let text = |id: Uuid| id.simple().to_string();
    let row = |notice: &Notice| {
        let named = serde_json::Value::Object(notice.values.clone()).to_string();
        json!([text(notice.id), text(notice.user.0), notice.kind.code, text(notice.source), named])
    };
    let rows = serde_json::Value::from(notices.iter().map(row).collect::<Vec<_>>()).to_string();
    let sql = tx.db().pick(
        "INSERT INTO notice (id, user_id, kind, source, named, created_ms, deleted_ms)
         SELECT unhex(e.value ->> 0), unhex(e.value ->> 1), e.value ->> 2, unhex(e.value ->> 3), e.value ->> 4, $2,
             (SELECT $2 FROM preference p WHERE p.user_id = unhex(e.value ->> 1) AND p.kind = e.value ->> 2
                  AND p.channel = 'inbox' AND p.wanted = 0)
         FROM json_each($1) e WHERE true ORDER BY e.key
         ON CONFLICT (source, user_id, kind) DO NOTHING",
        "INSERT INTO notice (id, user_id, kind, source, named, created_ms, deleted_ms)
         SELECT (e.value ->> 0)::uuid, (e.value ->> 1)::uuid, e.value ->> 2, (e.value ->> 3)::uuid, e.value ->> 4, $2,
             (SELECT $2 FROM preference p WHERE p.user_id = (e.value ->> 1)::uuid AND p.kind = e.value ->> 2
                  AND p.channel = 'inbox' AND p.wanted = 0)
         FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY e(value, n) ORDER BY e.n
         ON CONFLICT (source, user_id, kind) DO NOTHING",
    );
    tx.run(sql, args![rows, now_ms]).await?;
    Ok(())
}

/// What a list shows.
pub struct Filter<'a> {
    pub kind: Option<&'a str>,
    pub read: Option<bool>,
}

/// Somebody's notices, newest first, one more than `limit`.
pub async fn page(
    query: &impl Query,
    user: UserId,
    filter: &Filter<'_>,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<NoticeRow>, DbError> {
    let mut args = args![user.0, after.map_or(i64::MAX, |cursor| cursor.key), limit + 1];
    let mut conditions = String::new();
    if let Some(kind) = filter.kind {
        args.push(kind.into());
        conditions += " AND kind = $4";
    }
    conditions += match filter.read {
        Some(true) => " AND read_ms IS NOT NULL",
        Some(false) => " AND read_ms IS NULL",
        None => "",
    };
    let sql = format!(
        "{COLUMNS} WHERE user_id = $1 AND deleted_ms IS NULL AND no < $2{conditions} ORDER BY no DESC LIMIT $3"
    );
    query.all(&sql, args).await
}

pub async fn unread(query: &impl Query, user: UserId) -> Result<i64, DbError> {
    let sql = "SELECT count(*) FROM notice WHERE user_id = $1 AND deleted_ms IS NULL AND read_ms IS NULL";
    Ok(query.one::<(i64,)>(sql, args![user.0]).await?.map_or(0, |row| row.0))
}

/// Marks one of somebody's as read; false when it is not there or not his.
pub async fn mark_read(tx: &Tx, user: UserId, id: Uuid, now_ms: i64) -> Result<bool, DbError> {
    let sql = "UPDATE notice SET read_ms = COALESCE(read_ms, $3) WHERE id = $1 AND user_id = $2 AND deleted_ms IS NULL";
    Ok(tx.run(sql, args![id, user.0, now_ms]).await? == 1)
}

pub async fn mark_all_read(tx: &Tx, user: UserId, now_ms: i64) -> Result<(), DbError> {
    let sql = "UPDATE notice SET read_ms = $2 WHERE user_id = $1 AND deleted_ms IS NULL AND read_ms IS NULL";
    tx.run(sql, args![user.0, now_ms]).await?;
    Ok(())
}

/// Takes one of somebody's out of his lists; false when it is not there or not his.
pub async fn delete(tx: &Tx, user: UserId, id: Uuid, now_ms: i64) -> Result<bool, DbError> {
    let sql = "UPDATE notice SET deleted_ms = $3 WHERE id = $1 AND user_id = $2 AND deleted_ms IS NULL";
    Ok(tx.run(sql, args![id, user.0, now_ms]).await? == 1)
}

/// Tells the streams of all processes that somebody's inbox changed.
pub async fn note_change(tx: &Tx, user: UserId, now_ms: i64) -> Result<(), DbError> {
    in_order(tx).await?;
    tx.run("INSERT INTO inbox_change (user_id, at_ms) VALUES ($1, $2)", args![user.0, now_ms]).await?;
    Ok(())
}

/// Up to where notices and changes are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub notice: i64,
    pub change: i64,
}

pub async fn newest(query: &impl Query) -> Result<Seen, DbError> {
    let sql = "SELECT (SELECT COALESCE(max(no), 0) FROM notice), (SELECT COALESCE(max(no), 0) FROM inbox_change)";
    let (notice, change) = query.one::<(i64, i64)>(sql, args![]).await?.ok_or(DbError::Missing)?;
    Ok(Seen { notice, change })
}

/// Whose inbox changed between the two.
pub async fn changed(query: &impl Query, from: Seen, to: Seen) -> Result<Vec<Uuid>, DbError> {
    let sql = "SELECT user_id FROM notice WHERE no > $1 AND no <= $2
               UNION SELECT user_id FROM inbox_change WHERE no > $3 AND no <= $4";
    let args = args![from.notice, to.notice, from.change, to.change];
    Ok(query.all::<(Uuid,)>(sql, args).await?.into_iter().map(|row| row.0).collect())
}

/// What a stream tells of an inbox besides its notices: how many are unread, the newest one, its owner's language.
pub async fn standing(query: &impl Query, user: UserId) -> Result<(i64, Option<Uuid>, Option<String>), DbError> {
    let sql = "SELECT (SELECT count(*) FROM notice WHERE user_id = $1 AND deleted_ms IS NULL AND read_ms IS NULL),
                   (SELECT id FROM notice WHERE user_id = $1 AND deleted_ms IS NULL ORDER BY no DESC LIMIT 1),
                   (SELECT language FROM person WHERE user_id = $1)";
    query.one(sql, args![user.0]).await?.ok_or(DbError::Missing)
}

/// Where one of somebody's notices stands, deleted or not.
pub async fn no_of(query: &impl Query, user: UserId, id: Uuid) -> Result<Option<i64>, DbError> {
    let sql = "SELECT no FROM notice WHERE id = $1 AND user_id = $2";
    Ok(query.one::<(i64,)>(sql, args![id, user.0]).await?.map(|row| row.0))
}

/// The first `limit` of somebody's notices after one.
pub async fn after(query: &impl Query, user: UserId, no: i64, limit: i64) -> Result<Vec<NoticeRow>, DbError> {
    let sql = format!("{COLUMNS} WHERE user_id = $1 AND deleted_ms IS NULL AND no > $2 ORDER BY no LIMIT $3");
    query.all(&sql, args![user.0, no, limit]).await
}

/// Deletes up to `rows` of what is older; answers how many went.
pub async fn forget(tx: &Tx, table: Aged, before_ms: i64, rows: i64) -> Result<u64, DbError> {
    let (table, column) = match table {
        Aged::Notices => ("notice", "created_ms"),
        Aged::Changes => ("inbox_change", "at_ms"),
        Aged::Deliveries => ("delivery", "created_ms"),
    };
    let row = tx.db().pick("rowid", "ctid");
    let sql = format!("DELETE FROM {table} WHERE {row} IN (SELECT {row} FROM {table} WHERE {column} < $1 LIMIT $2)");
    tx.run(&sql, args![before_ms, rows]).await
}

#[derive(Clone, Copy)]
pub enum Aged {
    Notices,
    Changes,
    Deliveries,
}

/// An admin's text.
#[derive(Clone, Debug, FromQueryResult)]
pub struct TextRow {
    pub kind: String,
    pub language: String,
    pub title: String,
    pub body: String,
    pub changed_ms: i64,
}
platform::rows!(TextRow);

pub async fn texts(query: &impl Query) -> Result<Vec<TextRow>, DbError> {
    query.all("SELECT kind, language, title, body, changed_ms FROM kind_text", args![]).await
}

/// Sets an admin's text, or goes back to the built-in one.
pub async fn set_text(
    tx: &Tx,
    kind: &str,
    language: Language,
    text: Option<&Text<String>>,
    by: UserId,
    now_ms: i64,
) -> Result<(), DbError> {
    let language = language.as_str();
    let Some(text) = text else {
        tx.run("DELETE FROM kind_text WHERE kind = $1 AND language = $2", args![kind, language]).await?;
        return Ok(());
    };
    let sql =
        "INSERT INTO kind_text (kind, language, title, body, changed_ms, changed_by) VALUES ($1, $2, $3, $4, $5, $6)
               ON CONFLICT (kind, language) DO UPDATE SET title = excluded.title, body = excluded.body,
                   changed_ms = excluded.changed_ms, changed_by = excluded.changed_by";
    tx.run(sql, args![kind, language, text.title.as_str(), text.body.as_str(), now_ms, by.0]).await?;
    Ok(())
}

/// What somebody chose otherwise than the default: kind, channel, wanted.
pub async fn preferences(query: &impl Query, user: UserId) -> Result<Vec<(String, String, i64)>, DbError> {
    query.all("SELECT kind, channel, wanted FROM preference WHERE user_id = $1", args![user.0]).await
}

/// Replaces all of somebody's choices.
pub async fn set_preferences(tx: &Tx, user: UserId, chosen: &[(&'static str, Channel, bool)]) -> Result<(), DbError> {
    tx.run("DELETE FROM preference WHERE user_id = $1", args![user.0]).await?;
    for (kind, channel, wanted) in chosen {
        let sql = "INSERT INTO preference (user_id, kind, channel, wanted) VALUES ($1, $2, $3, $4)";
        tx.run(sql, args![user.0, *kind, channel.as_str(), i64::from(*wanted)]).await?;
    }
    Ok(())
}
