//! Keys as rows, for a yard of several processes: insert if absent, then read back what is there.

use super::seal::Sealer;
use super::{Keys, KeysError, LOG, PERSON, TICKET, TOKEN, WEB, WEBHOOK, fresh_key, fresh_name};
use crate::db::{Db, Migration, Query, Tx, args};
use crate::service::migrate_context;

const MIGRATIONS: &[Migration] =
    &[Migration { name: "yard_0001_keys", sql: include_str!("../keys.sql") }, crate::incarnation::MIGRATION];

pub(super) async fn open(db: &Db, secret: Option<&str>, public_url: &str) -> Result<Keys, KeysError> {
    migrate_context(db, MIGRATIONS).await?;
    let sealer = secret.filter(|secret| !secret.is_empty()).map(Sealer::new);
    let public_url = public_url.to_owned();
    db.write(|tx| {
        Box::pin(async move {
            let log = key(tx, sealer.as_ref(), LOG).await?;
            Ok(Keys {
                token: key(tx, sealer.as_ref(), TOKEN).await?,
                log,
                ticket: key(tx, sealer.as_ref(), TICKET).await?,
                webhook: key(tx, sealer.as_ref(), WEBHOOK).await?,
                person: key(tx, sealer.as_ref(), PERSON).await?,
                web: key(tx, sealer.as_ref(), WEB).await?,
                yard_name: yard_name(tx, &fresh_name(&public_url, &log)).await?,
            })
        })
    })
    .await
}

async fn key(tx: &Tx, sealer: Option<&Sealer>, name: &'static str) -> Result<[u8; 32], KeysError> {
    let read = "SELECT value, sealed FROM secret WHERE name = $1";
    let row = match tx.one::<(Vec<u8>, i64)>(read, args![name]).await? {
        Some(row) => Some(row),
        None => {
            let (value, sealed) = stored(sealer, name, &fresh_key())?;
            let insert = "INSERT INTO secret (name, value, sealed) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING";
            tx.run(insert, args![name, value, i64::from(sealed)]).await?;
            tx.one(read, args![name]).await?
        }
    };
    let (value, sealed) = row.ok_or(KeysError::DamagedRow(name))?;
    if sealed == 1 {
        let sealer = sealer.ok_or(KeysError::SecretMissing(name))?;
        return sealer.open(name, &value).ok_or(KeysError::SecretWrong(name));
    }
    let key = value.try_into().map_err(|_| KeysError::DamagedRow(name))?;
    if sealer.is_some() {
        // The secret was set after the key was made: from now on the key is not readable in a copy of the database.
        let (value, sealed) = stored(sealer, name, &key)?;
        let update = "UPDATE secret SET value = $2, sealed = $3 WHERE name = $1 AND sealed = 0";
        tx.run(update, args![name, value, i64::from(sealed)]).await?;
    }
    Ok(key)
}

/// A key as its row holds it, and whether that is sealed.
fn stored(sealer: Option<&Sealer>, name: &'static str, key: &[u8; 32]) -> Result<(Vec<u8>, bool), KeysError> {
    match sealer {
        None => Ok((key.to_vec(), false)),
        Some(sealer) => Ok((sealer.seal(name, key).ok_or(KeysError::DamagedRow(name))?, true)),
    }
}

async fn yard_name(tx: &Tx, fresh: &str) -> Result<String, KeysError> {
    tx.run("INSERT INTO yard (one, name) VALUES (1, $1) ON CONFLICT (one) DO NOTHING", args![fresh]).await?;
    let row = tx.one::<(String,)>("SELECT name FROM yard WHERE one = 1", args![]).await?;
    Ok(row.map(|row| row.0).unwrap_or_default())
}
