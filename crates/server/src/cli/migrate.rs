//! `madang migrate`: brings the database up to this version without serving.

use anyhow::Result;
use clap::Args;
use platform::db::{Query, args};

use super::{Exit, YardArgs, say, say_json};
use crate::directory::DataDir;
use crate::yard::Yard;

const EXAMPLES: &str = "Examples:
  madang migrate --data-dir /srv/yard
  MADANG__DB__URL=postgres://… madang migrate

A yard does the same when it starts. Steps are only ever added; running it again changes nothing.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct MigrateArgs {
    #[command(flatten)]
    yard: YardArgs,
    #[arg(long)]
    json: bool,
}

pub async fn run(args: MigrateArgs) -> Result<Exit> {
    let config = args.yard.load()?.settings.quiet();
    let dir = DataDir::take_or_refuse(&args.yard.data_dir)?;
    let yard = Yard::open(dir, config, None).await?;
    let mut contexts = serde_json::Map::new();
    for db in yard.databases() {
        let steps = db.all::<(String,)>("SELECT name FROM migration ORDER BY applied_ms, name", args![]).await?;
        let names: Vec<String> = steps.into_iter().map(|(name,)| name).collect();
        if !args.json {
            say(format!("{:<10} {}", db.name(), names.join(", ")));
        }
        contexts.insert(db.name().to_owned(), names.into());
    }
    yard.stop().await;
    if args.json {
        say_json(&contexts)?;
    }
    Ok(Exit::Well)
}
