use kernel::{Cursor, PaymentId};
use platform::db::{Db, DbError, FromQueryResult, Query, Tx, args};
use uuid::Uuid;

use crate::ledger::{Account, ids};
use crate::store::list_of_ids;

/// A day of a provider, compared.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct Run {
    pub id: Uuid,
    pub provider: String,
    pub from_ms: i64,
    pub to_ms: i64,
    pub entries: i64,
    pub provider_won: i64,
    pub ledger_won: i64,
    pub differences: i64,
    pub run_ms: i64,
}
platform::rows!(Run);

#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct Difference {
    pub reconciliation_id: Uuid,
    pub provider_key: String,
    pub kind: String,
    pub payment_id: Option<Uuid>,
    pub provider_won: i64,
    pub ledger_won: i64,
    pub intent_won: i64,
}
platform::rows!(Difference);

/// What a provider holds of each payment that moved, by the ledger.
pub async fn moved(
    query: &impl Query,
    provider: &str,
    from_ms: i64,
    to_ms: i64,
) -> Result<Vec<(String, i64)>, DbError> {
    let sql = "SELECT p.provider_key, CAST(sum(CASE WHEN t.debit = $1 THEN t.amount ELSE -t.amount END) AS bigint)
               FROM ledger_transfer t JOIN payment p ON p.id = t.reference
               WHERE t.at_ms >= $2 AND t.at_ms < $3 AND (t.debit = $1 OR t.credit = $1) GROUP BY p.provider_key";
    query.all(sql, args![Account::Clearing(provider).id(), from_ms, to_ms]).await
}

/// Payments captured then whose own record and ledger differ.
pub async fn at_odds(query: &impl Query, provider: &str, from_ms: i64, to_ms: i64) -> Result<Vec<String>, DbError> {
    let sql = format!(
        "SELECT provider_key FROM payment
         WHERE provider = $2 AND captured_ms >= $3 AND captured_ms < $4 AND amount_won - refunded_won <> {HELD}"
    );
    let found = query.all::<(String,)>(&sql, args![Account::Clearing(provider).id(), provider, from_ms, to_ms]).await?;
    Ok(found.into_iter().map(|row| row.0).collect())
}

/// What the ledger says that the provider holds of a payment; `$1` is the provider's account.
const HELD: &str = "(SELECT CAST(coalesce(sum(CASE WHEN debit = $1 THEN amount ELSE -amount END), 0) AS bigint)
    FROM ledger_transfer t WHERE t.reference = payment.id AND (t.debit = $1 OR t.credit = $1))";

/// What the ledger and the payment itself say in all.
pub async fn whole(query: &impl Query, provider: &str, id: PaymentId) -> Result<(i64, i64), DbError> {
    let sql = format!(
        "SELECT {HELD}, CASE WHEN state = 'captured' THEN amount_won - refunded_won ELSE CAST(0 AS bigint) END
         FROM payment WHERE id = $2"
    );
    let found = query.one::<(i64, i64)>(&sql, args![Account::Clearing(provider).id(), id.0]).await?;
    found.ok_or(DbError::Missing)
}

/// Writes a run over the one of the same day.
pub async fn replace(tx: &Tx, run: &Run, differences: &[Difference]) -> Result<Uuid, DbError> {
    let sql = "INSERT INTO reconciliation (id, provider, from_ms, to_ms, entries, provider_won, ledger_won, differences, run_ms)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
               ON CONFLICT (provider, from_ms) DO UPDATE SET to_ms = $4, entries = $5, provider_won = $6, ledger_won = $7,
                   differences = $8, run_ms = $9
               RETURNING id";
    let args = args![
        run.id,
        run.provider.as_str(),
        run.from_ms,
        run.to_ms,
        run.entries,
        run.provider_won,
        run.ledger_won,
        run.differences,
        run.run_ms,
    ];
    let (id,) = tx.one::<(Uuid,)>(sql, args).await?.ok_or(DbError::Missing)?;
    tx.run("DELETE FROM difference WHERE reconciliation_id = $1", args![id]).await?;
    for one in differences {
        let sql = "INSERT INTO difference (reconciliation_id, provider_key, kind, payment_id, provider_won, ledger_won, intent_won)
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let args = args![
            id,
            one.provider_key.as_str(),
            one.kind.as_str(),
            one.payment_id,
            one.provider_won,
            one.ledger_won,
            one.intent_won,
        ];
        tx.run(sql, args).await?;
    }
    Ok(id)
}

/// The newest days first, one more than `limit`.
pub async fn page(query: &impl Query, after: Option<Cursor>, limit: i64) -> Result<Vec<Run>, DbError> {
    let after = after.unwrap_or(Cursor { key: i64::MAX, id: Uuid::max() });
    let sql = "SELECT id, provider, from_ms, to_ms, entries, provider_won, ledger_won, differences, run_ms
               FROM reconciliation WHERE (from_ms, id) < ($1, $2) ORDER BY from_ms DESC, id DESC LIMIT $3";
    query.all(sql, args![after.key, after.id, limit + 1]).await
}

pub async fn differences(db: &Db, runs: &[Run]) -> Result<Vec<Difference>, DbError> {
    let sql = format!(
        "SELECT reconciliation_id, provider_key, kind, payment_id, provider_won, ledger_won, intent_won
         FROM difference WHERE reconciliation_id IN ({}) ORDER BY reconciliation_id, provider_key",
        list_of_ids(db)
    );
    db.all(&sql, args![ids(runs.iter().map(|run| run.id))]).await
}

/// The days that were compared after they were over, by where they begin.
pub async fn done_since(query: &impl Query, provider: &str, from_ms: i64) -> Result<Vec<i64>, DbError> {
    let sql = "SELECT from_ms FROM reconciliation WHERE provider = $1 AND from_ms >= $2 AND run_ms >= to_ms";
    Ok(query.all::<(i64,)>(sql, args![provider, from_ms]).await?.into_iter().map(|row| row.0).collect())
}

/// When the first payment was opened.
pub async fn first_payment_ms(query: &impl Query) -> Result<Option<i64>, DbError> {
    let sql = "SELECT created_ms FROM payment ORDER BY id LIMIT 1";
    Ok(query.one::<(i64,)>(sql, args![]).await?.map(|row| row.0))
}
