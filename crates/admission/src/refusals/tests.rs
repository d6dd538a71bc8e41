use super::*;

fn want(text: &str) -> Want {
    text.parse().expect("a want")
}

fn refused(index: u64, seq: u64, n: u8, text: &str) -> Leaf {
    let event =
        Event::Claim { seq, person: Person([n; 16]), received_ms: 5, want: want(text), outcome: Outcome::Refused };
    Leaf { index, decided_ms: 9, event }
}

fn bundle(leaves: &[Leaf]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for leaf in leaves {
        let line = leaf.to_string();
        bytes.extend((line.len() as u16).to_be_bytes());
        bytes.extend(line.as_bytes());
    }
    bytes
}

fn log() -> Vec<Leaf> {
    let held =
        Event::Claim { seq: 1, person: Person([1; 16]), received_ms: 5, want: want("a:1"), outcome: Outcome::Held };
    vec![
        Leaf { index: 0, decided_ms: 9, event: held },
        refused(1, 2, 2, "a:1"),
        Leaf { index: 2, decided_ms: 9, event: Event::Pause },
        refused(3, 3, 2, "a:1,b:2"),
        refused(4, 4, 3, "a:1"),
    ]
}

#[test]
fn leaves_and_bundles_fold_alike() {
    let mut by_leaf = Refusals::new();
    for leaf in log() {
        by_leaf.apply(&leaf).expect("folds");
    }
    let mut by_bundle = Refusals::new();
    by_bundle.apply_bundle(0, &bundle(&log()[..2])).expect("folds");
    by_bundle.apply_bundle(1, &bundle(&log()[1..])).expect("what was folded is passed over");
    for fold in [by_leaf, by_bundle] {
        assert_eq!((fold.size(), fold.len()), (5, 3));
        let get = |n: u8, text: &str| fold.get(&Person([n; 16]), &want(text));
        assert_eq!(get(2, "a:1"), Some((2, 1)));
        assert_eq!(get(2, "a:1,b:2"), Some((3, 3)));
        assert_eq!(get(3, "a:1"), Some((4, 4)));
        assert_eq!((get(1, "a:1"), get(3, "a:1,b:2"), get(3, "c:1")), (None, None, None));
    }
}

#[test]
fn a_gap_and_broken_bytes_are_errors() {
    let mut fold = Refusals::new();
    assert_eq!(fold.apply_bundle(1, &bundle(&log()[1..])), Err(FoldError::Gap { size: 0, index: 1 }));
    assert_eq!(fold.apply(&log()[3]), Err(FoldError::Gap { size: 0, index: 3 }));
    let whole = bundle(&log());
    let cut = &whole[..whole.len() - 1];
    assert_eq!(fold.apply_bundle(0, cut), Err(FoldError::Malformed { index: 4 }));
    assert_eq!(fold.size(), 4, "what came before is folded");
    for line in ["1 4 9 claim 4 zz 5 a:1 refused", "1 4 9 claim 4 refused", "1 4 9 claim 4"] {
        let mut bytes = (line.len() as u16).to_be_bytes().to_vec();
        bytes.extend(line.as_bytes());
        assert_eq!(fold.apply_bundle(4, &bytes), Err(FoldError::Malformed { index: 4 }), "{line}");
    }
    fold.apply_bundle(0, &whole).expect("goes on where it ended");
    assert_eq!((fold.size(), fold.len()), (5, 3));
}

#[test]
fn leaves_and_bundles_know_alike_who_was_placed_since() {
    let placed = |index, outcome| {
        let event = Event::Claim { seq: 5, person: Person([2; 16]), received_ms: 5, want: want("b:1"), outcome };
        Leaf { index, decided_ms: 9, event }
    };
    for outcome in Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::Refused) {
        let mut leaves = log();
        leaves.push(placed(5, outcome));
        let mut by_leaf = Refusals::new();
        for leaf in &leaves {
            by_leaf.apply(leaf).expect("folds");
        }
        let mut by_bundle = Refusals::new();
        by_bundle.apply_bundle(0, &bundle(&leaves)).expect("folds");
        for fold in [by_leaf, by_bundle] {
            let since: Vec<_> = fold.entries.iter().map(|entry| (entry.person.0[0], entry.placed_since)).collect();
            assert_eq!(since, [(2, true), (2, true), (3, false)], "{outcome}");
        }
    }
}

#[test]
fn the_first_number_stands() {
    let mut fold = Refusals::new();
    fold.apply(&refused(0, 1, 2, "a:1")).expect("folds");
    fold.apply(&refused(1, 2, 2, "a:1")).expect("folds");
    assert_eq!(fold.get(&Person([2; 16]), &want("a:1")), Some((1, 0)));
}
