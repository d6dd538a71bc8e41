//! The ledger: double entry, append only.
//!
//! Invariants:
//! - a transfer takes from one account what it gives another, so that all balances sum to zero;
//! - a transfer's id is made of what caused it: the same cause moves money once;
//! - nothing is changed or deleted; what is taken back is a transfer of its own.

use std::collections::BTreeMap;

use kernel::{PaymentId, UserId, Won};
use platform::db::{DbError, FromQueryResult, Query, Tx, args};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Whose money. Wallets, escrow and the platform's funding are foreseen by the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account<'a> {
    /// What a provider holds for us: below zero by what it owes.
    Clearing(&'a str),
    /// What we owe to whom was paid.
    Payable(UserId),
}

impl Account<'_> {
    fn kind(self) -> &'static str {
        match self {
            Account::Clearing(_) => "clearing",
            Account::Payable(_) => "payable",
        }
    }

    fn owner(self) -> String {
        match self {
            Account::Clearing(provider) => provider.to_owned(),
            Account::Payable(user) => user.to_string(),
        }
    }

    /// Made of what it is, so that nobody has to look it up.
    pub fn id(self) -> Uuid {
        made_of(&[self.kind(), &self.owner()])
    }
}

/// What moved the money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The provider took the payer's money.
    Capture,
    /// Under a refund's key, some of it went back.
    Refund(Uuid),
}

/// Money that moves from one account to another.
#[derive(Clone, Copy, Debug)]
pub struct Transfer<'a> {
    pub cause: Cause,
    pub payment: PaymentId,
    pub debit: Account<'a>,
    pub credit: Account<'a>,
    pub amount: Won,
}

impl Transfer<'_> {
    /// One per cause.
    pub fn id(&self) -> Uuid {
        match self.cause {
            Cause::Capture => made_of(&["capture", &self.payment.to_string()]),
            Cause::Refund(key) => made_of(&["refund", &key.to_string()]),
        }
    }

    fn kind(&self) -> &'static str {
        match self.cause {
            Cause::Capture => "capture",
            Cause::Refund(_) => "refund",
        }
    }
}

