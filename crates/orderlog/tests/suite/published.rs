//! The files of a log under its published prefix.

use orderlog::tiles::{self, Tile, TileKind};
use orderlog::{
    Append, Appended, Frontier, LogKey, Node, Rules, inclusion, leaf_hash, origin, receipt, sign_checkpoint,
};
use std::collections::BTreeMap;

/// Everything published about one offer, by path.
#[derive(Clone, Default)]
pub struct Published {
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Published {
    /// The logs of an offer, oldest first, each as its leaves; signed and hashed as they are.
    pub fn new(base: &str, key: &LogKey, rules: &[Vec<u8>], logs: &[Vec<String>]) -> Published {
        let mut published = Published::default();
        let mut keys = String::new();
        for (log_no, leaves) in (1_u32..).zip(logs) {
            let name = origin(base, log_no);
            keys = format!("{}\n{keys}", key.verifier_key(&name));
            let newest = log_no as usize == logs.len();
            let prefix = if newest { String::new() } else { format!("logs/{log_no}/") };
            published.add_log(&prefix, &name, key, rules, leaves);
        }
        published.add("", "keys", keys.into_bytes());
        published
    }

    fn add_log(&mut self, prefix: &str, name: &str, key: &LogKey, rules: &[Vec<u8>], leaves: &[String]) {
        let tree = tree(leaves);
        let size = leaves.len() as u64;
        for tile in Tile::all(TileKind::Entries, size) {
            let mut bundle = Vec::new();
            for leaf in leaves.iter().skip(tile.first() as usize).take(tile.width.into()) {
                tiles::push_entry(&mut bundle, leaf.as_bytes()).unwrap();
            }
            self.add(prefix, &tile.to_string(), bundle);
        }
        for level in 0..8 {
            for tile in Tile::all(TileKind::Hashes(level), size) {
                let nodes = (tile.first()..).take(tile.width.into());
                let hashes = nodes.flat_map(|index| tree.node(Node { level: level * 8, index }).unwrap());
                self.add(prefix, &tile.to_string(), hashes.collect());
            }
        }
        for bytes in rules {
            let sha: String = Rules::sha_of(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            self.add(prefix, &format!("rules/{sha}"), bytes.clone());
        }
        let checkpoint = sign_checkpoint(key, name, size, &tree.root());
        self.add(prefix, "checkpoint", checkpoint.into_bytes());
    }

    fn add(&mut self, prefix: &str, path: &str, bytes: Vec<u8>) {
        self.files.insert(format!("{prefix}{path}"), bytes);
    }
}

/// The whole tree over these leaves.
pub fn tree(leaves: &[String]) -> Appended {
    let mut append = Append::new(Frontier::default());
    for leaf in leaves {
        append.push(leaf_hash(leaf.as_bytes()));
    }
    append.finish()
}

/// A receipt for one of these leaves, against the checkpoint over all of them.
pub fn receipt_for(name: &str, key: &LogKey, leaves: &[String], index: u64) -> String {
    let tree = tree(leaves);
    let size = leaves.len() as u64;
    let proof = inclusion(index, size, |node| tree.node(node).ok_or(())).unwrap();
    let checkpoint = sign_checkpoint(key, name, size, &tree.root());
    receipt(&leaves[index as usize], index, &proof, &checkpoint)
}
