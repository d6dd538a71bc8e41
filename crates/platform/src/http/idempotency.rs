//! `Idempotency-Key`: the first answer again, written in the effect's own transaction.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use kernel::UserId;
use serde::Serialize;

use super::problem::{Problem, codes};
use crate::db::{Db, DbError, Query, Tx, args};

/// A key is kept for 15 days, then may be used anew.
pub(crate) const KEPT_MS: i64 = 15 * 24 * 3_600_000;
const KEY_CHARS_MAX: usize = 255;

/// The request's `Idempotency-Key`, if it brought one.
#[derive(Clone, Debug)]
pub struct Idempotency(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Idempotency {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let key = HeaderValue::to_str(value).unwrap_or_default();
        if key.is_empty() || key.len() > KEY_CHARS_MAX {
            return Err(
                Problem::new(&codes::UNREADABLE).detail("an Idempotency-Key has 1 to 255 printable ASCII characters")
            );
        }
        Ok(Self(Some(key.to_owned())))
    }
}

/// An answer as it was stored.
pub struct Remembered {
    pub status: StatusCode,
    pub body: String,
}

impl IntoResponse for Remembered {
    fn into_response(self) -> Response {
        (self.status, [("content-type", "application/json")], self.body).into_response()
    }
}

impl Remembered {
    pub fn of(status: StatusCode, body: &impl Serialize) -> Self {
        Self { status, body: serde_json::to_string(body).unwrap_or_default() }
    }
}

impl Idempotency {
    /// The answer already given to this caller, operation and key; another body is refused.
    pub async fn recall(
        &self,
        tx: &Tx,
        caller: UserId,
        operation: &str,
        sha: &[u8; 32],
    ) -> Result<Option<Remembered>, Problem> {
        let Some(key) = &self.0 else { return Ok(None) };
        let sql = "SELECT body_sha, status, answer FROM idempotency WHERE caller = $1 AND operation = $2 AND key = $3";
        let known = tx.one::<(Vec<u8>, i64, String)>(sql, args![caller.0, operation, key.as_str()]).await?;
        match known {
            None => Ok(None),
            Some((known_sha, ..)) if known_sha != sha => Err(Problem::new(&codes::IDEMPOTENCY_MISMATCH)),
            Some((_, status, body)) => {
                let status = u16::try_from(status).ok().and_then(|code| StatusCode::from_u16(code).ok());
                Ok(Some(Remembered { status: status.unwrap_or(StatusCode::OK), body }))
            }
        }
    }

    /// Stores the answer beside the effect. Two at once: the unique key lets one commit.
    pub async fn remember(
        &self,
        tx: &Tx,
        caller: UserId,
        operation: &str,
        sha: &[u8; 32],
        answer: &Remembered,
    ) -> Result<(), DbError> {
        let Some(key) = &self.0 else { return Ok(()) };
        let sql = "INSERT INTO idempotency (caller, operation, key, body_sha, status, answer, created_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let now_ms = tx.now_ms().await?;
        let status = i64::from(answer.status.as_u16());
        tx.run(sql, args![caller.0, operation, key.as_str(), sha.to_vec(), status, answer.body.as_str(), now_ms])
            .await?;
        Ok(())
    }
}

/// Runs a creation under an `Idempotency-Key`: its effect and its answer in one transaction, once.
///
/// Of two at once the unique key lets one commit; the other then finds its answer.
pub async fn once<F>(
    db: &Db,
    key: Idempotency,
    caller: UserId,
    operation: &'static str,
    sha: [u8; 32],
    work: F,
) -> Result<Remembered, Problem>
where
    F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<Remembered, Problem>> + Clone + Send + Sync + 'static,
{
    let attempt = || {
        let (key, work) = (key.clone(), work.clone());
        db.write(move |tx| {
            Box::pin(async move {
                if let Some(known) = key.recall(tx, caller, operation, &sha).await.map_err(Fault::Told)? {
                    return Ok(known);
                }
                let answer = work(tx).await.map_err(Fault::Told)?;
                key.remember(tx, caller, operation, &sha, &answer).await?;
                Ok(answer)
            })
        })
    };
    match attempt().await {
        Err(Fault::Db(error)) if error.is_unique_on(&["idempotency"]) => attempt().await.map_err(Fault::problem),
        outcome => outcome.map_err(Fault::problem),
    }
}

/// Tells a problem of the work from a unique key that two requests met at.
enum Fault {
    Told(Problem),
    Db(DbError),
}

impl From<DbError> for Fault {
    fn from(error: DbError) -> Self {
        Fault::Db(error)
    }
}

impl Fault {
    fn problem(self) -> Problem {
        match self {
            Fault::Told(problem) => problem,
            Fault::Db(error) => error.into(),
        }
    }
}
