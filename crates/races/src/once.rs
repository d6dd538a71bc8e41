//! A creation under an `Idempotency-Key`: its effect and its answer in one transaction, once.

use futures::future::BoxFuture;
use kernel::UserId;
use platform::db::{Db, DbError, Tx};
use platform::http::{Idempotency, Problem, Remembered};

/// Runs `work` unless this caller's key was answered already. Of two at once the unique key lets one commit; the
/// other then finds its answer.
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
