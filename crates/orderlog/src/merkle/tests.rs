use super::*;
use crate::proof::{inclusion, verify_inclusion};

/// The leaves and roots of the reference implementation of RFC 6962.
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// The root by the definition, `MTH` of RFC 6962 §2.1.
fn root_of(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [one] => *one,
        many => {
            let split = many.len().next_power_of_two() / 2;
            node_hash(&root_of(&many[..split]), &root_of(&many[split..]))
        }
    }
}

fn some_leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

/// Appends `leaves` in batches that end at these sizes; gives the last batch.
fn in_batches(leaves: &[Hash], ends: &[usize]) -> Appended {
    let mut frontier = Frontier::default();
    let mut start = 0;
    let mut last = Append::new(Frontier::default()).finish();
    for &end in ends {
        let bytes = frontier.to_bytes();
        let mut append = Append::new(Frontier::from_bytes(frontier.size, &bytes).expect("frontier"));
        leaves[start..end].iter().for_each(|leaf| append.push(*leaf));
        last = append.finish();
        frontier = last.frontier().clone();
        start = end;
    }
    last
}

#[test]
fn rfc_6962_vectors() {
    let leaves: Vec<Hash> = LEAVES.iter().map(|leaf| leaf_hash(&hex::decode(leaf).expect("hex"))).collect();
    for (size, root) in ROOTS.iter().enumerate() {
        let appended = in_batches(&leaves, &[size]);
        assert_eq!(hex::encode(appended.root()), *root, "{size} leaves");
        assert_eq!(appended.frontier().root(), appended.root());
        assert_eq!(root_of(&leaves[..size]), appended.root());
    }
}

/// Roots, proofs and completed tiles of a batch, from the frontier before it, at 300 random sizes.
#[test]
fn three_hundred_random_batches() {
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;
    let leaves = some_leaves(2_000);
    let mut runner = TestRunner::deterministic();
    let sizes = (0..1_500_usize, 1..500_usize, 0..=1_500_usize);
    for _ in 0..300 {
        let (old, added, before) = sizes.new_tree(&mut runner).expect("sizes").current();
        let new = old + added;
        let appended = in_batches(&leaves, &[before.min(old), old, new]);
        let root = root_of(&leaves[..new]);
        assert_eq!(appended.root(), root, "{old} + {added}");
        assert_eq!(appended.frontier().root(), root);
        let whole = in_batches(&leaves, &[new]);
        for (index, leaf) in leaves.iter().enumerate().take(new).skip(old) {
            let proof = appended.proof(index as u64);
            assert!(verify_inclusion(leaf, index as u64, new as u64, &proof, &root), "{index} of {old} + {added}");
            let by_nodes = inclusion(index as u64, new as u64, |node| whole.node(node).ok_or(()));
            assert_eq!(by_nodes, Ok(proof));
        }
        let completed: Vec<_> =
            (old / 256..new / 256).map(|n| (1, n as u64, root_of(&leaves[n * 256..(n + 1) * 256]))).collect();
        assert_eq!(appended.completed(), completed);
    }
}

#[test]
fn higher_tiles_are_completed() {
    let leaves = some_leaves(65_536);
    let appended = in_batches(&leaves, &[65_535, 65_536]);
    let levels: Vec<_> = appended.completed().into_iter().map(|(level, n, _)| (level, n)).collect();
    assert_eq!(levels, [(1, 255), (2, 0)]);
    assert_eq!(appended.completed()[1].2, appended.root());
}

#[test]
fn a_leaf_outside_the_batch_has_no_proof_here() {
    let appended = in_batches(&some_leaves(20), &[10, 20]);
    assert!(appended.proof(9).is_empty() && appended.proof(20).is_empty());
    assert!(!appended.proof(10).is_empty());
}

#[test]
fn a_frontier_must_fit_its_size() {
    assert!(Frontier::from_bytes(3, &[0; 64]).is_ok());
    assert!(Frontier::from_bytes(3, &[0; 32]).is_err());
    assert!(Frontier::from_bytes(2, &[0; 33]).is_err());
    assert!(Frontier::from_bytes(0, &[]).is_ok());
}
