//! `madang restore` and `madang restored`: a yard out of a backup.

use std::path::PathBuf;

use anyhow::{Context, Result};
use axum::http::Method;
use clap::Args;
use kernel::UtcTime;
use platform::db::Clock;
use serde_json::json;

use super::{Exit, YardArgs, say, say_json};
use crate::backup::{ensure_yard, restore};
use crate::socket::Reach;

const EXAMPLES: &str = "Examples:
  madang restore /backups/yard-2027-04-01 --data-dir /srv/yard
  madang serve --data-dir /srv/yard

Each file is compared with the backup's manifest. DIR must be new or empty. At the first start the order log of each offer
begins anew and says which leaves of the old one it continues: what was answered after the backup is lost, and everybody
can see that. Never let the old yard and the restored one run at the same time.

Exit code: 0 well, 1 refused or failed, 2 usage.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct RestoreArgs {
    /// What `madang backup` made.
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    /// The directory to make.
    #[arg(long, value_name = "DIR", env = "MADANG_DATA_DIR", default_value = "data")]
    data_dir: PathBuf,
    /// One JSON object: the backup's manifest.
    #[arg(long)]
    json: bool,
}

pub async fn run(args: RestoreArgs) -> Result<Exit> {
    let now = UtcTime(Clock::default().now_ms());
    let restored = tokio::task::spawn_blocking(move || restore(&args.backup, &args.data_dir, now)).await?;
    let restored = restored.context("nothing was restored")?;
    if args.json {
        say_json(&restored)?;
    } else {
        let manifest = &restored.manifest;
        say(format!("{}\nyard {}, as of {}", restored.data_dir.display(), manifest.yard, manifest.cut_at));
    }
    Ok(Exit::Well)
}

const RESTORED_EXAMPLES: &str = "Examples:
  madang restored --data-dir /srv/yard                      the files were put back by a snapshot of the disk
  MADANG__DB__URL=postgres://… madang restored              a replica was promoted while the yard went on

Needed only where something else than `madang restore` brought an older state back, and a start could not tell (on
PostgreSQL it can: docs/backup.md). The order log of each offer begins anew, at once, and says which leaves of the old one
it continues. Works while a yard runs, and without one.

Exit code: 0 well, 1 failed, 2 usage.";

#[derive(Args)]
#[command(after_help = RESTORED_EXAMPLES)]
pub struct RestoredArgs {
    #[command(flatten)]
    yard: YardArgs,
    /// The answer as JSON.
    #[arg(long)]
    json: bool,
}

pub async fn run_restored(args: RestoredArgs) -> Result<Exit> {
    let config = args.yard.load()?.settings;
    if config.db.url().is_none() {
        ensure_yard(&args.yard.data_dir)?;
    }
    let reach = Reach::open(&args.yard.data_dir, config).await?;
    let answer = match &reach {
        // It showed by itself, and was seen to.
        Reach::Here(yard) if yard.logs_begun() > 0 => Ok(json!({ "logs": yard.logs_begun() })),
        _ => reach.send(Method::POST, "/restored", &json!({})).await,
    };
    reach.close().await;
    let answer = answer?;
    if args.json {
        say_json(&answer)?;
    } else {
        say(format!("{} order logs begin anew", answer["logs"]));
    }
    Ok(Exit::Well)
}
