//! Leases: who may do a thing right now, the same on both databases.

use uuid::Uuid;

use crate::db::{Db, DbError, Query, Tx, args};

/// A named right to work, held until its time runs out.
#[derive(Clone)]
pub struct Lease {
    db: Db,
    name: String,
    owner: Uuid,
    length_ms: i64,
}

impl Lease {
    pub fn new(db: Db, name: impl Into<String>, length_ms: i64) -> Self {
        Self { db, name: name.into(), owner: Uuid::now_v7(), length_ms }
    }

    /// Takes or prolongs the lease; answers its attempt number for fencing, `None` while somebody else holds it.
    pub async fn hold(&self) -> Result<Option<i64>, DbError> {
        let (name, owner, length_ms) = (self.name.clone(), self.owner, self.length_ms);
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    let now_ms = tx.now_ms().await?;
                    let sql = "INSERT INTO lease (name, owner, until_ms, attempt) VALUES ($1, $2, $3, 1)
                               ON CONFLICT (name) DO UPDATE SET owner = $2, until_ms = $3,
                                   attempt = lease.attempt + CASE WHEN lease.owner = $2 THEN 0 ELSE 1 END
                               WHERE lease.owner = $2 OR lease.until_ms < $4
                               RETURNING attempt";
                    let row = tx.one::<(i64,)>(sql, args![name, owner, now_ms + length_ms, now_ms]).await?;
                    Ok(row.map(|row| row.0))
                })
            })
            .await
    }

    /// Is it still the one that was held at this attempt? Asked in the transaction that writes the result, so that
    /// who was too slow and lost the lease changes nothing.
    pub async fn is_held(&self, tx: &Tx, attempt: i64) -> Result<bool, DbError> {
        let sql = tx.db().pick(
            "SELECT attempt FROM lease WHERE name = $1 AND owner = $2 AND attempt = $3",
            "SELECT attempt FROM lease WHERE name = $1 AND owner = $2 AND attempt = $3 FOR UPDATE",
        );
        Ok(tx.one::<(i64,)>(sql, args![self.name.as_str(), self.owner, attempt]).await?.is_some())
    }

    /// Gives it up early, so that the next one need not wait.
    pub async fn release(&self) {
        let lease = self.clone();
        let released = self.db.write(move |tx| Box::pin(async move { lease.give_up(tx).await })).await;
        if let Err(error) = released {
            tracing::debug!(lease = self.name, %error, "a lease was not given up; it runs out by itself");
        }
    }

    /// Gives it up with the transaction that writes the result.
    pub async fn give_up(&self, tx: &Tx) -> Result<(), DbError> {
        let sql = "UPDATE lease SET until_ms = 0 WHERE name = $1 AND owner = $2";
        tx.run(sql, args![self.name.as_str(), self.owner]).await?;
        Ok(())
    }
}
