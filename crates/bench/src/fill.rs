//! A million claims that an offer already holds: put there by the product's own store, without HTTP.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use kernel::{OfferId, UserId};
use orderlog::{LogKey, PoolCode, Want};
use platform::admission::{Admission, ClaimRequest, OfferKeys};
use platform::args;
use platform::db::{Clock, Db, DbOptions, Query, open};
use platform::keys::{KeyStore, Keys};
use platform::saga::Sagas;
use uuid::Uuid;

use crate::database::Place;

/// Claims under way at once: two full batches, so that one fills while the other is committed.
const AT_ONCE: usize = 1_000;

/// Lets `claims` strangers claim in a race of a yard that does not run.
pub async fn fill(place: &Place, data: &Path, race: Uuid, claims: usize) -> Result<()> {
    let (clock, options) = (Clock::default(), place.options());
    let db = open("races", &options, &clock).await?;
    let keys = keys(&options, data, &clock).await?;
    let admission =
        Admission::new(db.clone(), Arc::new(keys), Arc::new(races::RegistrationRows::new(Sagas::new(db.clone()))));
    let (offer, want) = what(&db, race).await?;
    let tag: Arc<str> = race.simple().to_string().into();
    let begun = Instant::now();
    let claim = |_| {
        let (admission, want, tag, received_ms) = (admission.clone(), want.clone(), tag.clone(), clock.now_ms());
        let user = UserId(Uuid::now_v7());
        async move { admission.claim(offer, ClaimRequest { user, want, idem: None, tag, received_ms }).await }
    };
    let mut claimed = futures::stream::iter(0..claims).map(claim).buffer_unordered(AT_ONCE);
    while let Some(outcome) = claimed.next().await {
        match outcome {
            Ok(_) => {}
            Err(problem) if problem.code.code == "admission/sold-out" => {}
            Err(problem) => bail!("a claim ended in {}", problem.code.code),
        }
    }
    eprintln!("filled with {claims} claims, {:.0} a second", claims as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}

/// The race's offer, and one unit of its pool.
async fn what(db: &Db, race: Uuid) -> Result<(OfferId, Want)> {
    let sql = "SELECT r.offer_id, p.code FROM race r JOIN offer_pool p ON p.offer_id = r.offer_id WHERE r.id = $1";
    let (offer, code) = db.one::<(Uuid, String)>(sql, args![race]).await?.context("no such race")?;
    Ok((OfferId(offer), Want::one(code.parse::<PoolCode>()?)))
}

async fn keys(options: &DbOptions, data: &Path, clock: &Clock) -> Result<OfferKeys> {
    let keys = match options {
        DbOptions::Sqlite { .. } => Keys::open(KeyStore::Files(data), "").await?,
        DbOptions::Postgres { .. } => {
            let db = open("yard", options, clock).await?;
            Keys::open(KeyStore::Rows { db: &db, secret: None }, "").await?
        }
    };
    Ok(OfferKeys { log: LogKey::from_seed(&keys.log), person_secret: keys.person, yard: keys.yard_name })
}
