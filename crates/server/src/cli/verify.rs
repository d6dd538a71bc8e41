//! `madang verify`: recomputes a sale from its public log.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use orderlog::Receipt;
use orderlog::check::{Comparison, compare};

use super::{Exit, say, say_json};
use crate::verify::{Place, tell};

const EXAMPLES: &str = "Examples:
  madang verify http://127.0.0.1:8080/api/v1/races/0197a3e0-7b1c-7d7e-8f00-000000000001
  madang verify https://run.example.org/api/v1/races/0197a3e0-…/offer --receipt mine.txt
  madang verify https://run.example.org/api/v1/races/0197a3e0-… --save log && madang verify log
  madang verify --receipt mine.txt --receipt hers.txt      without the log: one history or two?

Exit code: 0 true, 1 false or not to be told, 2 usage.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// The address of a race or of its offer, or a directory of saved files.
    #[arg(value_name = "URL|DIR", required_unless_present = "receipt")]
    place: Option<String>,
    /// A receipt to check against the log; may be given again.
    #[arg(long, value_name = "FILE")]
    receipt: Vec<PathBuf>,
    /// Keeps what was read in this directory.
    #[arg(long, value_name = "DIR", requires = "place")]
    save: Option<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub async fn run(args: VerifyArgs) -> Result<Exit> {
    let read =
        |path: &PathBuf| std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    let receipts = args.receipt.iter().map(read).collect::<Result<Vec<_>>>().map_err(super::usage)?;
    let Some(place) = &args.place else {
        return offline(&receipts, args.json);
    };
    let place = Place::parse(place).map_err(super::usage)?;
    let report = place.verify(receipts, args.save).await?;
    if args.json {
        say_json(&report)?;
    } else {
        say(tell(&report));
    }
    Ok(Exit::of(report.verified))
}

/// What receipts say about each other when only they are at hand.
fn offline(receipts: &[String], json: bool) -> Result<Exit> {
    let [first, second] = receipts else {
        return Err(super::usage(anyhow::anyhow!("without a log, two receipts can be compared: give --receipt twice")));
    };
    let parse = |text: &str| match Receipt::parse(text) {
        Ok(receipt) => Ok(receipt),
        Err(error) => bail!("not a receipt: {error}"),
    };
    let found = compare(&parse(first)?, &parse(second)?)?;
    if json {
        say_json(&serde_json::json!({ "comparison": found }))?;
    } else {
        say(match found {
            Comparison::Same => "the same log, size and root",
            Comparison::SplitView => "SPLIT VIEW: the same log and size, but two roots",
            Comparison::CannotTell => "different sizes or logs: only the log itself can tell; give its address too",
        });
    }
    Ok(Exit::of(found == Comparison::Same))
}
