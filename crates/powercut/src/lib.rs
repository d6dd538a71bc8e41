//! A SQLite VFS for tests that knows what a power cut would leave on the disk.
//!
//! [`install`] puts a VFS in front of the platform's own one. It passes everything on, and remembers for each database, journal and
//! write-ahead log below one directory which writes, truncations and deletions no sync has made durable. [`PowerCut::cut`] writes, without
//! stopping anybody, the directory as a disk would hold it if the power failed at this moment: all that was synced, and of the rest what
//! [`Survivors`] says. A test opens that image and looks for whatever it had been promised.
//!
//! What the disk is taken to do:
//! - a sync makes durable what was written to the file before the sync began, and nothing else;
//! - unsynced writes reach the disk in any order, in part, or not at all; bytes that nobody wrote keep their value
//!   (`SQLITE_IOCAP_POWERSAFE_OVERWRITE`, which SQLite assumes by default), no other atomicity is promised;
//! - a new name becomes durable with the first sync of its file, and with it all earlier changes of names in its directory, as on the journaling
//!   file systems; a deletion becomes durable then or when SQLite asks for the directory's sync.
//!
//! The shared-memory index (`-shm`) stays with the platform's VFS: it is rebuilt after a crash. Memory-mapped input and output are refused for
//! the files that are watched, since their writes could not be seen. For the same reason these files are to be changed by SQLite alone and by this
//! process alone; to replace one by renaming another over it while it is closed is allowed.

mod disk;
mod vfs;

use std::io;
use std::path::Path;
use std::sync::Arc;

use disk::Disk;

/// What is left of the writes, truncations and deletions that no sync has made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survivors {
    /// Nothing.
    None,
    /// A random part of the writes, each of them whole, in random order.
    Writes,
    /// A random part of the 512-byte sectors of the writes, in random order; of some sectors only the first bytes.
    Sectors,
    /// Everything: what the death of the process alone would leave.
    All,
}

impl Survivors {
    /// Every kind, for tests that take turns.
    pub const EACH: [Survivors; 4] = [Survivors::None, Survivors::Writes, Survivors::Sectors, Survivors::All];
}

/// One directory whose SQLite files are watched; until it is dropped.
pub struct PowerCut {
    disk: Arc<Disk>,
}

/// Makes the VFS the default of this process (once) and watches the existing directory `root` and all below it.
///
/// Files opened before this call are not seen, so it comes first. Several directories may be watched at once; none inside another. Files
/// elsewhere are left to the platform's VFS.
pub fn install(root: &Path) -> io::Result<PowerCut> {
    vfs::register()?;
    let disk = Arc::new(Disk::new(root.canonicalize()?));
    vfs::watch(&disk);
    Ok(PowerCut { disk })
}

impl PowerCut {
    /// Writes what a power cut at this moment would leave of the watched directory into the directory `target`, made if it is missing and
    /// outside the watched one. Returns how many writes and truncations were unsynced.
    ///
    /// No single write is halfway, a transaction may well be. `seed` chooses among what `survivors` allows. Files that SQLite has not opened
    /// are copied as they stand; sockets and `-shm` files are left out.
    pub fn cut(&self, seed: u64, target: &Path, survivors: Survivors) -> io::Result<usize> {
        self.disk.cut(seed, target, survivors)
    }
}

impl Drop for PowerCut {
    fn drop(&mut self) {
        vfs::forget(&self.disk);
    }
}
