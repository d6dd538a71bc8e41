//! `bench`: how fast the yard is, and how that compares with the least any signed-in request costs.
//!
//! The yard under test is this very program, started anew as `bench yard …`: the product with one route more, a bare
//! authenticated POST through the same router, token check and body validation, without a database. Ratios are to that
//! route, measured in the same process within the same minute. Load and server share the machine's cores.

mod bare;
mod crowd;
mod database;
mod fill;
mod ledger;
mod rates;
mod registration;
mod report;
mod standing;
mod yard;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use serde::Serialize;

use database::Database;
use report::Report;

/// Measures the yard; without scenarios, in all of them.
#[derive(Parser)]
#[command(name = "bench", after_help = AFTER_HELP)]
pub struct Args {
    /// What to measure.
    pub scenarios: Vec<Scenario>,
    /// Where the yard keeps its data; `postgres` takes the server's address from MADANG__DB__URL.
    #[arg(long, default_value = "sqlite")]
    pub db: Db,
    /// Writes the results there too, as a list of `{scenario,db,rps,median,ratio,p99_ms,…}`.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Runs of each measurement, each on a fresh yard; their median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub runs: u32,
    /// People in one measurement, each with a token of his own; a yard has three times as many at once, and remembers
    /// the tokens of 100,000.
    #[arg(long, default_value_t = 30_000, value_parser = at_least_one)]
    pub people: usize,
    /// Connections of the closed loop.
    #[arg(long, default_value_t = 256, value_parser = at_least_one)]
    pub connections: usize,
    /// Claims an offer holds before the measurements on a full offer; 0 leaves these out.
    #[arg(long, default_value_t = 1_000_000)]
    pub claims: usize,
    /// The program to start as the yard, instead of this one's own `yard`.
    #[arg(long, value_name = "PROGRAM", hide = true)]
    pub yard: Option<PathBuf>,
}

const AFTER_HELP: &str = "Examples:
  bench                                     everything, on SQLite
  bench grant refusal --json rates.json     two rates and what they compare with
  MADANG__DB__URL=postgres://… bench --db postgres grant --claims 0

Exit code: 0 measured (whether or not a target was met), 1 the yard answered wrongly or not at all, 2 usage.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Scenario {
    /// The bare authenticated POST that others are compared with.
    Bare,
    /// A claim that is placed: durable, logged, with a receipt.
    Grant,
    /// A person's first click after the last unit: numbered, logged, durable.
    Refusal,
    /// The same person's next click.
    Repeat,
    /// From the start of the process to its first answer.
    Start,
    /// Resident memory of a yard that has nothing to do.
    Memory,
    /// From the click to the bib, paid in the sandbox.
    Registration,
    /// A captured payment's transfer in the ledger of payments.
    Ledger,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Db {
    Sqlite,
    Postgres,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next();
    if std::env::args_os().nth(1).is_some_and(|first| first == "yard") {
        return server::cli::main(program.into_iter().chain(arguments.skip(1)), Some(bare::routes()));
    }
    match measure(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn measure(args: Args) -> Result<()> {
    // reqwest is built without a provider of its own.
    rustls::crypto::ring::default_provider().install_default().ok();
    tokio::select! {
        // Why: ended this way, the yards that were started end too.
        () = interrupted() => anyhow::bail!("interrupted"),
        measured = run(&args) => measured,
    }
}

async fn run(args: &Args) -> Result<()> {
    let mut report = Report::new(args.db);
    let ended = scenarios(args, &mut report).await;
    // What was measured before something went wrong is worth reading, but no result for programs.
    print!("{report}");
    ended?;
    if let Some(path) = &args.json {
        let list = serde_json::to_vec_pretty(&report.rows())?;
        std::fs::write(path, list).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

async fn scenarios(args: &Args, report: &mut Report) -> Result<()> {
    let database = Database::new(args.db)?;
    let asked = |scenario| args.scenarios.is_empty() || args.scenarios.contains(&scenario);
    if asked(Scenario::Start) || asked(Scenario::Memory) {
        standing::measure(args, &database, &asked, report).await?;
    }
    let rates = [Scenario::Bare, Scenario::Grant, Scenario::Refusal, Scenario::Repeat];
    if rates.into_iter().any(asked) {
        rates::measure(args, &database, &asked, report).await?;
    }
    if asked(Scenario::Registration) {
        registration::measure(args, &database, report).await?;
    }
    if asked(Scenario::Ledger) {
        ledger::measure(args, &database, report).await?;
    }
    Ok(())
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let term = async {
        match signal(SignalKind::terminate()) {
            Ok(mut term) => term.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = term => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}
