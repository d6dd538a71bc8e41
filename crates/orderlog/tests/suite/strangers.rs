//! Crates that share no code with ours read what we publish.

use crate::book::{OFFER, base, key, verify_files};
use crate::long::long_sale;
use crate::published::{Published, receipt_for, tree};
use orderlog::tiles::{Tile, TileKind};
use orderlog::{Receipt, consistency, inclusion};
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Error, Hash, TileHashReader, TileReader, check_record, check_tree, prove_record, prove_tree,
    record_hash, tree_hash,
};

const SIZE: u64 = 70_000;

/// Reads our tiles by our paths for the stranger's tile numbers.
struct Tiles<'a>(&'a Published);

impl TileReader for Tiles<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, Error> {
        let read = |tile: &tlog_tiles::Tile| {
            let kind = TileKind::Hashes(tile.level());
            let path = Tile { kind, n: tile.level_index(), width: tile.width() as u16 };
            self.0.files.get(&path.to_string()).cloned().ok_or(Error::IndexesNotInTree)
        };
        tiles.iter().map(read).collect()
    }

    fn save_tiles(&self, _tiles: &[tlog_tiles::Tile], _data: &[Vec<u8>]) {}
}

/// The stranger's reading of our signed checkpoint, by our published key.
fn open(published: &Published, note: &[u8]) -> Checkpoint {
    let keys = String::from_utf8(published.files["keys"].clone()).unwrap();
    let verifier = StandardVerifier::new(keys.lines().next().unwrap()).unwrap();
    let note = Note::from_bytes(note).unwrap();
    let (verified, unverified) = note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 0));
    Checkpoint::from_bytes(note.text()).unwrap()
}

#[test]
fn a_stranger_accepts_checkpoint_tiles_and_proofs_of_a_long_log() {
    let (rules, leaves) = long_sale(OFFER, SIZE);
    let published = Published::new(&base(), &key(), &[rules.canonical()], std::slice::from_ref(&leaves));
    let checkpoint = open(&published, &published.files["checkpoint"]);
    assert_eq!((checkpoint.origin(), checkpoint.size()), (&*base(), SIZE));
    let root = *checkpoint.hash();
    let tiles = Tiles(&published);
    // This reader hashes the tiles on the tree's edge up to the root.
    let reader = TileHashReader::new(SIZE, root, &tiles);
    assert_eq!(tree_hash(SIZE, &reader).unwrap(), root);
    let ours = tree(&leaves);
    for index in [0, 1, 255, 256, 65_535, 65_536, SIZE - 1] {
        let theirs = prove_record(SIZE, index, &reader).unwrap();
        let proof = inclusion(index, SIZE, |node| ours.node(node).ok_or(())).unwrap();
        assert_eq!(theirs, hashes(&proof), "leaf {index}");
        let receipt = Receipt::parse(&receipt_for(&base(), &key(), &leaves, index)).unwrap();
        let newest = open(&published, receipt.checkpoint.as_bytes());
        let leaf = record_hash(receipt.leaf.to_string().as_bytes());
        check_record(&hashes(&receipt.proof), newest.size(), *newest.hash(), index, leaf).unwrap();
    }
    for old in [1, 2, 255, 256, 257, 65_536, 69_999] {
        let theirs = prove_tree(SIZE, old, &reader).unwrap();
        let proof = consistency(old, SIZE, |node| ours.node(node).ok_or(())).unwrap();
        assert_eq!(theirs, hashes(&proof), "size {old}");
        let old_root = tree(&leaves[..old as usize]).root();
        check_tree(&hashes(&proof), SIZE, root, old, Hash(old_root)).unwrap();
    }
    let report = verify_files(&published, &[receipt_for(&base(), &key(), &leaves, 143)]);
    assert!(report.verified, "{:#?}", report.violations);
    assert_eq!((report.counts.held, report.counts.refused), (100, 69_899));
}

#[test]
fn a_stranger_finds_a_changed_tile() {
    let (rules, leaves) = long_sale(OFFER, 600);
    let mut published = Published::new(&base(), &key(), &[rules.canonical()], std::slice::from_ref(&leaves));
    let root = *open(&published, &published.files["checkpoint"]).hash();
    published.files.get_mut("tile/0/001").unwrap()[5] ^= 1;
    let tiles = Tiles(&published);
    let reader = TileHashReader::new(600, root, &tiles);
    let proof = prove_record(600, 300, &reader).unwrap();
    let leaf = record_hash(leaves[300].as_bytes());
    assert!(check_record(&proof, 600, root, 300, leaf).is_err());
    // The same reader finds a changed edge by itself.
    published.files.get_mut("tile/1/000.p/2").unwrap()[5] ^= 1;
    let tiles = Tiles(&published);
    let reader = TileHashReader::new(600, root, &tiles);
    assert!(prove_record(600, 300, &reader).is_err());
}

fn hashes(ours: &[orderlog::Hash]) -> Vec<Hash> {
    ours.iter().copied().map(Hash).collect()
}
