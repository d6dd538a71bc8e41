//! A data directory out of a backup, and how a restored yard starts.

use std::fs::File;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use kernel::UtcTime;
use platform::admission::Admission;
use platform::db::Db;
use platform::incarnation;
use serde::Serialize;

use super::draft::Draft;
use super::{FORMAT, KEYS, Listed, MANIFEST, Manifest, digest, new_file, private_dir, write_new};

/// Marks a restored directory until its first start.
const MARKER: &str = "restored";

/// A yard that was restored.
#[derive(Debug, Serialize)]
pub struct Restored {
    pub data_dir: PathBuf,
    #[serde(flatten)]
    pub manifest: Manifest,
}

/// Makes `data_dir` out of a backup. It must not be there, or be empty.
pub fn restore(backup: &Path, data_dir: &Path, now: UtcTime) -> Result<Restored> {
    let manifest = read_manifest(backup)?;
    ensure_empty(data_dir)?;
    let draft = Draft::new(data_dir)?;
    private_dir(&draft.path().join(KEYS))?;
    for listed in &manifest.files {
        copy(backup, listed, draft.path())?;
    }
    let marker = serde_json::json!({ "cut_at": manifest.cut_at, "restored_at": now });
    write_new(&draft.path().join(MARKER), marker.to_string().as_bytes())?;
    Ok(Restored { data_dir: draft.keep()?, manifest })
}

fn read_manifest(backup: &Path) -> Result<Manifest> {
    let path = backup.join(MANIFEST);
    let bytes = std::fs::read(&path)
        .with_context(|| format!("{} is no backup: {MANIFEST} cannot be read", backup.display()))?;
    // Another format may have other fields.
    let damaged = || format!("{} is damaged", path.display());
    let value: serde_json::Value = serde_json::from_slice(&bytes).with_context(damaged)?;
    ensure!(
        value["format"] == FORMAT,
        "{} has format {}; this version reads {FORMAT}",
        path.display(),
        value["format"]
    );
    let manifest: Manifest = serde_json::from_value(value).with_context(damaged)?;
    for Listed { name, .. } in &manifest.files {
        let mut parts = Path::new(name).components();
        let inside = !name.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)));
        ensure!(inside, "{} is damaged: {name:?} is no file of a backup", path.display());
    }
    Ok(manifest)
}

fn ensure_empty(data_dir: &Path) -> Result<()> {
    match std::fs::read_dir(data_dir).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => bail!("{} is not empty; a yard is restored into a directory of its own", data_dir.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot use {}", data_dir.display())),
    }
}

/// Copies a file and compares it with what the manifest says.
fn copy(backup: &Path, listed: &Listed, draft: &Path) -> Result<()> {
    let name = &listed.name;
    let mut from = File::open(backup.join(name)).with_context(|| format!("{name} cannot be read from the backup"))?;
    let cannot = || format!("{name} cannot be written");
    let mut to = new_file(&draft.join(name)).with_context(cannot)?;
    let (bytes, sha256) = digest(&mut from, &mut to).with_context(|| format!("{name} cannot be copied"))?;
    ensure!(
        (bytes, &sha256) == (listed.bytes, &listed.sha256),
        "the backup is damaged: {name} is not the file that {MANIFEST} lists"
    );
    to.sync_all().with_context(cannot)
}

/// Before a yard answers anybody: where it was restored, the logs of its offers begin anew. Answers how many.
///
/// A directory shows it by its marker, a PostgreSQL database (`shared`) by another incarnation. A crash in between changes
/// nothing: that sign goes once every offer is marked in its database, and before the first of them begins anew.
pub async fn begin_logs_anew(data_dir: &Path, shared: Option<&Db>, offers: &[Admission]) -> Result<u64> {
    let marker = data_dir.join(MARKER);
    if marker.exists() {
        mark(offers).await?;
        let removed = std::fs::remove_file(&marker).and_then(|()| File::open(data_dir)?.sync_all());
        removed.with_context(|| format!("cannot remove {}", marker.display()))?;
    }
    if let Some(db) = shared
        && let Some(name) = incarnation::another(db).await.context("the database's incarnation")?
    {
        mark(offers).await?;
        incarnation::remember(db, &name).await.context("the database's incarnation")?;
    }
    begin_marked(offers).await
}

/// Notes that the yard was restored.
pub(super) async fn mark(offers: &[Admission]) -> Result<()> {
    for admission in offers {
        admission.mark_restored().await.context("the offers cannot be marked")?;
    }
    Ok(())
}

pub(super) async fn begin_marked(offers: &[Admission]) -> Result<u64> {
    let mut begun = 0;
    for admission in offers {
        begun += admission.begin_logs_anew().await.context("the order logs cannot begin anew")?;
    }
    if begun > 0 {
        tracing::warn!(logs = begun, "this yard was restored: its order logs begin anew and say which they continue");
    }
    Ok(begun)
}