/// A UUID (version 8) that stands for these words.
fn made_of(words: &[&str]) -> Uuid {
    let digest = Sha256::digest(format!("madang ledger {}", words.join(" ")));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[derive(FromQueryResult)]
struct Posted {
    id: Uuid,
    debit: Uuid,
    credit: Uuid,
    amount: i64,
    kind: String,
    reference: Uuid,
}
platform::rows!(Posted);

/// Writes the transfers and moves the balances; answers how many were new. One that is there already must be the same.
pub async fn post(tx: &Tx, transfers: &[Transfer<'_>]) -> Result<usize, DbError> {
    let fresh = insert(tx, transfers).await?;
    if fresh.len() < transfers.len() {
        compare(tx, transfers).await?;
    }
    let mut deltas = BTreeMap::<Uuid, (Account<'_>, i64)>::new();
    for transfer in transfers.iter().filter(|transfer| fresh.contains(&transfer.id())) {
        for (account, amount) in [(transfer.debit, -transfer.amount.0), (transfer.credit, transfer.amount.0)] {
            let delta = &mut deltas.entry(account.id()).or_insert((account, 0)).1;
            *delta = delta.checked_add(amount).ok_or_else(|| too_much(account))?;
        }
    }
    if !deltas.is_empty() {
        move_balances(tx, &deltas).await?;
    }
    Ok(fresh.len())
}

fn too_much(account: Account<'_>) -> DbError {
    DbError::Constraint(format!("the account {account:?} would pass what a number can hold"))
}

async fn insert(tx: &Tx, transfers: &[Transfer<'_>]) -> Result<Vec<Uuid>, DbError> {
    let row = |transfer: &Transfer<'_>| {
        json!([
            transfer.id().simple().to_string(),
            transfer.debit.id().simple().to_string(),
            transfer.credit.id().simple().to_string(),
            transfer.amount.0,
            transfer.kind(),
            transfer.payment.0.simple().to_string(),
        ])
    };
    let rows: Vec<_> = transfers.iter().map(row).collect();
    let sql = tx.db().pick(
        "INSERT INTO ledger_transfer (id, debit, credit, amount, kind, reference, at_ms)
         SELECT unhex(e.value ->> 0), unhex(e.value ->> 1), unhex(e.value ->> 2), e.value ->> 3, e.value ->> 4,
             unhex(e.value ->> 5), $2 FROM json_each($1) e WHERE true ORDER BY e.key
         ON CONFLICT (id) DO NOTHING RETURNING id",
        "INSERT INTO ledger_transfer (id, debit, credit, amount, kind, reference, at_ms)
         SELECT (e.value ->> 0)::uuid, (e.value ->> 1)::uuid, (e.value ->> 2)::uuid, (e.value ->> 3)::bigint, e.value ->> 4,
             (e.value ->> 5)::uuid, $2 FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY e(value, n) ORDER BY e.n
         ON CONFLICT (id) DO NOTHING RETURNING id",
    );
    let now_ms = tx.now_ms().await?;
    let fresh = tx.all::<(Uuid,)>(sql, args![json!(rows).to_string(), now_ms]).await?;
    Ok(fresh.into_iter().map(|row| row.0).collect())
}

/// The same cause with another content is a mistake of ours, and moves nothing.
async fn compare(tx: &Tx, transfers: &[Transfer<'_>]) -> Result<(), DbError> {
    let sql = tx.db().pick(
        "SELECT id, debit, credit, amount, kind, reference FROM ledger_transfer
         WHERE id IN (SELECT unhex(value) FROM json_each($1))",
        "SELECT id, debit, credit, amount, kind, reference FROM ledger_transfer
         WHERE id IN (SELECT value::uuid FROM jsonb_array_elements_text($1::jsonb))",
    );
    let posted = tx.all::<Posted>(sql, args![ids(transfers.iter().map(Transfer::id))]).await?;
    for transfer in transfers {
        let same = |row: &&Posted| {
            row.id == transfer.id()
                && (row.debit, row.credit) == (transfer.debit.id(), transfer.credit.id())
                && (row.amount, row.reference) == (transfer.amount.0, transfer.payment.0)
                && row.kind == transfer.kind()
        };
        if posted.iter().find(same).is_none() {
            return Err(DbError::Constraint(format!("the transfer {} was posted with another content", transfer.id())));
        }
    }
    Ok(())
}

/// Adds the deltas. Accounts are locked in the order of their ids, so that nobody waits in a circle.
async fn move_balances(tx: &Tx, deltas: &BTreeMap<Uuid, (Account<'_>, i64)>) -> Result<(), DbError> {
    let lock = tx.db().pick(
        "SELECT id FROM ledger_account WHERE id IN (SELECT unhex(value) FROM json_each($1)) ORDER BY id",
        "SELECT id FROM ledger_account WHERE id IN (SELECT value::uuid FROM jsonb_array_elements_text($1::jsonb))
         ORDER BY id FOR UPDATE",
    );
    let list = ids(deltas.keys().copied());
    let there = tx.all::<(Uuid,)>(lock, args![list.as_str()]).await?;
    if there.len() < deltas.len() {
        for (id, (account, _)) in deltas {
            let sql = "INSERT INTO ledger_account (id, kind, owner, balance) VALUES ($1, $2, $3, 0) ON CONFLICT (id) DO NOTHING";
            tx.run(sql, args![*id, account.kind(), account.owner()]).await?;
        }
        tx.all::<(Uuid,)>(lock, args![list]).await?;
    }
    let rows: Vec<_> = deltas.iter().map(|(id, (_, delta))| json!([id.simple().to_string(), delta])).collect();
    let sql = tx.db().pick(
        "UPDATE ledger_account SET balance = balance + d.delta
         FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS delta FROM json_each($1)) d WHERE ledger_account.id = d.id",
        "UPDATE ledger_account SET balance = balance + d.delta
         FROM (SELECT (value ->> 0)::uuid AS id, (value ->> 1)::bigint AS delta FROM jsonb_array_elements($1::jsonb)) d
         WHERE ledger_account.id = d.id",
    );
    tx.run(sql, args![json!(rows).to_string()]).await?;
    Ok(())
}

/// Ids as statements take a list of them.
pub fn ids(ids: impl Iterator<Item = Uuid>) -> String {
    json!(ids.map(|id| id.simple().to_string()).collect::<Vec<_>>()).to_string()
}

/// How far the books are from right, in won: what all balances sum to, and by how much balances differ from the sum
/// of their transfers. Both are zero.
pub async fn imbalance(query: &impl Query) -> Result<i64, DbError> {
    let sql = "SELECT CAST(coalesce(abs(sum(a.balance)), 0) + coalesce(sum(abs(a.balance - coalesce(t.net, 0))), 0) AS bigint)
        FROM ledger_account a LEFT JOIN (
            SELECT account, sum(amount) AS net FROM (
                SELECT credit AS account, amount FROM ledger_transfer UNION ALL SELECT debit, -amount FROM ledger_transfer
            ) moved GROUP BY account
        ) t ON t.account = a.id";
    Ok(query.one::<(i64,)>(sql, args![]).await?.map_or(0, |row| row.0))
}
