//! A directory under another name, until it is whole.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::{KEYS, private_dir};

/// Becomes `target` when it is kept, and is removed when it is not.
pub(super) struct Draft {
    path: PathBuf,
    target: PathBuf,
    parent: PathBuf,
}

impl Draft {
    pub fn new(target: &Path) -> Result<Draft> {
        let Some(name) = target.file_name() else { bail!("{} is no name for a directory", target.display()) };
        let parent = match target.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let unique = uuid::Uuid::now_v7().simple();
        let path = parent.join(format!(".{}.partial-{unique}", name.to_string_lossy()));
        private_dir(&path)?;
        Ok(Draft { path, target: target.to_owned(), parent: parent.to_owned() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn ensure_nothing_there(&self) -> Result<()> {
        let there = self.target.symlink_metadata().is_ok();
        ensure!(!there, "{} is there already; nothing is ever overwritten", self.target.display());
        Ok(())
    }

    /// Syncs the directory and gives it its name; its files were synced. An empty directory of that name gives way.
    pub fn keep(self) -> Result<PathBuf> {
        let sync = |path: &Path| File::open(path).and_then(|directory| directory.sync_all());
        sync(&self.path.join(KEYS))
            .and_then(|()| sync(&self.path))
            .and_then(|()| std::fs::rename(&self.path, &self.target))
            .and_then(|()| sync(&self.parent))
            .with_context(|| format!("cannot make {}", self.target.display()))?;
        Ok(self.target.clone())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Once it was kept there is nothing of this name.
        std::fs::remove_dir_all(&self.path).ok();
    }
}
