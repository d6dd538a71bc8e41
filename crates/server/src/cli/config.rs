//! `madang config`: what is set, where, and whether it is right.

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{Exit, YardArgs, say};

const EXAMPLES: &str = "Examples:
  madang config check --config yard.toml
  MADANG__HTTP__PORT=9000 madang config print

A setting comes from its default, then the file, then MADANG__PART__KEY; the later one counts.
Exit code: 0 right, 2 wrong (all mistakes are told at once).";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Tells all mistakes, or that there are none.
    Check(YardArgs),
    /// Prints each setting with its source; secrets as ***.
    Print(YardArgs),
}

pub fn run(args: ConfigArgs) -> Result<Exit> {
    match args.command {
        ConfigCommand::Check(yard) => {
            yard.load()?;
            say("the settings are right");
        }
        ConfigCommand::Print(yard) => say(yard.load()?.print()),
    }
    Ok(Exit::Well)
}
