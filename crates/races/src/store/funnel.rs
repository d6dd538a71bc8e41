//! What the funnel of a race is made of.

use kernel::OfferId;
use platform::db::{Db, DbError, FromQueryResult, Query, args};

/// Registrations since a moment, by what became of them.
#[derive(Clone, Copy, Debug, Default, FromQueryResult)]
pub struct Counts {
    pub started: i64,
    pub confirmed: i64,
    pub cancelled: i64,
    pub expired: i64,
    pub failed: i64,
}

/// When a registration started and came to each step: terms, souvenir, address, payment, paid, confirmed.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub at_ms: [Option<i64>; 7],
}

impl Times {
    /// From the last step before the `nth` that was taken.
    pub fn took_ms(&self, nth: usize) -> Option<i64> {
        let before = self.at_ms[..=nth].iter().rev().find_map(|at| *at)?;
        Some((self.at_ms[nth + 1]? - before).max(0))
    }
}

#[derive(FromQueryResult)]
struct TimesRow {
    received_ms: i64,
    terms_ms: Option<i64>,
    souvenir_ms: Option<i64>,
    address_ms: Option<i64>,
    payment_ms: Option<i64>,
    paid_ms: Option<i64>,
    confirmed_ms: Option<i64>,
}
platform::rows!(Counts, TimesRow);

pub async fn counts(db: &Db, offer: OfferId, from_ms: i64) -> Result<Counts, DbError> {
    let sql = "SELECT count(*) AS started, count(g.confirmed_ms) AS confirmed,
                   count(CASE WHEN g.ended_by IN ('released', 'cancelled') THEN 1 END) AS cancelled,
                   count(CASE WHEN g.ended_by = 'expired' THEN 1 END) AS expired,
                   count(CASE WHEN g.ended_by = 'failed' THEN 1 END) AS failed
               FROM claim c JOIN registration g ON g.id = c.id
               WHERE c.offer_id = $1 AND c.received_ms >= $2";
    Ok(db.one::<Counts>(sql, args![offer.0, from_ms]).await?.unwrap_or_default())
}

/// Of those who took a step at all.
pub async fn times(db: &Db, offer: OfferId, from_ms: i64) -> Result<Vec<Times>, DbError> {
    let sql = "SELECT c.received_ms, s.terms_ms, s.souvenir_ms, s.address_ms, s.payment_ms, s.paid_ms, g.confirmed_ms
               FROM claim c JOIN registration g ON g.id = c.id
               JOIN registration_progress s ON s.registration_id = c.id
               WHERE c.offer_id = $1 AND c.received_ms >= $2";
    let rows = db.all::<TimesRow>(sql, args![offer.0, from_ms]).await?;
    let times = |row: TimesRow| Times {
        at_ms: [
            Some(row.received_ms),
            row.terms_ms,
            row.souvenir_ms,
            row.address_ms,
            row.payment_ms,
            row.paid_ms,
            row.confirmed_ms,
        ],
    };
    Ok(rows.into_iter().map(times).collect())
}

/// `(number of the interval, started, confirmed since)` of those in which anybody started.
pub async fn intake(db: &Db, offer: OfferId, from_ms: i64, width_ms: i64) -> Result<Vec<(i64, i64, i64)>, DbError> {
    let sql = "SELECT nth, count(*) AS started, count(confirmed_ms) AS confirmed FROM (
                   SELECT (c.received_ms - $2) / $3 AS nth, g.confirmed_ms
                   FROM claim c JOIN registration g ON g.id = c.id
                   WHERE c.offer_id = $1 AND c.received_ms >= $2
               ) intake GROUP BY nth ORDER BY nth";
    db.all(sql, args![offer.0, from_ms, width_ms]).await
}
