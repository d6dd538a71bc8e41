//! Group commit on SQLite: writes that queue for a file's one writer share a commit, and with it the sync.
//!
//! The first write of a group opens the transaction; each further one stands behind a savepoint of its own, so that
//! its failure, or its caller's going away, undoes it alone. Whoever finds nobody queued behind him commits.
//!
//! Invariant: nobody is answered before the commit that holds his write. The commit is a task of its own, so that
//! no caller's cancellation can leave its outcome unknown to the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use super::{Db, DbError, Tx};

/// Writes in one commit. More would let the first of them wait for the last.
const GROUP_MAX: usize = 64;
/// A group takes nobody in that comes later; the sequencer's batch waits for it.
const GROUP_AGE_MAX: Duration = Duration::from_millis(20);

type Open = OwnedMutexGuard<Option<Group>>;

/// Who writes to a file, one after the other.
#[derive(Default)]
pub(crate) struct Writers {
    open: Arc<Mutex<Option<Group>>>,
    /// How many wait for their turn.
    queued: AtomicUsize,
}

/// An open transaction and whom its commit answers.
struct Group {
    tx: Tx,
    done: Vec<oneshot::Sender<Result<(), DbError>>>,
    since: Instant,
}

impl Db {
    /// Runs `work` in a transaction that others may share; answers after its commit.
    pub(super) async fn write_grouped<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, E>> + Send,
        T: Send,
        E: From<DbError> + Send,
    {
        let mut turn = Turn::wait(self).await;
        let (outcome, committed) = turn.write(work).await?;
        let value = match outcome {
            Ok(value) => value,
            Err(error) => return Err(error),
        };
        match committed.await {
            Ok(Ok(())) => Ok(value),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(lost("its group was rolled back").into()),
        }
    }
}

/// One writer's turn: he alone uses the connection.
struct Turn {
    db: Db,
    open: Option<Open>,
}

impl Turn {
    async fn wait(db: &Db) -> Turn {
        let writers = &db.0.writers;
        writers.queued.fetch_add(1, Ordering::Relaxed);
        let queued = Queued(db);
        let open = writers.open.clone().lock_owned().await;
        std::mem::forget(queued);
        writers.queued.fetch_sub(1, Ordering::Relaxed);
        Turn { db: db.clone(), open: Some(open) }
    }

    /// `Err` where the group's transaction itself broke; else what `work` ended in, and who will say that it is committed.
    async fn write<T, E, F>(&mut self, work: F) -> Result<(Result<T, E>, oneshot::Receiver<Result<(), DbError>>), E>
    where
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, E>> + Send,
        T: Send,
        E: From<DbError> + Send,
    {
        let Some(open) = &mut self.open else { return Err(lost("the turn is over").into()) };
        let (answer, committed) = oneshot::channel();
        let outcome = match &mut **open {
            None => {
                let tx = self.db.begin().await?;
                let group = open.insert(Group { tx, done: Vec::new(), since: Instant::now() });
                work(&group.tx).await
            }
            Some(group) => match group.behind_a_savepoint(work).await {
                Ok(outcome) => outcome,
                Err(error) => {
                    // SQLite rolled everything back by itself, e.g. for want of space: nothing of the group stands.
                    open.take();
                    return Err(error.into());
                }
            },
        };
        if outcome.is_ok()
            && let Some(group) = &mut **open
        {
            group.done.push(answer);
        }
        self.end();
        Ok((outcome, committed))
    }

    /// Leaves the group to the next in the queue, or commits it.
    fn end(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        let Some(group) = &*open else { return };
        if group.done.is_empty() {
            // Only what failed or was given up half-way is in it: dropped, it is rolled back.
            open.take();
            return;
        }
        let nobody_follows = self.db.0.writers.queued.load(Ordering::Relaxed) == 0;
        if nobody_follows || group.done.len() >= GROUP_MAX || group.since.elapsed() >= GROUP_AGE_MAX {
            tokio::spawn(commit(self.db.clone(), open));
        }
    }
}

impl Drop for Turn {
    /// The caller went away in the middle of his write: its savepoint is rolled back, the others' writes stand.
    fn drop(&mut self) {
        self.end();
    }
}

/// Somebody who waits for his turn.
struct Queued<'a>(&'a Db);

impl Drop for Queued<'_> {
    /// He went away before his turn; the group before him may have counted on him.
    fn drop(&mut self) {
        let db = self.0.clone();
        db.0.writers.queued.fetch_sub(1, Ordering::Relaxed);
        tokio::spawn(async move { drop(Turn::wait(&db).await) });
    }
}

