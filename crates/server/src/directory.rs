//! The data directory: what lies where, and who may use it.
//!
//! Invariant: at most one process at a time has a directory, whatever the profile: it holds the lock of
//! `madang.lock` for as long as it lives, and the system gives the lock back however it ends.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A data directory that this process has for itself.
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// What came of trying to take a directory.
pub enum Taken {
    Mine(DataDir),
    /// Somebody has it; his process id where he told it.
    Others(Option<u32>),
}

impl DataDir {
    /// Makes the directory if it is not there (mode 0700) and takes its lock.
    pub fn take(path: &Path) -> Result<Taken> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        let file = path.join("madang.lock");
        let cannot = || format!("cannot open {}", file.display());
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&file)
            .with_context(cannot)?;
        match lock.try_lock() {
            Ok(()) => {
                // For people and for the message below only: the lock itself is the system's.
                lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id())).with_context(cannot)?;
                let path = path.canonicalize().with_context(cannot)?;
                Ok(Taken::Mine(DataDir { path, _lock: lock }))
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let told = lock.rewind().and_then(|()| lock.read_to_string(&mut text));
                Ok(Taken::Others(told.ok().and_then(|_| text.trim().parse().ok())))
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", file.display())),
        }
    }

    /// Takes the directory or says who has it.
    pub fn take_or_refuse(path: &Path) -> Result<DataDir> {
        match DataDir::take(path)? {
            Taken::Mine(dir) => Ok(dir),
            Taken::Others(process) => {
                let who = process.map_or_else(String::new, |id| format!(" (process {id})"));
                anyhow::bail!("another madang{who} runs on {}; a data directory serves one at a time", path.display())
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where commands for a running yard are taken.
    pub fn socket(&self) -> PathBuf {
        socket_of(&self.path)
    }
}

/// The socket of a directory that may be another process's.
pub fn socket_of(data_dir: &Path) -> PathBuf {
    data_dir.join("madang.sock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_user_at_a_time() {
        let parent = tempfile::tempdir().expect("a directory");
        let path = parent.path().join("deep/data");
        let Taken::Mine(first) = DataDir::take(&path).expect("taken") else { panic!("nobody has it") };
        let Taken::Others(process) = DataDir::take(&path).expect("asked") else { panic!("it is taken") };
        assert_eq!(process, Some(std::process::id()));
        let refused = DataDir::take_or_refuse(&path).err().expect("refused").to_string();
        assert!(refused.contains(&std::process::id().to_string()) && refused.contains("deep/data"), "{refused}");
        drop(first);
        assert!(DataDir::take_or_refuse(&path).is_ok(), "free again");
    }
}
