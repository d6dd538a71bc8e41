//! The admission store: a context mounts it into its own database, and sells scarce things with it.
//!
//! The pure core decides (crate `admission`); here its head, facts and rows live in tables, batches become
//! commits, and the public order log is served. The claim, the context's own row and the outbox event are one
//! transaction.
//!
//! Invariant: nothing here is a truth but the rows. What a process remembers of an offer is a hint or a fold of
//! its log, so several processes sequence the same offer without an election.

mod api;
pub mod codes;
mod docs;
mod event;
mod jobs;
mod log;
mod restored;
mod routes;
mod rows;
mod sequencer;
mod store;
mod view;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kernel::OfferId;
use moka::sync::Cache;
use orderlog::{Hash, LogKey, People, Rules};
use uuid::Uuid;

use crate::db::{Db, Migration};

pub use admission as core;
pub use api::{ClaimRequest, Claimed, HandChange};
pub use docs::log_document;
pub use routes::log_routes;
pub use rows::{Column, Mode, RowSet, Rows};
pub use sequencer::Limits;
pub use view::{ClaimView, OfferView, PoolView};

/// The tables; goes first in the migrations of a context that sells.
pub const MIGRATION: Migration =
    Migration { name: "platform_0002_admission", sql: include_str!("admission/schema.sql") };

/// Full tiles kept in memory: 8 KiB each.
const TILES_MAX: u64 = 1_024;
/// An offer nobody claimed in for so long is forgotten when another comes; its fold is made again when needed.
const OFFER_IDLE: Duration = Duration::from_secs(600);

/// The yard's secrets and name, as order logs need them.
pub struct OfferKeys {
    pub log: LogKey,
    pub person_secret: [u8; 32],
    /// Written at first start, never changed: the first part of every log's name.
    pub yard: String,
}

impl OfferKeys {
    /// The name all logs of an offer begin with.
    pub fn base(&self, offer: OfferId) -> String {
        format!("{}/offers/{offer}", self.yard)
    }

    /// Who people are in an offer: their pseudonyms, and the keys that show whose they are.
    pub fn people(&self, offer: OfferId) -> People {
        People::new(&self.person_secret, &self.base(offer))
    }
}

/// A context's offers. Cheap to clone.
#[derive(Clone)]
pub struct Admission(Arc<Shared>);

struct Shared {
    db: Db,
    keys: Arc<OfferKeys>,
    hook: Arc<dyn Rows>,
    limits: Limits,
    /// Why no cache: each claim looks here, and a cache writes down each look.
    offers: RwLock<HashMap<Uuid, Arc<sequencer::Offer>>>,
    rules: Cache<Hash, Arc<Rules>>,
    tiles: Cache<(Uuid, u32, u8, u64), Arc<Vec<Hash>>>,
}

impl Admission {
    pub fn new(db: Db, keys: Arc<OfferKeys>, hook: Arc<dyn Rows>) -> Self {
        Self::with_limits(db, keys, hook, Limits::default())
    }

    pub fn with_limits(db: Db, keys: Arc<OfferKeys>, hook: Arc<dyn Rows>, limits: Limits) -> Self {
        Self(Arc::new(Shared {
            db,
            keys,
            hook,
            limits,
            offers: RwLock::default(),
            rules: Cache::new(1_024),
            tiles: Cache::new(TILES_MAX),
        }))
    }
}

impl Shared {
    fn offer(&self, offer: OfferId) -> Arc<sequencer::Offer> {
        let known = self.offers.read().unwrap_or_else(PoisonError::into_inner).get(&offer.0).cloned();
        known.unwrap_or_else(|| {
            let mut offers = self.offers.write().unwrap_or_else(PoisonError::into_inner);
            offers.retain(|_, offer| !offer.is_idle(OFFER_IDLE));
            let new = || Arc::new(sequencer::Offer::new(offer.0, self.keys.people(offer)));
            offers.entry(offer.0).or_insert_with(new).clone()
        })
    }
}
