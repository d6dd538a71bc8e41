//! `madang sandbox`: the payment provider that takes no money, alone, for a yard of several processes.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, anyhow};
use axum::Router;
use clap::Args;
use payments::sandbox::{Sandbox, SandboxKey};
use tokio_util::sync::CancellationToken;

use super::serve::signals;
use super::{Exit, YardArgs, say, usage};
use crate::directory::DataDir;

const EXAMPLES: &str = "Examples:
  export MADANG__PAYMENTS__SANDBOX__KEY=…             the same for the sandbox and for each process of the yard
  madang sandbox --port 8090 --data-dir /srv/sandbox
  MADANG__PAYMENTS__SANDBOX__URL=http://127.0.0.1:8090 MADANG__DB__URL=postgres://… madang serve

A yard of one process needs none: it runs its own. SIGTERM or Ctrl-C ends it well.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct SandboxArgs {
    #[command(flatten)]
    yard: YardArgs,
    /// Address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    bind: IpAddr,
    /// Port to listen on, 0 for a free one.
    #[arg(long, default_value_t = 8090)]
    port: u16,
}

pub async fn run(args: SandboxArgs) -> Result<Exit> {
    let settings = args.yard.load()?.settings.payments.sandbox;
    let key = settings.key.expose();
    if key.is_empty() {
        return Err(usage(anyhow!(
            "set MADANG__PAYMENTS__SANDBOX__KEY, here and for the yard: they know each other by it"
        )));
    }
    let stop = CancellationToken::new();
    let signals = signals()?;
    tokio::spawn({
        let stop = stop.clone();
        async move {
            signals.await;
            stop.cancel();
        }
    });
    let dir = DataDir::take_or_refuse(&args.yard.data_dir)?;
    let address = SocketAddr::new(args.bind, args.port);
    let opened = Sandbox::open(dir.path(), address, SandboxKey::new(key.as_bytes()), (&settings).into()).await;
    let sandbox = opened.with_context(|| format!("cannot open the sandbox on {address}"))?;
    say(format!("madang sandbox listens on http://{}", sandbox.address()?));
    sandbox.run(Router::new(), stop).await;
    Ok(Exit::Well)
}
