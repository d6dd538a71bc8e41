//! The model of one watched directory: what its files hold, what of that is durable, and the image a power cut would leave.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::Survivors;

const SECTOR_BYTES: u64 = 512;
/// One of so many surviving sectors is torn.
const TORN_ONE_IN: u32 = 8;
/// Beyond so many unsynced changes of a file the older half counts as durable: a kernel too writes back old pages unasked.
const UNSYNCED_MAX: usize = 4096;

/// Tells one file from another that later has the same name: device and inode number.
pub type Identity = (u64, u64);

/// A file's contents, whatever its name. Ids are never used twice.
pub type NodeId = u64;

pub struct Disk {
    root: PathBuf,
    state: Mutex<State>,
}

impl Disk {
    /// `root` is canonical, as are the paths SQLite hands to its VFS.
    pub fn new(root: PathBuf) -> Disk {
        Disk { root, state: Mutex::default() }
    }

    pub fn holds(&self, path: &Path) -> bool {
        path.starts_with(&self.root)
    }

    /// Held over each change of the real files together with its record here, so that a cut never falls between the two.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn cut(&self, seed: u64, target: &Path, survivors: Survivors) -> io::Result<usize> {
        fs::create_dir_all(target)?;
        if self.holds(&target.canonicalize()?) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the image of a power cut must lie outside the watched directory",
            ));
        }
        let state = {
            let state = self.lock();
            // Under the lock: a database opened meanwhile would lose its POSIX locks when the copy closes its descriptor.
            copy_strangers(&state, &self.root, target, &self.root)?;
            state.clone()
        };
        for (path, bytes) in state.image(seed, survivors) {
            let Ok(name) = path.strip_prefix(&self.root) else {
                continue;
            };
            let to = target.join(name);
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(to, bytes)?;
        }
        Ok(state.nodes.values().map(|node| node.unsynced.len()).sum())
    }
}

/// The names as programs see them, the names that are durable, and the files behind both.
#[derive(Clone, Default)]
pub struct State {
    nodes: HashMap<NodeId, Node>,
    live: BTreeMap<PathBuf, NodeId>,
    durable: BTreeMap<PathBuf, NodeId>,
    created: u64,
}

impl State {
    /// The file known under this name, if it is still the same one.
    pub fn known(&self, path: &Path, identity: Identity) -> Option<NodeId> {
        let id = *self.live.get(path)?;
        (self.nodes.get(&id)?.identity == identity).then_some(id)
    }

    /// A file that was there before it was watched counts as durable, with all it holds.
    pub fn adopt(&mut self, path: &Path, identity: Identity, bytes: Vec<u8>) -> NodeId {
        let id = self.insert(path, identity, bytes);
        self.durable.insert(path.to_owned(), id);
        self.prune();
        id
    }

    /// A new and empty file whose name is not durable yet.
    pub fn create(&mut self, path: &Path, identity: Identity) -> NodeId {
        let id = self.insert(path, identity, Vec::new());
        self.prune();
        id
    }

    pub fn write(&mut self, id: NodeId, offset: u64, bytes: &[u8]) {
        self.record(id, Change::Write { offset, bytes: bytes.into() });
    }

    pub fn truncate(&mut self, id: NodeId, len: u64) {
        self.record(id, Change::Truncate { len });
    }

    /// The number of changes ever made to a file: what a sync that begins now covers.
    pub fn changes(&self, id: NodeId) -> u64 {
        self.nodes.get(&id).map_or(0, |node| node.synced + node.unsynced.len() as u64)
    }

    /// A sync ended that covers the file's first `changes` changes.
    pub fn sync(&mut self, id: NodeId, changes: u64) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        node.settle(changes.saturating_sub(node.synced) as usize);

        let name = self.live.iter().find(|(_, live)| **live == id).map(|(path, _)| path.clone());
        if let Some(path) = name
            && self.durable.get(&path) != Some(&id)
        {
            self.sync_names(&path);
        }
    }

    pub fn delete(&mut self, path: &Path, sync_dir: bool) {
        self.live.remove(path);
        if sync_dir {
            self.sync_names(path);
        }
    }

    /// What the disk holds after a power cut: each file's path and bytes.
    fn image(&self, seed: u64, survivors: Survivors) -> Vec<(&Path, Vec<u8>)> {
        let mut rng = StdRng::seed_from_u64(seed);
        // Drawn once, so that some cuts keep nearly all and others nearly nothing.
        let kept = rng.random::<f64>();
        let paths: BTreeSet<&PathBuf> = self.live.keys().chain(self.durable.keys()).collect();
        paths
            .into_iter()
            .filter_map(|path| {
                let newer = match survivors {
                    Survivors::None => false,
                    Survivors::Writes | Survivors::Sectors => rng.random_bool(kept),
                    Survivors::All => true,
                };
                let names = if newer { &self.live } else { &self.durable };
                let node = self.nodes.get(names.get(path)?)?;
                Some((path.as_path(), node.image(&mut rng, survivors, kept)))
            })
            .collect()
    }

    fn insert(&mut self, path: &Path, identity: Identity, bytes: Vec<u8>) -> NodeId {
        self.created += 1;
        let node = Node { identity, bytes: Arc::new(bytes), unsynced: Vec::new(), synced: 0 };
        self.nodes.insert(self.created, node);
        self.live.insert(path.to_owned(), self.created);
        self.created
    }

    /// A file that has lost its name for good may still be open: what is written to it is nobody's concern.
    fn record(&mut self, id: NodeId, change: Change) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.unsynced.push(change);
            if node.unsynced.len() > UNSYNCED_MAX {
                node.settle(UNSYNCED_MAX / 2);
            }
        }
    }

    /// Makes every name of the directory that holds `path` durable as it is now.
    fn sync_names(&mut self, path: &Path) {
        let dir = path.parent();
        self.durable.retain(|path, _| path.parent() != dir);
        self.durable
            .extend(self.live.iter().filter(|(path, _)| path.parent() == dir).map(|(path, id)| (path.clone(), *id)));
        self.prune();
    }

    fn prune(&mut self) {
        let named: BTreeSet<NodeId> = self.live.values().chain(self.durable.values()).copied().collect();
        self.nodes.retain(|id, _| named.contains(id));
    }
}

