//! Migrations: SQL text once for both databases, with the few type words that differ.
//!
//! | word | SQLite | PostgreSQL |
//! |---|---|---|
//! | `UUID` | `BLOB` | `uuid` |
//! | `BYTES` | `BLOB` | `bytea` |
//! | `INT` | `INTEGER` | `bigint` |
//! | `AUTO_ID` | `INTEGER PRIMARY KEY AUTOINCREMENT` | `bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY` |
//! | `STRICT` | `STRICT` | nothing |
//! | `KEYED` | `STRICT, WITHOUT ROWID`: stored in the primary key's order, one tree fewer to write | nothing |

use sea_orm::ConnectionTrait;
use sha2::{Digest, Sha256};

use super::{Db, DbError, Kind, Query, args};

/// One step of a context's schema. Never edited once released: its text is hashed and compared.
#[derive(Clone, Copy)]
pub struct Migration {
    pub name: &'static str,
    pub sql: &'static str,
}

/// Brings the schema up; answers how many steps were new.
pub async fn migrate(db: &Db, steps: &[Migration]) -> Result<usize, DbError> {
    let steps = steps.to_vec();
    db.write(move |tx| {
        Box::pin(async move {
            let kind = tx.db().kind();
            if kind == Kind::Postgres {
                // Why: two processes that start at once would both create the same tables.
                tx.run("SELECT pg_advisory_xact_lock(hashtext('madang-migrate'))", args![]).await?;
            }
            let ledger = "CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY, sha TEXT NOT NULL, applied_ms INT NOT NULL) STRICT";
            tx.connection().execute_unprepared(&dialect(ledger, kind)).await?;
            let mut applied = 0;
            for step in steps {
                let sha = hex::encode(Sha256::digest(step.sql));
                let known = tx.one::<(String,)>("SELECT sha FROM migration WHERE name = $1", args![step.name]).await?;
                match known {
                    Some((known,)) if known == sha => continue,
                    Some(_) => {
                        let text = format!("migration {} differs from the one that was applied", step.name);
                        return Err(DbError::Failed(anyhow::anyhow!(text)));
                    }
                    None => {}
                }
                tx.connection().execute_unprepared(&dialect(step.sql, kind)).await?;
                let now_ms = tx.now_ms().await?;
                tx.run("INSERT INTO migration (name, sha, applied_ms) VALUES ($1, $2, $3)", args![step.name, sha, now_ms])
                    .await?;
                applied += 1;
            }
            Ok(applied)
        })
    })
    .await
}

/// Replaces the type words by this database's.
fn dialect(sql: &str, kind: Kind) -> String {
    let mut out = String::with_capacity(sql.len() + 64);
    let mut rest = sql;
    while !rest.is_empty() {
        let word_len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (word, tail) = rest.split_at(word_len);
        out.push_str(match (word, kind) {
            ("UUID" | "BYTES", Kind::Sqlite) => "BLOB",
            ("INT", Kind::Sqlite) => "INTEGER",
            ("AUTO_ID", Kind::Sqlite) => "INTEGER PRIMARY KEY AUTOINCREMENT",
            ("UUID", Kind::Postgres) => "uuid",
            ("BYTES", Kind::Postgres) => "bytea",
            ("INT", Kind::Postgres) => "bigint",
            ("AUTO_ID", Kind::Postgres) => "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
            ("KEYED", Kind::Sqlite) => "STRICT, WITHOUT ROWID",
            ("STRICT" | "KEYED", Kind::Postgres) => "",
            (other, _) => other,
        });
        let gap_len = tail.find(|c: char| c.is_ascii_alphanumeric() || c == '_').unwrap_or(tail.len());
        out.push_str(&tail[..gap_len]);
        rest = &tail[gap_len..];
    }
    out
}
