//! `madang rehearse`: plays an opening minute and checks what came of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::Url;
use serde::Serialize;

use super::serve::signals;
use super::{Exit, say, say_json, usage};
use crate::rehearse::{Crowd, Mix, Outcome, Paid, Plan, ThrowAway, Wish, intake_curve, pay, rehearse};

const EXAMPLES: &str = "Examples:
  madang rehearse --people 10000 --capacity 100
  madang rehearse --people 1000 --capacity 100 --clicks 5 --plot intake.svg
  madang rehearse --people 10000 --capacity 100 --pay --mix decline=30,late=10,unknown=5,walk=20
  MADANG__DB__URL=postgres://… madang rehearse --people 10000 --capacity 100
  madang rehearse --people 5000 --capacity 100 --url http://a:8080,http://b:8080 --token-file organiser.token

Without --url it starts a server of its own (with MADANG__DB__URL in a database of its own) and removes it afterwards.
With several addresses everybody clicks at all of them and must be told the same.
Exit code: 0 exactly the capacity was granted, everybody was answered, the log is true and, with --pay, every place is
confirmed or free and every won explained; 1 otherwise; 2 usage.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct RehearseArgs {
    /// People who click.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    people: u32,
    /// Places there are.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    capacity: u32,
    /// Times each person clicks at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20))]
    clicks: u32,
    /// Running yards, plain http; several processes of one yard separated by commas.
    #[arg(long, value_delimiter = ',', requires = "token_file")]
    url: Vec<Url>,
    /// A file with the access token of an organiser or an administrator there.
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,
    /// Lets everybody with a place go on to his bib: every step, the payment in the sandbox, the ticket.
    #[arg(long)]
    pay: bool,
    /// What becomes of the payments, in percent; the rest are approved.
    #[arg(long, value_name = "decline=30,late=10,unknown=5,walk=20", default_value = "", requires = "pay")]
    mix: Mix,
    /// Writes the intake curve as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Seconds within which all arrive, half of them in the first seventh [default: 5, more for more than 20,000].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    within_s: Option<u64>,
    /// Connections to each yard.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Seconds somebody tries again who is told to come back.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    patience_s: u64,
    /// Another seed, another crowd.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// People one second of arrivals is meant for, where the caller says nothing.
const PEOPLE_PER_S: u64 = 4_000;
/// What a rehearsal's race and its people live beyond the play itself, for the checks.
const TTL_MARGIN_S: u64 = 600;
/// With --pay a place is held so long beyond the arrivals: who walks away gives it back by doing nothing.
const HOLD_S: u64 = 60;
const FEE_WON: i64 = 30_000;

/// What is printed.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    outcome: Outcome,
    #[serde(flatten)]
    paid: Option<Paid>,
}

impl RehearseArgs {
    fn plan(&self) -> Plan {
        let within_s = self.within_s.unwrap_or_else(|| (u64::from(self.people) / PEOPLE_PER_S).max(5));
        Plan {
            people: self.people,
            capacity: self.capacity,
            clicks: self.clicks,
            within: Duration::from_secs(within_s),
            connections: self.connections as usize,
            patience: Duration::from_secs(self.patience_s),
            seed: self.seed,
        }
    }
}

pub async fn run(args: RehearseArgs) -> Result<Exit> {
    let signals = signals()?;
    let Some(file) = &args.token_file else {
        let server = ThrowAway::start().await.context("the server of the rehearsal did not start")?;
        let urls = [server.url.clone()];
        // Why here: whatever ends the play, the server ends too.
        let played = tokio::select! {
            played = play(&args, &urls, &server.token) => played,
            signal = signals => Err(anyhow::anyhow!("ended by {signal}")),
        };
        let stopped = server.stop().await;
        let exit = played?;
        stopped?;
        return Ok(exit);
    };
    let token =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display())).map_err(usage)?;
    tokio::select! {
        played = play(&args, &args.url, token.trim()) => played,
        signal = signals => bail!("ended by {signal}"),
    }
}

async fn play(args: &RehearseArgs, yards: &[Url], token: &str) -> Result<Exit> {
    let plan = args.plan();
    let ttl_s = u32::try_from(plan.within.as_secs() + plan.patience.as_secs() + TTL_MARGIN_S)?;
    let [first, ..] = yards else { bail!("no yard to rehearse at") };
    let hold_s = args.pay.then(|| u32::try_from(plan.within.as_secs() + HOLD_S)).transpose()?;
    let fee_won = if args.pay { FEE_WON } else { 0 };
    let wish = Wish { people: plan.people, capacity: plan.capacity, ttl_s, fee_won, hold_s };
    let crowd = Crowd::gather(first, token, &wish).await?;
    let clicks = u64::from(plan.people) * u64::from(plan.clicks) * yards.len() as u64;
    let bar = progress(clicks);
    let rehearsed = rehearse(yards, &crowd, &plan, {
        let bar = bar.clone();
        move || bar.inc(1)
    })
    .await;
    bar.finish_and_clear();
    let rehearsed = rehearsed?;
    if let Some(plot) = &args.plot {
        let title = format!("{} people, {} places", plan.people, plan.capacity);
        write(plot, &intake_curve(&rehearsed.moments, &title))?;
    }
    let paid = match args.pay {
        true => Some(pay(first, token, &crowd, &rehearsed.places, args.mix, FEE_WON).await?),
        false => None,
    };
    let well = rehearsed.outcome.is_well() && paid.as_ref().is_none_or(Paid::is_well);
    let told = Told { outcome: rehearsed.outcome, paid };
    if args.json {
        say_json(&told)?;
    } else {
        say(tell(&told));
    }
    Ok(Exit::of(well))
}

/// On a terminal only: elsewhere a bar is noise.
fn progress(clicks: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(clicks), ProgressDrawTarget::stderr_with_hz(10));
    match ProgressStyle::with_template("{bar:40} {pos} of {len} answered, {per_sec}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn tell(told: &Told) -> String {
    let outcome = &told.outcome;
    let Outcome { people, capacity, granted, refused, numbered, unanswered, errors, clicks, retries, .. } = outcome;
    let mut text = format!(
        "race        {}\n\
         people      {people}, {clicks} clicks, {retries} of them again\n\
         granted     {granted} of {capacity} places\n\
         refused     {refused}, {numbered} with their number\n\
         unanswered  {unanswered}\n\
         errors      {errors}\n\
         latency     p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms, all within {:.2} s\n\
         order log   {}\n",
        outcome.race_id,
        outcome.p50_ms,
        outcome.p99_ms,
        outcome.max_ms,
        outcome.elapsed_ms as f64 / 1e3,
        if outcome.verified { "verified" } else { "NOT TRUE" },
    );
    if let Some(paid) = &told.paid {
        text.push_str(&format!(
            "paid        {} confirmed, {} undone, {} stuck; {} won kept of {} taken, in {:.2} s\n",
            paid.confirmed,
            paid.compensated,
            paid.stuck,
            paid.kept_won,
            paid.captured_won,
            paid.paying_ms as f64 / 1e3,
        ));
    }
    let unpaid = told.paid.iter().flat_map(|paid| &paid.unexplained);
    for fault in outcome.faults.iter().chain(unpaid) {
        text.push_str(&format!("FAULT       {fault}\n"));
    }
    text
}
