//! The audit log: who changed what others rely on, when, why, from what to what.

use kernel::UserId;
use serde_json::Value;

use crate::admission::{Column, Mode, RowSet};
use crate::db::{DbError, Query, Tx, args};

/// One entry, written in the transaction of the change.
pub struct Entry<'a> {
    pub actor: Option<UserId>,
    /// `offer.pause`, `user.role`, …
    pub action: &'a str,
    /// The id of what was changed.
    pub subject: String,
    pub reason: Option<&'a str>,
    pub before: Value,
    pub after: Value,
}

/// The row of an entry, for a batch that writes it in its own commit.
pub fn row(entry: &Entry<'_>, at_ms: i64) -> RowSet {
    let text = |value: Option<String>| Column::Text(vec![value]);
    RowSet {
        table: "audit",
        columns: vec![
            ("at_ms", Column::Int(vec![Some(at_ms)])),
            ("actor", Column::Uuid(vec![entry.actor.map(|user| user.0)])),
            ("action", text(Some(entry.action.to_owned()))),
            ("subject", text(Some(entry.subject.clone()))),
            ("reason", text(entry.reason.map(str::to_owned))),
            ("before", text(Some(entry.before.to_string()))),
            ("after", text(Some(entry.after.to_string()))),
        ],
        mode: Mode::Insert,
    }
}

pub async fn record(tx: &Tx, entry: Entry<'_>) -> Result<(), DbError> {
    let now_ms = tx.now_ms().await?;
    let sql =
        "INSERT INTO audit (at_ms, actor, action, subject, reason, before, after) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let args = args![
        now_ms,
        entry.actor.map(|user| user.0),
        entry.action,
        entry.subject,
        entry.reason.map(str::to_owned),
        entry.before.to_string(),
        entry.after.to_string(),
    ];
    tx.run(sql, args).await?;
    Ok(())
}
