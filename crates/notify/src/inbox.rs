//! Writing notices: many at once, each once.

use std::collections::BTreeMap;

use kernel::UserId;
use platform::db::{DbError, Tx};
use uuid::Uuid;

use crate::kinds::{Channel, Kind};
use crate::model::Values;
use crate::outside::Outside;
use crate::store::{self, deliveries};

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

/// The channels outside that are on.
#[derive(Clone, Copy, Debug)]
pub struct Channels {
    pub email: bool,
    pub slack: bool,
    pub operators: bool,
}

impl Channels {
    pub fn of(outside: &Outside) -> Self {
        Self { email: outside.mail.is_some(), slack: outside.slack.is_some(), operators: outside.operators.is_some() }
    }
}

/// Writes notices in one statement, and one for each channel that is on; those that were written before change nothing.
pub async fn tell(tx: &Tx, on: Channels, notices: &[Notice]) -> Result<(), DbError> {
    if notices.is_empty() {
        return Ok(());
    }
    let now_ms = tx.now_ms().await?;
    store::in_order(tx).await?;
    store::insert(tx, notices, now_ms).await?;
    for (channel, is_on) in [(Channel::Email, on.email), (Channel::Slack, on.slack)] {
        if is_on {
            deliveries::queue(tx, notices, channel, now_ms).await?;
        }
    }
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for notice in notices {
        *counts.entry(notice.kind.code).or_default() += 1;
    }
    for (kind, count) in counts {
        metrics::counter!("madang_notify_notices_total", "kind" => kind).increment(count);
    }
    Ok(())
}