#[derive(Clone)]
struct Node {
    identity: Identity,
    /// What is durable. Shared with the images being made, copied only when a sync comes meanwhile.
    bytes: Arc<Vec<u8>>,
    unsynced: Vec<Change>,
    /// How many changes went from `unsynced` into `bytes`.
    synced: u64,
}

impl Node {
    /// Makes the oldest `count` changes durable.
    fn settle(&mut self, count: usize) {
        let bytes = Arc::make_mut(&mut self.bytes);
        for change in self.unsynced.drain(..count) {
            change.as_piece().apply(bytes);
        }
        self.synced += count as u64;
    }

    fn image(&self, rng: &mut StdRng, survivors: Survivors, kept: f64) -> Vec<u8> {
        let mut bytes = self.bytes.to_vec();
        let mut pieces: Vec<Piece> = match survivors {
            Survivors::None => Vec::new(),
            Survivors::Writes | Survivors::All => self.unsynced.iter().map(Change::as_piece).collect(),
            Survivors::Sectors => self.unsynced.iter().flat_map(|change| change.sectors()).collect(),
        };
        if survivors != Survivors::All {
            pieces.retain(|_| rng.random_bool(kept));
            pieces.shuffle(rng);
        }
        for piece in pieces {
            let tear = survivors == Survivors::Sectors && rng.random_ratio(1, TORN_ONE_IN);
            if tear { piece.torn(rng).apply(&mut bytes) } else { piece.apply(&mut bytes) }
        }
        bytes
    }
}

#[derive(Clone)]
enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    Truncate { len: u64 },
}

impl Change {
    fn as_piece(&self) -> Piece<'_> {
        match self {
            Change::Write { offset, bytes } => Piece::Write { offset: *offset, bytes },
            Change::Truncate { len } => Piece::Truncate { len: *len },
        }
    }

    fn sectors(&self) -> Vec<Piece<'_>> {
        let Change::Write { offset, bytes } = self else {
            return vec![self.as_piece()];
        };
        let (mut offset, mut rest) = (*offset, &bytes[..]);
        let mut sectors = Vec::new();
        while !rest.is_empty() {
            let room = (SECTOR_BYTES - offset % SECTOR_BYTES) as usize;
            let (sector, after) = rest.split_at(room.min(rest.len()));
            sectors.push(Piece::Write { offset, bytes: sector });
            offset += sector.len() as u64;
            rest = after;
        }
        sectors
    }
}

/// A change, or the part of one that reaches the disk on its own.
#[derive(Clone, Copy)]
enum Piece<'a> {
    Write { offset: u64, bytes: &'a [u8] },
    Truncate { len: u64 },
}

impl Piece<'_> {
    fn torn(self, rng: &mut StdRng) -> Self {
        match self {
            Piece::Write { offset, bytes } => {
                Piece::Write { offset, bytes: &bytes[..rng.random_range(0..=bytes.len())] }
            }
            Piece::Truncate { .. } => self,
        }
    }

    fn apply(self, file: &mut Vec<u8>) {
        match self {
            Piece::Write { offset, bytes } => {
                let (start, end) = (offset as usize, offset as usize + bytes.len());
                if file.len() < end {
                    file.resize(end, 0);
                }
                file[start..end].copy_from_slice(bytes);
            }
            Piece::Truncate { len } => file.resize(len as usize, 0),
        }
    }
}

/// Copies the directories, and the files the model does not know.
fn copy_strangers(state: &State, from: &Path, target: &Path, root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let path = entry.path();
        let Ok(name) = path.strip_prefix(root) else {
            continue;
        };
        let to = target.join(name);
        let kind = entry.file_type()?;
        if kind.is_dir() {
            fs::create_dir_all(&to)?;
            copy_strangers(state, &path, target, root)?;
        } else if kind.is_file() && !state.live.contains_key(&path) && !path.to_string_lossy().ends_with("-shm") {
            match fs::copy(&path, &to) {
                // A file that is not SQLite's may vanish at any time.
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
                copied => drop(copied?),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