impl Group {
    /// `Err` where the savepoint cannot be made, kept or rolled back.
    async fn behind_a_savepoint<T, E, F>(&mut self, work: F) -> Result<Result<T, E>, DbError>
    where
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, E>> + Send,
    {
        let savepoint = self.tx.savepoint().await?;
        let outcome = work(&savepoint).await;
        if savepoint.has_published() && outcome.is_ok() {
            self.tx.mark_published();
        }
        match outcome.is_ok() {
            true => savepoint.tx.commit().await?,
            false => savepoint.tx.rollback().await?,
        }
        Ok(outcome)
    }
}

async fn commit(db: Db, mut open: Open) {
    let Some(Group { tx, done, since }) = open.take() else { return };
    let published = tx.has_published();
    let committed = tx.tx.commit().await;
    drop(open);
    db.note_hold(since.elapsed());
    metrics::histogram!("madang_db_group_size", "db" => db.0.name).record(done.len() as f64);
    match committed {
        Ok(()) => {
            if published {
                db.wake_consumers();
            }
            done.into_iter().for_each(|answer| drop(answer.send(Ok(()))));
        }
        Err(error) => {
            let cause = DbError::from(error);
            let told = match &cause {
                DbError::Unavailable(inner) => format!("{inner:#}"),
                other => format!("{other}"),
            };
            tracing::warn!(db = db.0.name, error = told, "a commit failed; nothing of its group stands");
            done.into_iter().for_each(|answer| drop(answer.send(Err(lost(&told)))));
        }
    }
}

fn lost(why: &str) -> DbError {
    DbError::Unavailable(anyhow::anyhow!("the write was not committed: {why}"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use futures::FutureExt;

    use super::*;
    use crate::db::{Clock, DbOptions, Query, args, open};

    async fn table(dir: &tempfile::TempDir) -> Db {
        let options = DbOptions::Sqlite { dir: dir.path().to_owned() };
        let db = open("group", &options, &Clock::default()).await.expect("a database");
        let sql = "CREATE TABLE t (n INTEGER PRIMARY KEY) STRICT";
        db.write(|tx| tx.run(sql, args![]).boxed()).await.expect("a table");
        db
    }

    async fn insert(db: &Db, n: i64) -> Result<(), DbError> {
        db.write(move |tx| {
            Box::pin(async move {
                tx.run("INSERT INTO t VALUES ($1)", args![n]).await?;
                Ok(())
            })
        })
        .await
    }

    async fn numbers(db: &Db) -> Vec<i64> {
        let rows = db.all::<(i64,)>("SELECT n FROM t ORDER BY n", args![]).await.expect("rows");
        rows.into_iter().map(|row| row.0).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_write_that_fails_takes_no_other_with_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let db = table(&dir).await;
        insert(&db, 0).await.expect("a row");
        // Each number twice: the second of them offends the key, in whatever group it is.
        let writes = (0..400).map(|n| insert(&db, 1 + n / 2));
        let outcomes = futures::future::join_all(writes).await;
        let refused = outcomes.iter().filter(|one| matches!(one, Err(DbError::Unique(_)))).count();
        assert_eq!((refused, outcomes.iter().filter(|one| one.is_ok()).count()), (200, 200));
        assert_eq!(numbers(&db).await, (0..=200).collect::<Vec<_>>());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_goes_away_in_the_middle_takes_his_own_write_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let db = table(&dir).await;
        for round in 0..50 {
            let at = round * 1_000;
            let inside = Arc::new(AtomicBool::new(false));
            let (mark, half) = (inside.clone(), db.clone());
            let going = tokio::spawn(async move {
                half.write(move |tx| {
                    Box::pin(async move {
                        tx.run("INSERT INTO t VALUES ($1)", args![at]).await?;
                        mark.store(true, Ordering::SeqCst);
                        std::future::pending::<Result<(), DbError>>().await
                    })
                })
                .await
            });
            let others: Vec<_> = (1..20)
                .map(|n| {
                    let db = db.clone();
                    tokio::spawn(async move { insert(&db, at + n).await })
                })
                .collect();
            while !inside.load(Ordering::SeqCst) {
                tokio::task::yield_now().await;
            }
            going.abort();
            for other in others {
                other.await.expect("it ends").expect("it is committed");
            }
            let kept: Vec<i64> = numbers(&db).await.into_iter().filter(|n| *n >= at).collect();
            assert_eq!(kept, (at + 1..at + 20).collect::<Vec<_>>());
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_goes_away_while_queued_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().expect("a directory");
        let db = table(&dir).await;
        for round in 0..200 {
            let first = insert(&db, round);
            tokio::pin!(first);
            assert!(futures::poll!(&mut first).is_pending());
            // Polled once: it is queued behind the first, and given up.
            let mut second = Box::pin(insert(&db, 1_000 + round));
            assert!(futures::poll!(&mut second).is_pending());
            drop(second);
            first.await.expect("it is committed although who followed went away");
        }
    }
}
