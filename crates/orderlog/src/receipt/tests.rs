use super::*;
use crate::merkle::{Append, Frontier};
use crate::note::{LogKey, sign_checkpoint};

const NAME: &str = "yard.example/offers/x";

fn receipt_of(size: u64, index: u64) -> (String, VerifierKey) {
    let line = |index: u64| format!("1 {index} 5 pay {}", index + 1);
    let mut append = Append::new(Frontier::default());
    (0..size).for_each(|i| append.push(leaf_hash(line(i).as_bytes())));
    let tree = append.finish();
    let key = LogKey::from_seed(&[7; 32]);
    let checkpoint = sign_checkpoint(&key, NAME, size, &tree.root());
    let text = receipt(&line(index), index, &tree.proof(index), &checkpoint);
    (text, VerifierKey::parse(&key.verifier_key(NAME)).expect("key"))
}

#[test]
fn the_text_is_a_tlog_proof() {
    let (text, _) = receipt_of(3, 1);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..3], ["c2sp.org/tlog-proof@v1", "extra MSAxIDUgcGF5IDI=", "index 1"]);
    assert_eq!((lines[3].len(), lines[4].len(), lines[5]), (44, 44, ""));
    assert_eq!(lines[6..8], [NAME, "3"]);
}

#[test]
fn receipts_hold_and_changed_ones_do_not() {
    for (size, index) in [(1, 0), (3, 1), (300, 299)] {
        let (text, key) = receipt_of(size, index);
        let read = Receipt::parse(&text).expect("a receipt");
        assert_eq!((read.index, read.origin().as_deref()), (index, Ok(NAME)));
        assert_eq!(read.verify(&key).map(|checkpoint| checkpoint.size), Ok(size));
    }
    let (text, key) = receipt_of(3, 1);
    let other_leaf = text.replace("MSAxIDUgcGF5IDI=", &STANDARD.encode("1 1 5 pay 3"));
    assert!(Receipt::parse(&other_leaf).is_ok_and(|receipt| receipt.verify(&key).is_err()));
    for (from, to) in [
        ("proof@v1", "proof@v2"),
        ("extra ", "extra"),
        ("extra MSAx", "extra MSAy"),
        ("index 1", "index 2"),
        ("index 1", "index 01"),
        ("index 1\n", "index 1\n!\n"),
        ("\n\n", "\n"),
    ] {
        assert!(Receipt::parse(&text.replacen(from, to, 1)).is_err(), "{to}");
    }
    let (many, _) = receipt_of(1, 0);
    let hash = format!("index 0\n{}", format!("{}\n", STANDARD.encode([0; 32])).repeat(65));
    assert!(Receipt::parse(&many.replacen("index 0\n", &hash, 1)).is_err());
}
