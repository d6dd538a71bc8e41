//! Transfers per second that the ledger of payments takes.
//!
//! One transfer is one captured payment's: its row, and with it the balances of the provider's clearing account and of
//! the one organiser whom all the payers pay, moved by `payments::ledger::post` in a transaction of its own, as when an
//! outcome is written. Payment and event, which the product writes in the same transaction, are not there: what is
//! measured is the ledger. As many are under way at once as the closed loop has connections; SQLite commits in groups
//! what queues for its writer, on PostgreSQL the two accounts' row locks put all of them in a line.

use std::time::Instant;

use anyhow::{Result, ensure};
use futures::StreamExt;
use kernel::{PaymentId, UserId, Won};
use payments::ledger::{Account, Cause, Transfer, imbalance, post};
use platform::db::{Clock, Db, DbError, open};
use platform::peers::Peers;

use crate::Args;
use crate::database::Database;
use crate::rates::slices;
use crate::report::{Kind, Report};
use crate::yard::Ground;

const FEE_WON: i64 = 30_000;

pub async fn measure(args: &Args, database: &Database, report: &mut Report) -> Result<()> {
    for number in 0..args.runs {
        eprintln!("transfers, run {} of {}", number + 1, args.runs);
        let ground = Ground::new(args, database).await?;
        let db = open("payments", &ground.place().options(), &Clock::default()).await?;
        // Makes the tables.
        let (peers, config) = (Peers::default(), payments::Config::default());
        payments::service(payments::Deps { db: db.clone(), peers, sandbox: None, config }).await?;
        let organiser = UserId::fresh();
        for group in slices(0..args.people).into_iter().filter(|group| !group.is_empty()) {
            let began = Instant::now();
            let transfers = futures::stream::iter(group.clone()).map(|_| transfer(&db, organiser));
            let took_ms: Vec<Result<f64, DbError>> = transfers.buffer_unordered(args.connections).collect().await;
            let elapsed = began.elapsed();
            let mut took_ms = took_ms.into_iter().collect::<Result<Vec<_>, _>>()?;
            took_ms.sort_by(f64::total_cmp);
            report.add(Kind::Transfers, group.len() as f64 / elapsed.as_secs_f64());
            report.add_p99(Kind::Transfers, took_ms[(took_ms.len() * 99 / 100).min(took_ms.len() - 1)]);
        }
        ensure!(imbalance(&db).await? == 0, "the books are not right");
        let rows = ground.place().rows().await?;
        let posted: i64 =
            rows.iter().filter(|(table, _)| table.ends_with("ledger_transfer")).map(|(_, rows)| rows).sum();
        ensure!(usize::try_from(posted).ok() == Some(args.people), "{posted} transfers of {}", args.people);
        db.close().await;
        ground.remove().await?;
    }
    Ok(())
}

/// Answers how long it took, in milliseconds.
async fn transfer(db: &Db, payee: UserId) -> Result<f64, DbError> {
    let began = Instant::now();
    let transfer = Transfer {
        cause: Cause::Capture,
        payment: PaymentId::fresh(),
        debit: Account::Clearing("sandbox"),
        credit: Account::Payable(payee),
        amount: Won(FEE_WON),
    };
    db.write(move |tx| Box::pin(async move { post(tx, &[transfer]).await })).await?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}
