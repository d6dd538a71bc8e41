//! `madang openapi`: the OpenAPI document of this version.

use anyhow::Result;
use clap::Args;
use platform::config::Sources;

use super::{Exit, say};
use crate::config::Config;
use crate::directory::DataDir;
use crate::yard::Yard;

const EXAMPLES: &str = "Examples:
  madang openapi > openapi.json

A running yard serves the same at /openapi.json.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct OpenapiArgs {}

pub async fn run(_args: OpenapiArgs) -> Result<Exit> {
    // The document is made with the routes, which want a database: an empty one, whatever the settings say.
    let directory = tempfile::tempdir()?;
    let config = Config::load(&Sources::default())?.settings.quiet();
    let yard = Yard::open(DataDir::take_or_refuse(directory.path())?, config, None).await?;
    say(yard.openapi());
    yard.stop().await;
    Ok(Exit::Well)
}
