//! The yard's own secrets and its name, made at first use and never changed.
//!
//! Six keys, six uses: none is ever used for what another is for. `solo` keeps them as files, several processes
//! share them as rows.

mod files;
mod rows;
mod seal;

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::db::{Db, DbError};

/// The secrets of a yard. Does not print itself.
pub struct Keys {
    /// Signs access tokens.
    pub token: [u8; 32],
    /// Signs the checkpoints of order logs.
    pub log: [u8; 32],
    /// Signs tickets (QR codes).
    pub ticket: [u8; 32],
    /// Signs what goes out by webhook.
    pub webhook: [u8; 32],
    /// Makes the pseudonyms in order logs.
    pub person: [u8; 32],
    /// Seals the cookies of the pages.
    pub web: [u8; 32],
    /// The first part of every order log's origin: the host of `public_url` at first start, else `yard-…`.
    pub yard_name: String,
}

/// Where the keys live.
pub enum KeyStore<'a> {
    /// The data directory: one file per key below `keys/`, and `yard-name`.
    Files(&'a Path),
    /// The `yard` database, sealed with `MADANG__SECRET` where there is one.
    Rows { db: &'a Db, secret: Option<&'a str> },
}

#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("{} cannot be read or written", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{} does not hold a key of 32 bytes; put the right file back from your backup", .0.display())]
    DamagedFile(PathBuf),
    #[error("the row of the {0} key does not hold a key; restore the database's table `secret`")]
    DamagedRow(&'static str),
    #[error("the {0} key is sealed: set MADANG__SECRET to the secret it was sealed with")]
    SecretMissing(&'static str),
    #[error("MADANG__SECRET does not open the {0} key: it is not the secret the key was sealed with")]
    SecretWrong(&'static str),
    #[error("the yard's name {0:?} is damaged: it has 1 to 128 characters and no white space")]
    DamagedName(String),
    #[error("the yard's database did not give its keys")]
    Db(#[from] DbError),
}

impl Keys {
    /// Reads the keys, making those that are missing. Several processes may do so at the same time: all get the
    /// same. `public_url` names a yard that has no name yet.
    pub async fn open(store: KeyStore<'_>, public_url: &str) -> Result<Keys, KeysError> {
        let keys = match store {
            KeyStore::Files(data_dir) => files::open(data_dir, public_url)?,
            KeyStore::Rows { db, secret } => rows::open(db, secret, public_url).await?,
        };
        let name = &keys.yard_name;
        // The name is part of signed notes, where it may hold neither white space nor `+`.
        let fits = (1..=128).contains(&name.len()) && !name.contains(|c: char| c.is_whitespace() || c == '+');
        if fits { Ok(keys) } else { Err(KeysError::DamagedName(keys.yard_name)) }
    }
}

const TOKEN: &str = "token";
const LOG: &str = "log";
const TICKET: &str = "ticket";
const WEBHOOK: &str = "webhook";
const PERSON: &str = "person";
const WEB: &str = "web";

/// What a yard without a name is called: the host[:port] of its address, else after its log's public key.
fn fresh_name(public_url: &str, log: &[u8; 32]) -> String {
    let authority = public_url.parse::<http::Uri>().ok().and_then(|url| url.authority().cloned());
    match authority {
        Some(authority) => {
            let host = authority.host().to_ascii_lowercase();
            authority.port_u16().map_or(host.clone(), |port| format!("{host}:{port}"))
        }
        None => {
            let public = ed25519_dalek::SigningKey::from_bytes(log).verifying_key();
            format!("yard-{}", hex::encode(&Sha256::digest(public.as_bytes())[..8]))
        }
    }
}

fn fresh_key() -> [u8; 32] {
    rand::random()
}

#[cfg(test)]
mod tests;
