//! The contexts of a yard: one line each, with what they need.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use gateway::Gateway;
use orderlog::LogKey;
use payments::sandbox::{Sandbox, SandboxClient, SandboxKey};
use platform::admission::OfferKeys;
use platform::db::{Clock, Db, DbOptions, open as open_db};
use platform::keys::{KeyStore, Keys};
use platform::peers::Peers;
use platform::revocation::Revocations;
use platform::service::Service;

use platform::token::{TokenKey, TokenVerifier};

use races::TicketKey;

use crate::config::Config;

/// What the contexts gave, and what they share.
pub(super) struct Opened {
    pub services: Vec<Service>,
    pub gateway: Arc<Gateway>,
    pub revocations: Revocations,
    pub peers: Peers,
    /// The provider that runs in this process, where it does.
    pub sandbox: Option<Sandbox>,
    /// What all processes of the yard share, where there are several.
    pub shared: Option<Db>,
    pub web: WebSettings,
}

/// What the pages take from keys and settings.
pub(super) struct WebSettings {
    pub key: [u8; 32],
    pub public_url: String,
    pub utc_offset_s: i32,
}

pub(super) async fn open(data_dir: &Path, config: Config, clock: &Clock) -> Result<Opened> {
    let databases = databases(data_dir, &config);
    let shared = match &databases {
        DbOptions::Sqlite { .. } => None,
        DbOptions::Postgres { .. } => Some(open("yard", &databases, clock).await?),
    };
    let keys = keys(data_dir, &config, shared.as_ref()).await.context("the yard's keys")?;
    let token_key = Arc::new(TokenKey::from_seed(keys.token));
    let ticket_key = TicketKey::from_seed(&keys.ticket);
    let ticket_jwk = platform::token::jwk(&ticket_key.public(), "ticket");
    let offer_keys = Arc::new(OfferKeys {
        log: LogKey::from_seed(&keys.log),
        person_secret: keys.person,
        yard: keys.yard_name.clone(),
    });
    let web =
        WebSettings { key: keys.web, public_url: config.public_url.clone(), utc_offset_s: config.races.utc_offset_s };
    let (peers, revocations) = (Peers::default(), Revocations::default());
    let (payments_config, sandbox_key) = ((&config).into(), sandbox_key(&config, &keys));
    let sandbox = open_sandbox(data_dir, &config, &sandbox_key).await.context("the sandbox")?;
    let sandbox_client = sandbox_client(&config, sandbox_key, sandbox.as_ref()).context("the sandbox")?;
    let gateway = Gateway::new(gateway::Deps {
        verifier: TokenVerifier::new(token_key.public()),
        revocations: revocations.clone(),
        clock: clock.clone(),
        trusted_proxies: config.http.trusted_proxies,
        config: config.gateway,
    });
    let db = async |name| open(name, &databases, clock).await;
    let identity = identity::service(identity::Deps {
        db: db("identity").await?,
        clock: clock.clone(),
        token_key,
        further_keys: vec![ticket_jwk],
        revocations: revocations.clone(),
        config: (&config.identity).into(),
    });
    let identity = identity.await.context("identity")?;
    let races = races::service(races::Deps {
        db: db("races").await?,
        clock: clock.clone(),
        peers: peers.clone(),
        offer_keys,
        ticket_key,
        config: (&config.races).into(),
    });
    let races = races.await.context("races")?;
    let payments = payments::service(payments::Deps {
        db: db("payments").await?,
        peers: peers.clone(),
        sandbox: sandbox_client,
        config: payments_config,
    });
    let payments = payments.await.context("payments")?;
    return Ok(Opened { services: vec![identity, races, payments], gateway, revocations, peers, sandbox, shared, web });

    async fn open(name: &'static str, databases: &DbOptions, clock: &Clock) -> Result<Db> {
        open_db(name, databases, clock).await.with_context(|| format!("the database of {name}"))
    }
}

fn databases(data_dir: &Path, config: &Config) -> DbOptions {
    match config.db.url() {
        None => DbOptions::Sqlite { dir: data_dir.to_owned() },
        Some(url) => DbOptions::Postgres { url: url.to_owned() },
    }
}

/// Files for a yard of one process, rows for one of several.
async fn keys(data_dir: &Path, config: &Config, shared: Option<&Db>) -> Result<Keys> {
    let secret = Some(config.secret.expose().as_str()).filter(|secret| !secret.is_empty());
    let store = shared.map_or(KeyStore::Files(data_dir), |db| KeyStore::Rows { db, secret });
    Ok(Keys::open(store, &config.public_url).await?)
}

/// The configured key, or one made from the yard's key for webhooks: nobody but yard and sandbox ever sees it.
fn sandbox_key(config: &Config, keys: &Keys) -> SandboxKey {
    let configured = config.payments.sandbox.key.expose();
    if configured.is_empty() { SandboxKey::new(&keys.webhook) } else { SandboxKey::new(configured.as_bytes()) }
}

/// The sandbox of this process, on a free port of the loopback; none where it is off or elsewhere.
async fn open_sandbox(data_dir: &Path, config: &Config, key: &SandboxKey) -> Result<Option<Sandbox>> {
    let settings = &config.payments.sandbox;
    if !settings.enabled || !settings.url.is_empty() {
        return Ok(None);
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Ok(Some(Sandbox::open(data_dir, address, key.clone(), settings.into()).await?))
}

fn sandbox_client(config: &Config, key: SandboxKey, here: Option<&Sandbox>) -> Result<Option<SandboxClient>> {
    let (settings, public_url) = (&config.payments, config.public_url.as_str());
    let timeout = Duration::from_millis(u64::from(settings.provider_timeout_ms));
    let client = |base: &str, webhooks: &str| SandboxClient::new(base, key, webhooks, public_url, timeout);
    match here {
        // Its own port takes the webhooks too: this yard may have no other address, or one that leads around the world.
        Some(sandbox) => {
            let base = format!("http://{}", sandbox.address()?);
            Ok(Some(client(&base, &base)?))
        }
        None if !settings.sandbox.enabled => Ok(None),
        None => {
            let own = format!("http://127.0.0.1:{}", config.http.port);
            let given = [settings.webhook_url.as_str(), public_url].into_iter().find(|url| !url.is_empty());
            Ok(Some(client(&settings.sandbox.url, given.unwrap_or(&own))?))
        }
    }
}
