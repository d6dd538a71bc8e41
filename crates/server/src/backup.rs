//! Backups of a yard on SQLite: one cut of all its files, as a directory with a manifest, and a yard made from one.
//!
//! In it: the database of each part and of the sandbox, the keys, the yard's name, and `madang.toml` where it lies in the
//! data directory. Whoever has a backup has the yard's keys: directories have mode 0700, files 0600.
//!
//! Invariant: a backup and a restored directory are complete or not there: they are made under another name, synced, and
//! renamed at the end. Neither ever replaces anything.

mod commands;
mod draft;
mod restore;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use kernel::UtcTime;
use platform::db::{Cut, cut_files};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::directory::DataDir;
use draft::Draft;

pub(crate) use commands::{State, routes};
pub use restore::{Restored, begin_logs_anew, restore};

/// The list of a backup's files.
pub const MANIFEST: &str = "backup.json";
const FORMAT: u32 = 1;
/// Only a yard's directory has it.
const YARD_NAME: &str = "yard-name";
const KEYS: &str = "keys";
const SETTINGS: &str = "madang.toml";

/// What a backup holds.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Manifest {
    pub format: u32,
    /// Of the program that made it.
    pub version: String,
    /// The yard's name.
    pub yard: String,
    /// Everything answered before is in it.
    pub cut_at: UtcTime,
    pub files: Vec<Listed>,
}

/// A file of a backup.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Listed {
    /// Its path in the backup and in the data directory.
    pub name: String,
    pub bytes: u64,
    /// In hexadecimal.
    pub sha256: String,
}

/// A backup that was made.
#[derive(Debug, Serialize)]
pub struct Made {
    pub backup: PathBuf,
    /// How long writers waited.
    pub held_ms: f64,
    #[serde(flatten)]
    pub manifest: Manifest,
}

/// Says where no yard is.
pub fn ensure_yard(data_dir: &Path) -> Result<()> {
    let is_yard = data_dir.join(YARD_NAME).is_file();
    ensure!(is_yard, "{} is not the data directory of a yard on SQLite: it has no {YARD_NAME}", data_dir.display());
    Ok(())
}

/// Backs up a directory that nobody serves.
pub async fn back_up_stopped(dir: &DataDir, target: &Path) -> Result<Made> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir.path())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "db") {
            files.push(path);
        }
    }
    files.sort();
    back_up(dir.path(), target, async { Ok(cut_files(&files).await?) }).await
}

/// Backs up what `cut` cuts and the other files of the directory, which never change.
async fn back_up(data_dir: &Path, target: &Path, cut: impl Future<Output = Result<Cut>>) -> Result<Made> {
    let draft = Draft::new(target)?;
    draft.ensure_nothing_there()?;
    let cut = cut.await.context("the databases cannot be read")?;
    let mut names = Vec::new();
    for snapshot in cut.snapshots {
        let name = format!("{}.db", snapshot.name());
        let copied = snapshot.copy_to(&draft.path().join(&name)).await;
        copied.with_context(|| format!("{name} cannot be copied"))?;
        names.push(name);
    }
    let (data_dir, cut_at) = (data_dir.to_owned(), UtcTime(cut.at_ms));
    // Reading everything once more and syncing it takes its time.
    let finished = tokio::task::spawn_blocking(move || {
        names.extend(copy_loose(&data_dir, draft.path())?);
        let manifest = describe(draft.path(), &names, cut_at)?;
        write_new(&draft.path().join(MANIFEST), &serde_json::to_vec_pretty(&manifest)?)?;
        Ok::<_, anyhow::Error>((manifest, draft.keep()?))
    });
    let (manifest, backup) = finished.await??;
    Ok(Made { backup, held_ms: cut.held.as_secs_f64() * 1_000.0, manifest })
}

/// Copies what is no database; answers the names.
fn copy_loose(data_dir: &Path, draft: &Path) -> Result<Vec<String>> {
    private_dir(&draft.join(KEYS))?;
    let mut names = vec![YARD_NAME.to_owned()];
    if data_dir.join(SETTINGS).is_file() {
        names.push(SETTINGS.to_owned());
    }
    for entry in std::fs::read_dir(data_dir.join(KEYS)).context("the keys cannot be read")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        // One with an extension is only just being made.
        if !name.contains('.') {
            names.push(format!("{KEYS}/{name}"));
        }
    }
    names.sort();
    for name in &names {
        let content = std::fs::read(data_dir.join(name)).with_context(|| format!("{name} cannot be read"))?;
        write_new(&draft.join(name), &content)?;
    }
    Ok(names)
}

/// Reads and syncs the files of a draft.
fn describe(draft: &Path, names: &[String], cut_at: UtcTime) -> Result<Manifest> {
    let list = |name: &String| -> Result<Listed> {
        let mut file = File::open(draft.join(name))?;
        let (bytes, sha256) = digest(&mut file, &mut std::io::sink())?;
        file.sync_all()?;
        Ok(Listed { name: name.clone(), bytes, sha256 })
    };
    let files = names.iter().map(|name| list(name).with_context(|| format!("{name} cannot be read back")));
    let yard = std::fs::read_to_string(draft.join(YARD_NAME))?.trim_end().to_owned();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Ok(Manifest { format: FORMAT, version, yard, cut_at, files: files.collect::<Result<_>>()? })
}

/// Copies a file; answers its length and SHA-256.
fn digest(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<(u64, String)> {
    let (mut sha, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok((bytes, format!("{:x}", sha.finalize()))),
            read => {
                sha.update(&buffer[..read]);
                to.write_all(&buffer[..read])?;
                bytes += read as u64;
            }
        }
    }
}

fn private_dir(path: &Path) -> Result<()> {
    DirBuilder::new().mode(0o700).create(path).with_context(|| format!("cannot make {}", path.display()))
}

fn new_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Writes a file that is not there yet, and syncs it.
fn write_new(path: &Path, content: &[u8]) -> Result<()> {
    let written = new_file(path).and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()));
    written.with_context(|| format!("cannot write {}", path.display()))
}
