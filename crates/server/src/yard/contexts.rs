//! The contexts of a yard: one line each, with what they need.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use gateway::Gateway;
use orderlog::LogKey;
use platform::admission::OfferKeys;
use platform::db::{Clock, Db, DbOptions, open as open_db};
use platform::keys::{KeyStore, Keys};
use platform::peers::Peers;
use platform::revocation::Revocations;
use platform::service::Service;
use platform::token::{TokenKey, TokenVerifier};

use crate::config::Config;

/// What the contexts gave, and what they share.
pub(super) struct Opened {
    pub services: Vec<Service>,
    pub gateway: Arc<Gateway>,
    pub revocations: Revocations,
    pub peers: Peers,
}

pub(super) async fn open(data_dir: &Path, config: Config, clock: &Clock) -> Result<Opened> {
    let databases = databases(data_dir, &config);
    let keys = keys(data_dir, &config, &databases, clock).await.context("the yard's keys")?;
    let token_key = Arc::new(TokenKey::from_seed(keys.token));
    let offer_keys = Arc::new(OfferKeys {
        log: LogKey::from_seed(&keys.log),
        person_secret: keys.person,
        yard: keys.yard_name.clone(),
    });
    let (peers, revocations) = (Peers::default(), Revocations::default());
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
        revocations: revocations.clone(),
        config: (&config.identity).into(),
    });
    let identity = identity.await.context("identity")?;
    let races = races::service(races::Deps {
        db: db("races").await?,
        clock: clock.clone(),
        peers: peers.clone(),
        offer_keys,
        config: (&config.races).into(),
    });
    let races = races.await.context("races")?;
    return Ok(Opened { services: vec![identity, races], gateway, revocations, peers });

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
async fn keys(data_dir: &Path, config: &Config, databases: &DbOptions, clock: &Clock) -> Result<Keys> {
    let public_url = &config.public_url;
    match databases {
        DbOptions::Sqlite { .. } => Ok(Keys::open(KeyStore::Files(data_dir), public_url).await?),
        DbOptions::Postgres { .. } => {
            let db = open_db("yard", databases, clock).await?;
            let secret = Some(config.secret.expose().as_str()).filter(|secret| !secret.is_empty());
            Ok(Keys::open(KeyStore::Rows { db: &db, secret }, public_url).await?)
        }
    }
}
