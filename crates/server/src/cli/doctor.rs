//! `madang doctor`: looks for what would break a promise, and changes nothing.

use anyhow::Result;
use clap::Args;

use super::{Exit, YardArgs, say, say_json};
use crate::doctor::{Finding, Level, examine};

const EXAMPLES: &str = "Examples:
  madang doctor --data-dir /srv/yard
  madang doctor --json | jq '.[] | select(.level != \"ok\")'

Exit code: 0 nothing is broken (warnings included), 1 something is, 2 usage.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct DoctorArgs {
    #[command(flatten)]
    yard: YardArgs,
    /// A JSON list of `{level,subject,detail}`.
    #[arg(long)]
    json: bool,
}

pub async fn run(args: DoctorArgs) -> Result<Exit> {
    let config = args.yard.load()?.settings;
    let findings = examine(&args.yard.data_dir, &config).await;
    if args.json {
        say_json(&findings)?;
    } else {
        for Finding { level, subject, detail } in &findings {
            let level = match level {
                Level::Ok => "ok  ",
                Level::Warn => "warn",
                Level::Fail => "FAIL",
            };
            say(format!("{level}  {subject:<14} {detail}"));
        }
    }
    Ok(Exit::of(findings.iter().all(|finding| finding.level != Level::Fail)))
}
