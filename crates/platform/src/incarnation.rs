//! Which of its lives a PostgreSQL database is in. A restored dump, a recovery to a point in time and a promoted replica
//! begin another: they may lack what was answered before.
//!
//! Told by the cluster's identifier, its timeline and the database's own number. Whoever may not ask for them is not
//! warned, and says by `madang restored` what happened.

use crate::db::{Db, DbError, Migration, Query, args};

/// The table, in the database all processes of a yard share.
pub const MIGRATION: Migration = Migration {
    name: "yard_0002_incarnation",
    sql: "CREATE TABLE incarnation (one INT PRIMARY KEY CHECK (one = 1), name TEXT NOT NULL) STRICT;",
};

const NOW: &str = "SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()),
    substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), (SELECT oid FROM pg_database WHERE datname = current_database()))";
const KNOWN: &str = "SELECT name FROM incarnation WHERE one = 1";

/// The name of the present life where it is another than the one remembered; the first one is remembered at once.
pub async fn another(db: &Db) -> Result<Option<String>, DbError> {
    let now = match db.one::<(String,)>(NOW, args![]).await {
        Ok(row) => row.map(|row| row.0),
        Err(DbError::Failed(error)) => {
            tracing::warn!(%error, "whether the database was restored cannot be told; say so by `madang restored`");
            None
        }
        Err(error) => return Err(error),
    };
    let Some(now) = now else { return Ok(None) };
    let known = db.one::<(String,)>(KNOWN, args![]).await?;
    match known {
        Some((known,)) => Ok(Some(now).filter(|now| *now != known)),
        None => {
            remember(db, &now).await?;
            Ok(None)
        }
    }
}

/// Remembers the present life.
pub async fn remember(db: &Db, name: &str) -> Result<(), DbError> {
    let name = name.to_owned();
    let sql = "INSERT INTO incarnation (one, name) VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET name = excluded.name";
    db.write(move |tx| {
        Box::pin(async move {
            tx.run(sql, args![name]).await?;
            Ok(())
        })
    })
    .await
}
