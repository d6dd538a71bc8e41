use super::*;
use crate::merkle::{Append, Appended, Frontier, leaf_hash};

fn tree(size: u64) -> Appended {
    let mut append = Append::new(Frontier::default());
    (0..size).for_each(|i| append.push(leaf_hash(&i.to_be_bytes())));
    append.finish()
}

fn consistency_of(old: u64, new: u64) -> Vec<Hash> {
    let tree = tree(new);
    consistency(old, new, |node| tree.node(node).ok_or(())).expect("every node is known")
}

/// The sample tree and paths of RFC 6962 §2.1.3 (seven leaves).
#[test]
fn the_rfcs_example() {
    let node = |level, index| Node { level, index };
    let (a, b, c, d, e, f, g, h, i, j, k, l) = (
        node(0, 0),
        node(0, 1),
        node(0, 2),
        node(0, 3),
        node(0, 4),
        node(0, 5),
        node(1, 0),
        node(1, 1),
        node(1, 2),
        node(0, 6),
        node(2, 0),
        [node(1, 2), node(0, 6)],
    );
    assert_eq!(inclusion_steps(0, 7), [vec![b], vec![h], l.to_vec()]);
    assert_eq!(inclusion_steps(3, 7), [vec![c], vec![g], l.to_vec()]);
    assert_eq!(inclusion_steps(4, 7), [vec![f], vec![j], vec![k]]);
    assert_eq!(inclusion_steps(6, 7), [vec![i], vec![k]]);
    assert_eq!(consistency_steps(3, 7), [vec![c], vec![d], vec![g], l.to_vec()]);
    assert_eq!(consistency_steps(4, 7), [l.to_vec()]);
    assert_eq!(consistency_steps(6, 7), [vec![i], vec![j], vec![k]]);
    assert_eq!((inclusion_steps(1, 7)[0][0], inclusion_steps(5, 7)[0][0]), (a, e));
}

#[test]
fn consistency_of_all_small_sizes() {
    for new in 0..40 {
        for old in 0..=new {
            let (old_root, new_root) = (tree(old).root(), tree(new).root());
            let proof = consistency_of(old, new);
            assert!(verify_consistency(old, new, &old_root, &new_root, &proof), "{old} to {new}");
            if old > 0 && old < new {
                assert!(!verify_consistency(old, new, &new_root, &new_root, &proof), "{old} to {new}");
                assert!(!verify_consistency(old, new, &old_root, &old_root, &proof), "{old} to {new}");
                let longer = [&proof[..], &[old_root]].concat();
                assert!(!verify_consistency(old, new, &old_root, &new_root, &longer), "{old} to {new}");
                assert!(!verify_consistency(old, new, &old_root, &new_root, &proof[1..]), "{old} to {new}");
                assert!(!verify_consistency(new, old, &new_root, &old_root, &proof), "{new} to {old}");
            }
        }
    }
    let (one, other) = (tree(5).root(), tree(6).root());
    assert!(!verify_consistency(5, 5, &one, &other, &[]));
    assert!(!verify_consistency(0, 5, &one, &other, &[]));
}

#[test]
fn a_changed_inclusion_proof_fails() {
    let (tree, size) = (tree(21), 21_u64);
    for index in 0..size {
        let leaf = leaf_hash(&index.to_be_bytes());
        let proof = inclusion(index, size, |node| tree.node(node).ok_or(())).expect("nodes");
        let verify = |index, size, proof: &[Hash]| verify_inclusion(&leaf, index, size, proof, &tree.root());
        assert!(verify(index, size, &proof));
        assert!(!verify(index ^ 1, size, &proof));
        assert!(!verify(size, size, &proof));
        assert!(!verify(index, size, &proof[1..]));
        assert!(!verify(index, size, &[&proof[..], &[leaf]].concat()));
        let mut changed = proof.clone();
        changed[0][0] ^= 1;
        assert!(!verify(index, size, &changed));
    }
}

#[test]
fn nodes_in_tiles() {
    let at = |level, index| Node { level, index }.in_tiles();
    assert_eq!(at(0, 300), (0, 300, 1));
    assert_eq!(at(3, 5), (0, 40, 8));
    assert_eq!(at(7, 2), (0, 256, 128));
    assert_eq!(at(8, 2), (1, 2, 1));
    assert_eq!(at(17, 1), (2, 2, 2));
}
