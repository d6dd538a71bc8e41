//! `madang serve`: runs a yard until it is told to stop.

use std::net::IpAddr;

use anyhow::{Context, Result};
use axum::Router;
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Exit, YardArgs, say, usage};
use crate::config::Config;
use crate::yard::Yard;

const EXAMPLES: &str = "Examples:
  madang serve                                        http://127.0.0.1:8080, files in ./data
  madang serve --port 0 --data-dir /srv/yard          a free port, which is printed
  MADANG__DB__URL=postgres://… madang serve           several processes may share one PostgreSQL

SIGTERM or Ctrl-C ends it well: answers under way are finished, exit code 0.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ServeArgs {
    #[command(flatten)]
    yard: YardArgs,
    /// Address to listen on [default: 127.0.0.1].
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<IpAddr>,
    /// Port to listen on, 0 for a free one [default: 8080].
    #[arg(long)]
    port: Option<u16>,
    /// Parts to run, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "ROLE", default_value = "all")]
    role: Vec<String>,
}

pub async fn run(args: ServeArgs, extra: Option<Router>) -> Result<Exit> {
    if args.role != ["all"] {
        return Err(usage(anyhow::anyhow!("--role: a process runs with all roles in this version")));
    }
    let sources = args.yard.sources().flag("http.bind", "--bind", args.bind).flag("http.port", "--port", args.port);
    let config = Config::load(&sources).map_err(|problems| usage(problems.into()))?.settings;
    let address = config.http.address();
    let stop = CancellationToken::new();
    let signals = signals()?;
    tokio::spawn({
        let stop = stop.clone();
        async move {
            let signal = signals.await;
            tracing::info!(signal, "asked to stop");
            stop.cancel();
        }
    });
    // Why first: a port that is taken should be told before anything is opened. Who connects early waits a moment.
    let listener = platform::http::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    let yard = Yard::start(&args.yard.data_dir, config, extra).await?;
    say(format!("madang listens on http://{}", listener.local_addr()?));
    yard.serve(listener, stop).await?;
    Ok(Exit::Well)
}

/// Resolves with the name of the first signal that asks for an end.
pub(super) fn signals() -> Result<impl Future<Output = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}
