//! Inclusion and consistency proofs of RFC 6962 §2.1: which nodes they need, and their verification.
//!
//! A proof is a list of hashes; each is the root of a range of leaves that falls into complete nodes.
//! The lists of those nodes come first, so that a store can read them in one go; [`fold`] then gives
//! each hash.

use crate::merkle::{Hash, node_hash};

#[cfg(test)]
mod tests;

/// A complete subtree: the leaves `index << level` to `(index + 1) << level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    pub level: u8,
    pub index: u64,
}

impl Node {
    /// The hashes of a tile level whose root this node is: `(tile level, first, count)`, count ≤ 128.
    pub fn in_tiles(self) -> (u8, u64, u64) {
        let rest = self.level % 8;
        (self.level / 8, self.index << rest, 1 << rest)
    }
}

/// The root over roots of complete subtrees, largest first; `None` of nothing.
pub fn fold(nodes: &[Hash]) -> Option<Hash> {
    let (last, before) = nodes.split_last()?;
    Some(before.iter().rfold(*last, |right, left| node_hash(left, &right)))
}

/// The complete nodes a tree of `size` leaves falls into, largest first: those of its frontier.
pub fn frontier_nodes(size: u64) -> Vec<Node> {
    cover(0, size)
}

/// What each hash of the inclusion proof of leaf `index` in a tree of `size` leaves folds from.
/// Empty where `index` is not in the tree.
pub fn inclusion_steps(index: u64, size: u64) -> Vec<Vec<Node>> {
    let mut steps = Vec::new();
    if index < size {
        subproof(index, index + 1, 0, size, &mut steps);
    }
    steps
}

/// What each hash of the consistency proof from `old` to `new` leaves folds from (RFC 6962 §2.1.2).
/// Empty where the sizes are equal, one of them is zero, or `old` is above `new`.
pub fn consistency_steps(old: u64, new: u64) -> Vec<Vec<Node>> {
    let mut steps = Vec::new();
    if old == 0 || old >= new {
        return steps;
    }
    // The old tree's last complete node starts the proof, unless it is the whole old tree.
    let last = 1 << old.trailing_zeros();
    if last != old {
        steps.push(cover(old - last, old));
    }
    subproof(old - last, old, 0, new, &mut steps);
    steps
}

/// The inclusion proof, its nodes given by `node`; the first error ends it.
pub fn inclusion<E>(index: u64, size: u64, node: impl FnMut(Node) -> Result<Hash, E>) -> Result<Vec<Hash>, E> {
    hashes(&inclusion_steps(index, size), node)
}

/// The consistency proof, its nodes given by `node`; the first error ends it.
pub fn consistency<E>(old: u64, new: u64, node: impl FnMut(Node) -> Result<Hash, E>) -> Result<Vec<Hash>, E> {
    hashes(&consistency_steps(old, new), node)
}

/// Whether `proof` shows `leaf_hash` at `index` of the tree of `size` leaves with this root
/// (RFC 9162 §2.1.3.2).
pub fn verify_inclusion(leaf_hash: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf_hash;
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // A node without a right sibling goes up unchanged.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `proof` shows that the tree of `new` leaves begins with the tree of `old` leaves
/// (RFC 9162 §2.1.4.2). The empty tree begins every tree.
pub fn verify_consistency(old: u64, new: u64, old_root: &Hash, new_root: &Hash, proof: &[Hash]) -> bool {
    let empty = crate::merkle::Frontier::default().root();
    if old == 0 || old >= new {
        let roots_fit = if old == 0 { *old_root == empty } else { old == new };
        let same_fits = old != new || old_root == new_root;
        return roots_fit && same_fits && proof.is_empty();
    }
    let (first, rest) = match proof.split_first() {
        _ if old.is_power_of_two() => (old_root, proof),
        Some(split) => split,
        None => return false,
    };
    let shift = (old - 1).trailing_ones();
    let (mut node, mut last) = ((old - 1) >> shift, (new - 1) >> shift);
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

/// The siblings on the way from the node over `start..end` to the root of `low..high`, lowest first.
fn subproof(start: u64, end: u64, low: u64, high: u64, steps: &mut Vec<Vec<Node>>) {
    if (start, end) == (low, high) {
        return;
    }
    let middle = low + split(high - low);
    if end <= middle {
        subproof(start, end, low, middle, steps);
        steps.push(cover(middle, high));
    } else {
        subproof(start, end, middle, high, steps);
        steps.push(cover(low, middle));
    }
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

/// The complete nodes of a range that starts at a multiple of the largest of them, largest first.
fn cover(mut start: u64, end: u64) -> Vec<Node> {
    let mut nodes = Vec::new();
    while start < end {
        let level = (end - start).ilog2();
        nodes.push(Node { level: level as u8, index: start >> level });
        start += 1 << level;
    }
    nodes
}

fn hashes<E>(steps: &[Vec<Node>], mut node: impl FnMut(Node) -> Result<Hash, E>) -> Result<Vec<Hash>, E> {
    let mut proof = Vec::with_capacity(steps.len());
    for step in steps {
        let roots: Vec<_> = step.iter().map(|one| node(*one)).collect::<Result<_, E>>()?;
        proof.extend(fold(&roots));
    }
    Ok(proof)
}
