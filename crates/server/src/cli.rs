//! The command line: one file per command.
//!
//! Exit codes: 0 it went well (or is true), 1 it did not (or is false), 2 it was asked wrongly.

mod admin;
mod backup;
mod config;
mod demo;
mod doctor;
mod migrate;
mod offer;
mod openapi;
mod rehearse;
mod restore;
mod saga;
mod sandbox;
mod serve;
mod verify;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use axum::Router;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use platform::config::Sources;
use serde::Serialize;

use crate::config::{Config, Loaded};

const EXAMPLES: &str = "Examples:
  madang                                     a yard on http://127.0.0.1:8080, its files in ./data
  madang admin create --username boss        its first account; the password is read from standard input
  madang demo                                a yard with people and races to play with
  madang rehearse --people 10000 --capacity 100
  madang verify http://127.0.0.1:8080/api/v1/races/<id>

Exit code: 0 well or true, 1 failed or false, 2 usage.";

#[derive(Parser)]
#[command(name = "madang", version, about = ABOUT, after_help = EXAMPLES, args_conflicts_with_subcommands = true, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::ServeArgs,
}

const ABOUT: &str = "Madang: when many people want few things, exactly N get one, in an order anybody can check";

#[derive(Subcommand)]
enum Command {
    /// Runs a yard (also without any command).
    Serve(serve::ServeArgs),
    /// Runs a yard with people and races to play with.
    Demo(demo::DemoArgs),
    /// Accounts with rights.
    Admin(admin::AdminArgs),
    /// The organiser's hand on the sale of a race.
    Offer(offer::OfferArgs),
    /// Plays an opening minute with people of its own and checks what came of it.
    Rehearse(rehearse::RehearseArgs),
    /// What is under way in several steps: looks at it, retries it, undoes it.
    Saga(saga::SagaArgs),
    /// Recomputes a sale from its public log.
    Verify(verify::VerifyArgs),
    /// Looks for what would break a promise: clock, disk, fsync, keys, settings.
    Doctor(doctor::DoctorArgs),
    /// Checks or prints the settings.
    Config(config::ConfigArgs),
    /// Brings the database up to this version without serving.
    Migrate(migrate::MigrateArgs),
    /// Runs the payment provider that takes no money, for a yard of several processes.
    Sandbox(sandbox::SandboxArgs),
    /// Copies the yard as it is at one moment, also while it runs.
    Backup(backup::BackupArgs),
    /// Makes a yard out of a backup.
    Restore(restore::RestoreArgs),
    /// Says that an older state was brought back by other means.
    Restored(restore::RestoredArgs),
    /// Prints the OpenAPI document of this version.
    Openapi(openapi::OpenapiArgs),
}

/// Runs the command line. `extra` are routes that a yard started by it has besides its own, behind the same gateway.
pub fn main(args: impl IntoIterator<Item = OsString>, extra: Option<Router>) -> ExitCode {
    // reqwest and sqlx are built without a provider of their own; a second call changes nothing.
    rustls::crypto::ring::default_provider().install_default().ok();
    let cli = match Cli::command().try_get_matches_from(args).and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output with code 0, a mistake to standard error with code 2.
            error.print().ok();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("madang: no threads to run on: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(run(cli, extra));
    // A blocking thread that still waits for something must not keep the process.
    runtime.shutdown_background();
    match outcome {
        Ok(Exit::Well) => ExitCode::SUCCESS,
        Ok(Exit::Failed) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("madang: {error:#}");
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

async fn run(cli: Cli, extra: Option<Router>) -> Result<Exit> {
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve::run(args, extra).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Admin(args) => admin::run(args).await,
        Command::Offer(args) => offer::run(args).await,
        Command::Rehearse(args) => rehearse::run(args).await,
        Command::Saga(args) => saga::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Doctor(args) => doctor::run(args).await,
        Command::Config(args) => config::run(args),
        Command::Migrate(args) => migrate::run(args).await,
        Command::Sandbox(args) => sandbox::run(args).await,
        Command::Backup(args) => backup::run(args).await,
        Command::Restore(args) => restore::run(args).await,
        Command::Restored(args) => restore::run_restored(args).await,
        Command::Openapi(args) => openapi::run(args).await,
    }
}

/// How a command ended that could be carried out.
enum Exit {
    Well,
    /// It says itself what is not right.
    Failed,
}

impl Exit {
    fn of(well: bool) -> Exit {
        if well { Exit::Well } else { Exit::Failed }
    }
}

/// Marks an error as the caller's: exit code 2.
#[derive(Debug)]
struct Usage(anyhow::Error);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for Usage {}

fn usage(error: anyhow::Error) -> anyhow::Error {
    anyhow::Error::new(Usage(error))
}

/// Which yard a command means.
#[derive(Args, Clone)]
struct YardArgs {
    /// The yard's files.
    #[arg(long, value_name = "DIR", env = "MADANG_DATA_DIR", default_value = "data")]
    data_dir: PathBuf,
    /// Settings; without it DIR/madang.toml, where there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl YardArgs {
    /// Defaults, file and environment; flags are added by the command.
    fn sources(&self) -> Sources {
        match &self.config {
            Some(file) => Sources::process().file(file),
            None => Sources::process().file_if_there(self.data_dir.join("madang.toml")),
        }
    }

    fn load(&self) -> Result<Loaded> {
        Config::load(&self.sources()).map_err(|problems| usage(problems.into()))
    }
}

/// Writes to standard output; whoever closed it does not want to know.
fn say(text: impl AsRef<str>) {
    let text = text.as_ref();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let mut out = std::io::stdout().lock();
    write!(out, "{text}{end}").and_then(|()| out.flush()).ok();
}

fn say_json(value: &impl Serialize) -> Result<()> {
    say(serde_json::to_string(value)?);
    Ok(())
}

#[cfg(test)]
mod tests;
