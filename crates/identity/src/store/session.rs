use kernel::contracts::identity::Revoked;
use kernel::{Cursor, SessionId, UserId};
use platform::db::{DbError, FromQueryResult, Query, Tx, args};
use uuid::Uuid;

use crate::model::{Account, Session};

/// A refresh token and the session it belongs to.
#[derive(FromQueryResult)]
pub struct RefreshToken {
    session_id: Uuid,
    pub expires_ms: i64,
    pub used_ms: Option<i64>,
    /// When its session ended.
    pub ended_ms: Option<i64>,
}
platform::rows!(RefreshToken);

impl RefreshToken {
    pub fn session(&self) -> SessionId {
        SessionId(self.session_id)
    }
}

pub async fn insert_session(
    tx: &Tx,
    session: SessionId,
    user: UserId,
    user_agent: Option<String>,
    now_ms: i64,
    expires_ms: i64,
) -> Result<(), DbError> {
    let sql = "INSERT INTO session (id, user_id, user_agent, created_ms, last_used_ms, expires_ms) VALUES ($1, $2, $3, $4, $4, $5)";
    tx.run(sql, args![session.0, user.0, user_agent, now_ms, expires_ms]).await?;
    Ok(())
}

/// Notes that a session was used and lives on.
pub async fn touch_session(tx: &Tx, session: SessionId, now_ms: i64, expires_ms: i64) -> Result<(), DbError> {
    tx.run("UPDATE session SET last_used_ms = $2, expires_ms = $3 WHERE id = $1", args![session.0, now_ms, expires_ms])
        .await?;
    Ok(())
}

pub async fn insert_refresh_token(
    tx: &Tx,
    hash: &[u8; 32],
    session: SessionId,
    now_ms: i64,
    expires_ms: i64,
) -> Result<(), DbError> {
    let sql = "INSERT INTO refresh_token (hash, session_id, issued_ms, expires_ms) VALUES ($1, $2, $3, $4)";
    tx.run(sql, args![hash.to_vec(), session.0, now_ms, expires_ms]).await?;
    Ok(())
}

/// Whose refresh token is it?
pub async fn owner_of_refresh_token(query: &impl Query, hash: &[u8; 32]) -> Result<Option<UserId>, DbError> {
    let sql = "SELECT s.user_id FROM refresh_token t JOIN session s ON s.id = t.session_id WHERE t.hash = $1";
    Ok(query.one::<(Uuid,)>(sql, args![hash.to_vec()]).await?.map(|row| UserId(row.0)))
}

/// A refresh token as it stands; read it under its owner's lock.
pub async fn refresh_token(tx: &Tx, hash: &[u8; 32]) -> Result<Option<RefreshToken>, DbError> {
    let sql = "SELECT t.session_id, t.expires_ms, t.used_ms, s.ended_ms
               FROM refresh_token t JOIN session s ON s.id = t.session_id WHERE t.hash = $1";
    tx.one(sql, args![hash.to_vec()]).await
}

pub async fn use_refresh_token(tx: &Tx, hash: &[u8; 32], now_ms: i64) -> Result<(), DbError> {
    tx.run("UPDATE refresh_token SET used_ms = $2 WHERE hash = $1", args![hash.to_vec(), now_ms]).await?;
    Ok(())
}

