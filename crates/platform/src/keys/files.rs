//! Keys as files of mode 0600, for a yard of one process.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{KeysError, LOG, PERSON, TICKET, TOKEN, WEB, WEBHOOK, fresh_key, fresh_name};

pub(super) fn open(data_dir: &Path, public_url: &str) -> Result<super::Keys, KeysError> {
    let dir = data_dir.join("keys");
    private_dir(&dir).map_err(at(&dir))?;
    let log = key(&dir, LOG)?;
    let name_file = data_dir.join("yard-name");
    let name = read_or_make(&name_file, || format!("{}\n", fresh_name(public_url, &log)).into_bytes())?;
    Ok(super::Keys {
        token: key(&dir, TOKEN)?,
        log,
        ticket: key(&dir, TICKET)?,
        webhook: key(&dir, WEBHOOK)?,
        person: key(&dir, PERSON)?,
        web: key(&dir, WEB)?,
        yard_name: String::from_utf8_lossy(&name).trim_end().to_owned(),
    })
}

fn key(dir: &Path, name: &str) -> Result<[u8; 32], KeysError> {
    let path = dir.join(name);
    let bytes = read_or_make(&path, || fresh_key().to_vec())?;
    bytes.try_into().map_err(|_| KeysError::DamagedFile(path))
}

/// The file's content; where there is no file, `fresh` becomes its content unless somebody else was faster.
fn read_or_make(path: &Path, fresh: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, KeysError> {
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Ok(bytes) => {
            warn_when_open_to_others(path);
            return Ok(bytes);
        }
        Err(error) => return Err(at(path)(error)),
    }
    make(path, &fresh()).map_err(at(path))?;
    fs::read(path).map_err(at(path))
}

/// Puts a whole, synced file into place, or leaves the one that is there.
///
/// Why a link and not a rename: a rename would replace the key that another process made in the meantime.
fn make(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension(format!("new-{}", uuid::Uuid::now_v7().simple()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| fs::hard_link(&temporary, path));
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn private_dir(dir: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    fs::set_permissions(dir, Permissions::from_mode(0o700))
}

fn warn_when_open_to_others(path: &Path) {
    if let Ok(meta) = fs::metadata(path)
        && meta.permissions().mode() & 0o077 != 0
    {
        tracing::warn!(file = %path.display(), "a file of the yard's keys is open to others; set its mode to 0600");
    }
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> KeysError {
    let path = PathBuf::from(path);
    |source| KeysError::File { path, source }
}
