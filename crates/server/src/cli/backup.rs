//! `madang backup`: copies a yard as it is at one moment.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use axum::http::Method;
use clap::Args;
use serde_json::{Value, json};

use super::{Exit, YardArgs, say, say_json};
use crate::backup::{back_up_stopped, ensure_yard};
use crate::directory::{DataDir, Taken};
use crate::socket::Reach;

const EXAMPLES: &str = "Examples:
  madang backup /backups/yard-$(date +%F) --data-dir /srv/yard
  madang backup before-the-upgrade --json | jq .cut_at

Works while a yard runs on the directory, and without one. Everything that was answered before the moment `cut_at` is in
the backup. TO is a new directory: nothing is ever overwritten, and what breaks off leaves none. It holds the yard's keys:
keep it as you keep those. A yard on PostgreSQL is backed up by pg_dump: docs/backup.md.

Exit code: 0 well, 1 failed, 2 usage.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct BackupArgs {
    /// The directory to make.
    #[arg(value_name = "TO")]
    to: PathBuf,
    #[command(flatten)]
    yard: YardArgs,
    /// One JSON object: the manifest, and how long writers were held.
    #[arg(long)]
    json: bool,
}

pub async fn run(args: BackupArgs) -> Result<Exit> {
    let config = args.yard.load()?.settings;
    if config.db.url().is_some() {
        bail!("this yard is in PostgreSQL (db.url): back it up by pg_dump, see docs/backup.md");
    }
    let data_dir = &args.yard.data_dir;
    ensure_yard(data_dir)?;
    let to = std::path::absolute(&args.to).with_context(|| format!("cannot use {}", args.to.display()))?;
    let made = make(data_dir, &to).await.context("no backup was made")?;
    if args.json {
        say_json(&made)?;
    } else {
        say(tell(&made));
    }
    Ok(Exit::Well)
}

async fn make(data_dir: &Path, to: &Path) -> Result<Value> {
    match DataDir::take(data_dir)? {
        Taken::Mine(dir) => Ok(serde_json::to_value(back_up_stopped(&dir, to).await?)?),
        Taken::Others(_) => {
            Reach::Running(data_dir.to_owned()).send(Method::POST, "/backup", &json!({ "to": to })).await
        }
    }
}

fn tell(made: &Value) -> String {
    let text = |name: &str| made[name].as_str().unwrap_or_default();
    let files = made["files"].as_array().map(Vec::as_slice).unwrap_or_default();
    let bytes: u64 = files.iter().filter_map(|file| file["bytes"].as_u64()).sum();
    format!(
        "{}\nyard {}, as of {}\n{} files, {bytes} bytes; writers were held for {:.1} ms",
        text("backup"),
        text("yard"),
        text("cut_at"),
        files.len(),
        made["held_ms"].as_f64().unwrap_or_default()
    )
}
