//! The Merkle tree of RFC 6962 §2.1, kept as a frontier and grown by batches.

use crate::error::FormatError;
use crate::proof::{self, Node};
use sha2::{Digest, Sha256};

#[cfg(test)]
mod tests;

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Each tile covers this many levels of the tree.
const TILE_HEIGHT: u8 = 8;

/// SHA-256(0x00 ‖ leaf).
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

/// SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The roots of the complete subtrees a tree of `size` leaves falls into, largest first: one per bit
/// of `size`. All that is needed to go on from there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    pub size: u64,
    pub nodes: Vec<Hash>,
}

impl Frontier {
    /// The nodes one after the other, popcount(size) × 32 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.nodes.concat()
    }

    /// Refuses a length that does not fit the size.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Result<Frontier, FormatError> {
        let (nodes, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() || nodes.len() != size.count_ones() as usize {
            let why = format!("{} bytes do not fit {size} leaves", bytes.len());
            return Err(FormatError::new("frontier", why));
        }
        let nodes = nodes.to_vec();
        Ok(Frontier { size, nodes })
    }

    /// The root of the tree; of an empty one SHA-256 of nothing.
    pub fn root(&self) -> Hash {
        proof::fold(&self.nodes).unwrap_or_else(|| Sha256::digest([]).into())
    }
}

/// One level of the tree, as far as it is known: a run of complete nodes.
#[derive(Debug, Clone, Default)]
struct Level {
    first: u64,
    hashes: Vec<Hash>,
}

impl Level {
    fn get(&self, index: u64) -> Option<&Hash> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.hashes.get(at)
    }
}

/// Grows a tree by a batch, from its frontier alone.
#[derive(Debug, Clone)]
pub struct Append {
    old_size: u64,
    size: u64,
    levels: Vec<Level>,
}

impl Append {
    /// Starts from the tree as it is before the batch.
    pub fn new(old: Frontier) -> Append {
        let Frontier { size, nodes } = old;
        let mut nodes = nodes.into_iter().rev();
        let height = u64::BITS - size.leading_zeros();
        let level = |level: u32| {
            let has_node = size >> level & 1 == 1;
            Level {
                // Invariant: `first` is even, so that pairs start with the run.
                first: (size >> level) - u64::from(has_node),
                hashes: if has_node { nodes.next().into_iter().collect() } else { Vec::new() },
            }
        };
        Append { old_size: size, size, levels: (0..height).map(level).collect() }
    }

    /// Appends the leaf of this hash (see [`leaf_hash`]).
    pub fn push(&mut self, leaf_hash: Hash) {
        self.size += 1;
        let mut hash = leaf_hash;
        for height in 0.. {
            if self.levels.len() == height {
                self.levels.push(Level::default());
            }
            let level = &mut self.levels[height];
            level.hashes.push(hash);
            match level.hashes.as_chunks::<2>() {
                (pairs, []) => {
                    let Some([left, right]) = pairs.last() else {
                        return;
                    };
                    hash = node_hash(left, right);
                }
                _ => return,
            }
        }
    }

    /// The tree after the batch.
    pub fn finish(self) -> Appended {
        let Append { old_size, size, levels } = self;
        let mut ragged: Vec<Option<Hash>> = Vec::with_capacity(levels.len() + 1);
        ragged.push(None);
        for (height, level) in levels.iter().enumerate() {
            let below = ragged[height];
            let last = (size >> height & 1 == 1).then(|| level.hashes.last()).flatten();
            ragged.push(match (last, below) {
                (Some(last), Some(below)) => Some(node_hash(last, &below)),
                (last, below) => last.copied().or(below),
            });
        }
        let in_frontier = |height: &usize| size >> height & 1 == 1;
        let heights = (0..levels.len()).rev().filter(in_frontier);
        let nodes = heights.filter_map(|height| levels[height].hashes.last().copied()).collect();
        Appended { old_size, frontier: Frontier { size, nodes }, levels, ragged }
    }
}

/// A tree after a batch: its frontier, its root, and proofs for the batch's own leaves.
#[derive(Debug, Clone)]
pub struct Appended {
    old_size: u64,
    frontier: Frontier,
    levels: Vec<Level>,
    /// Per level the root of the incomplete last node there, if the tree ends within one.
    ragged: Vec<Option<Hash>>,
}

impl Appended {
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    pub fn root(&self) -> Hash {
        let root = self.ragged.last().copied().flatten();
        root.unwrap_or_else(|| Frontier::default().root())
    }

    /// The inclusion proof of a leaf of this batch in the tree after it, leaf's sibling first.
    /// Empty for a leaf outside the batch (and for the only leaf of a tree).
    pub fn proof(&self, index: u64) -> Vec<Hash> {
        let size = self.frontier.size;
        if !(self.old_size..size).contains(&index) {
            return Vec::new();
        }
        let sibling = |(height, level): (usize, &Level)| {
            let sibling = index >> height ^ 1;
            let whole = sibling < size >> height;
            if whole {
                level.get(sibling).copied()
            } else if sibling << height < size {
                self.ragged[height]
            } else {
                None
            }
        };
        self.levels.iter().enumerate().filter_map(sibling).collect()
    }

    /// The roots of the tiles this batch completed, as `(tile level, n, hash)`: level 1 are roots of
    /// 256 leaves, level 2 of 65,536, …; `n` counts the nodes of that level.
    pub fn completed(&self) -> Vec<(u8, u64, Hash)> {
        let mut completed = Vec::new();
        for (height, level) in self.levels.iter().enumerate().skip(TILE_HEIGHT.into()) {
            if height % usize::from(TILE_HEIGHT) == 0 {
                let new = (self.old_size >> height)..(self.frontier.size >> height);
                let tile_level = (height / usize::from(TILE_HEIGHT)) as u8;
                completed.extend(new.filter_map(|n| Some((tile_level, n, *level.get(n)?))));
            }
        }
        completed
    }

    /// A complete node, where this batch (or the frontier it started from) knows it; after an append
    /// to the empty tree every node.
    pub fn node(&self, node: Node) -> Option<Hash> {
        self.levels.get(usize::from(node.level))?.get(node.index).copied()
    }
}
