//! `madang demo`: a yard with people and races to play with.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use platform::config::Sources;
use platform::db::Clock;
use reqwest::Url;
use tokio_util::sync::CancellationToken;

use super::serve::signals;
use super::{Exit, say, say_json, usage};
use crate::config::Config;
use crate::demo::{Furnished, PASSWORD, check_directory, furnish};
use crate::yard::Yard;

const EXAMPLES: &str = "Examples:
  madang demo                                   http://127.0.0.1:8080, files in ./demo-data
  madang demo --port 0 --data-dir /tmp/yard --json

It listens on loopback only, since everybody knows its passwords. Ctrl-C ends it; started again on the same directory it
adds one more race that opens a minute later.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct DemoArgs {
    /// Port to listen on, 0 for a free one [default: 8080].
    #[arg(long)]
    port: Option<u16>,
    /// The demo's files.
    #[arg(long, value_name = "DIR", default_value = "demo-data")]
    data_dir: PathBuf,
    /// One line of JSON instead of text.
    #[arg(long)]
    json: bool,
}

pub async fn run(args: DemoArgs) -> Result<Exit> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let sources = Sources::process().flag("http.bind", "demo", Some(loopback)).flag("http.port", "--port", args.port);
    let config = Config::load(&sources).map_err(|problems| usage(problems.into()))?.settings.quiet();
    if !config.db.url.expose().is_empty() {
        return Err(usage(anyhow::anyhow!("a demo lives in its own directory: unset MADANG__DB__URL")));
    }
    check_directory(&args.data_dir).map_err(usage)?;
    let address = config.http.address();
    let stop = CancellationToken::new();
    let signals = signals()?;
    let listener = platform::http::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    let url: Url = format!("http://{}/", listener.local_addr()?).parse()?;
    let yard = Yard::start(&args.data_dir, config, None).await?;
    let clock = yard.clock().clone();
    let serving = tokio::spawn(yard.serve(listener, stop.clone()));
    let played = tokio::select! {
        played = play(&args, &url, &clock) => played,
        signal = signals => {
            tracing::info!(signal, "asked to stop");
            Ok(())
        }
    };
    stop.cancel();
    serving.await??;
    played.map(|()| Exit::Well)
}

/// Furnishes the yard, says what there is, and lets the crowd come; returns only with an error.
async fn play(args: &DemoArgs, url: &Url, clock: &Clock) -> Result<()> {
    let (furnished, crowd) = furnish(url, &args.data_dir, clock).await?;
    if args.json {
        say_json(&furnished)?
    } else {
        say(told(&furnished))
    }
    if let Err(error) = crowd.come(clock).await {
        tracing::warn!(error = format!("{error:#}"), "the demo's crowd stays away");
    }
    std::future::pending().await
}

fn told(furnished: &Furnished) -> String {
    let mut text = format!("Open {} in a browser. Accounts, all with the password \"{PASSWORD}\":\n", furnished.url);
    for account in &furnished.accounts {
        text += &format!("  {:<9} {}\n", account.username, account.role);
    }
    text += "Races:\n";
    for race in &furnished.races {
        text += &format!("  {}  {}: {}\n", race.url, race.title, race.state);
    }
    text + "Sign in as haneul, take a place in the first one when it opens, pay in the sandbox. Ctrl-C ends the yard.\n"
}
