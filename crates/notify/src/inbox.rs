//! Writing notices: many at once, each once.

use std::collections::BTreeMap;

use kernel::UserId;
use platform::db::{DbError, Tx};
use uuid::Uuid;

use crate::kinds::Kind;
use crate::model::Values;
use crate::store;

/// What somebody is told.
#[derive(Clone, Debug)]
pub struct Notice {
    pub id: Uuid,
    /// What it tells of: an event, or a thing that is told of once.
    pub source: Uuid,
    pub user: UserId,
    pub kind: &'static Kind,
    pub values: Values,
}

impl Notice {
    pub fn new(source: Uuid, user: UserId, kind: &'static Kind, values: Values) -> Self {
        Self { id: Uuid::now_v7(), source, user, kind, values }
    }
}

/// Writes notices in one statement; those that were written before change nothing.
pub async fn tell(tx: &Tx, notices: &[Notice]) -> Result<(), DbError> {
    if notices.is_empty() {
        return Ok(());
    }
    let now_ms = tx.now_ms().await?;
    store::in_order(tx).await?;
    store::insert(tx, notices, now_ms).await?;
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for notice in notices {
        *counts.entry(notice.kind.code).or_default() += 1;
    }
    for (kind, count) in counts {
        metrics::counter!("madang_notify_notices_total", "kind" => kind).increment(count);
    }
    Ok(())
}
