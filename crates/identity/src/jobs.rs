//! What runs by itself: clearing away what is over.

use platform::db::{Db, DbError, Tx};
use platform::jobs::{Job, Schedule};
use platform::revocation;

use crate::store;

const EVERY_MS: i64 = 60_000;
/// A transaction deletes no more rows, so that the writer is never held long.
const ROWS_AT_ONCE: i64 = 500;

/// Deletes old revocations, expired sign-ins and the people of rehearsals that are over.
pub fn cleaning(db: Db) -> Job {
    let work = db.clone();
    Job::new("identity cleaning", Schedule::Every(EVERY_MS), db, move || {
        let db = work.clone();
        Box::pin(async move { Ok(clean(&db).await?) })
    })
}

async fn clean(db: &Db) -> Result<(), DbError> {
    while db.write(|tx| Box::pin(clean_some(tx))).await? {}
    Ok(())
}

/// Answers whether there may be more.
async fn clean_some(tx: &Tx) -> Result<bool, DbError> {
    let now_ms = tx.now_ms().await?;
    store::delete_old_revocations(tx, now_ms - revocation::KEPT_MS).await?;
    let sessions = store::delete_expired_sessions(tx, now_ms, ROWS_AT_ONCE).await?;
    let people = store::delete_expired_people(tx, now_ms, ROWS_AT_ONCE).await?;
    Ok(sessions + people > 0)
}