/// A person's live sessions, the newest first, one more than `limit`.
pub async fn sessions_page(
    query: &impl Query,
    user: UserId,
    now_ms: i64,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<Session>, DbError> {
    #[derive(FromQueryResult)]
    struct SessionRow {
        id: Uuid,
        user_agent: Option<String>,
        created_ms: i64,
        last_used_ms: i64,
    }
    platform::rows!(SessionRow);
    let sql = "SELECT id, user_agent, created_ms, last_used_ms FROM session
               WHERE user_id = $1 AND ended_ms IS NULL AND expires_ms > $2 AND id < $3 ORDER BY id DESC LIMIT $4";
    let before = after.map_or(Uuid::max(), |cursor| cursor.id);
    let rows = query.all::<SessionRow>(sql, args![user.0, now_ms, before, limit + 1]).await?;
    let session = |row: SessionRow| Session {
        id: row.id,
        user_agent: row.user_agent,
        created_ms: row.created_ms,
        last_used_ms: row.last_used_ms,
    };
    Ok(rows.into_iter().map(session).collect())
}

/// Ends all of a person's sessions but `kept`, in as many statements however many they are.
pub async fn end_other_sessions(tx: &Tx, user: UserId, kept: SessionId, now_ms: i64) -> Result<Vec<Revoked>, DbError> {
    let sql = "UPDATE session SET ended_ms = $3 WHERE user_id = $1 AND id <> $2 AND ended_ms IS NULL RETURNING id";
    let ended = tx.all::<(Uuid,)>(sql, args![user.0, kept.0, now_ms]).await?;
    if ended.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = ended.iter().map(|(id,)| id.simple().to_string()).collect();
    let sql = tx.db().pick(
        "INSERT INTO revocation (session_id, at_ms) SELECT unhex(value), $2 FROM json_each($1)",
        "INSERT INTO revocation (session_id, at_ms) SELECT value::uuid, $2 FROM jsonb_array_elements_text($1::jsonb)",
    );
    let ids = serde_json::Value::from(ids).to_string();
    tx.run(sql, args![ids, now_ms]).await?;
    let revoked = |(id,): (Uuid,)| Revoked { session_id: Some(SessionId(id)), user_id: None, at_ms: now_ms };
    Ok(ended.into_iter().map(revoked).collect())
}

/// Ends a person's session and its access tokens; `None` when he has no such session that lives.
pub async fn end_session(tx: &Tx, user: UserId, session: SessionId, now_ms: i64) -> Result<Option<Revoked>, DbError> {
    let sql = "UPDATE session SET ended_ms = $3 WHERE id = $1 AND user_id = $2 AND ended_ms IS NULL";
    if tx.run(sql, args![session.0, user.0, now_ms]).await? == 0 {
        return Ok(None);
    }
    tx.run("INSERT INTO revocation (session_id, at_ms) VALUES ($1, $2)", args![session.0, now_ms]).await?;
    Ok(Some(Revoked { session_id: Some(session), user_id: None, at_ms: now_ms }))
}

/// Ends all of a person's sessions and access tokens.
pub async fn end_all_sessions(tx: &Tx, account: &mut Account, now_ms: i64) -> Result<Revoked, DbError> {
    let sql = "UPDATE session SET ended_ms = $2 WHERE user_id = $1 AND ended_ms IS NULL";
    tx.run(sql, args![account.id.0, now_ms]).await?;
    revoke_tokens(tx, account, now_ms).await
}

/// Ends all access tokens that a person holds now; his sessions go on and may make new ones.
pub async fn revoke_tokens(tx: &Tx, account: &mut Account, now_ms: i64) -> Result<Revoked, DbError> {
    // Invariant: a token is made later than the last revocation and not later than the next one, even where all
    // three fall into one millisecond.
    let at_ms = account.token_issue_ms(now_ms);
    account.tokens_after_ms = at_ms;
    tx.run("UPDATE account SET tokens_after_ms = $2 WHERE id = $1", args![account.id.0, at_ms]).await?;
    tx.run("INSERT INTO revocation (user_id, at_ms) VALUES ($1, $2)", args![account.id.0, at_ms]).await?;
    Ok(Revoked { session_id: None, user_id: Some(account.id), at_ms })
}

pub async fn revoked_since(query: &impl Query, since_ms: i64) -> Result<Vec<Revoked>, DbError> {
    let sql = "SELECT session_id, user_id, at_ms FROM revocation WHERE at_ms >= $1 ORDER BY id";
    let rows = query.all::<(Option<Uuid>, Option<Uuid>, i64)>(sql, args![since_ms]).await?;
    let revoked = |(session, user, at_ms): (Option<Uuid>, Option<Uuid>, i64)| Revoked {
        session_id: session.map(SessionId),
        user_id: user.map(UserId),
        at_ms,
    };
    Ok(rows.into_iter().map(revoked).collect())
}

pub async fn delete_old_revocations(tx: &Tx, before_ms: i64) -> Result<u64, DbError> {
    tx.run("DELETE FROM revocation WHERE at_ms < $1", args![before_ms]).await
}

/// Deletes up to `rows` sessions and as many refresh tokens whose time is over; answers how many went.
pub async fn delete_expired_sessions(tx: &Tx, now_ms: i64, rows: i64) -> Result<u64, DbError> {
    let tokens =
        "DELETE FROM refresh_token WHERE hash IN (SELECT hash FROM refresh_token WHERE expires_ms < $1 LIMIT $2)";
    let sessions = "DELETE FROM session WHERE id IN (SELECT id FROM session WHERE expires_ms < $1 LIMIT $2)";
    Ok(tx.run(tokens, args![now_ms, rows]).await? + tx.run(sessions, args![now_ms, rows]).await?)
}
