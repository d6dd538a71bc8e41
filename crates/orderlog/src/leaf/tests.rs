use super::*;
use crate::want::PoolCode;
use proptest::prelude::*;

fn want() -> impl Strategy<Value = Want> {
    let pool =
        ("[a-z0-9-]{1,32}", 1..=(1_u32 << 31)).prop_map(|(code, units)| (PoolCode::new(&code).expect("code"), units));
    proptest::collection::btree_map(pool.clone().prop_map(|p| p.0), pool.prop_map(|p| p.1), 1..=8)
        .prop_map(|units| Want::new(units).expect("want"))
}

fn event() -> impl Strategy<Value = Event> {
    let seq = || 1..=u64::MAX;
    let person = any::<[u8; 16]>().prop_map(Person);
    let outcome = proptest::sample::select(Outcome::ALL.to_vec());
    let reason = proptest::sample::select(ReturnReason::ALL.to_vec());
    prop_oneof![
        any::<Hash>().prop_map(|sha| Event::Rules { sha }),
        (seq(), person, 0..=i64::MAX, want(), outcome).prop_map(|(seq, person, received_ms, want, outcome)| {
            Event::Claim { seq, person, received_ms, want, outcome }
        }),
        seq().prop_map(|seq| Event::Pay { seq }),
        seq().prop_map(|seq| Event::Hold { seq }),
        seq().prop_map(|seq| Event::Confirm { seq }),
        (seq(), want()).prop_map(|(seq, want)| Event::Amend { seq, want }),
        (seq(), reason).prop_map(|(seq, reason)| Event::Return { seq, reason }),
        seq().prop_map(|seq| Event::Grant { seq }),
        seq().prop_map(|seq| Event::Assign { seq }),
        Just(Event::Pause),
        Just(Event::Resume),
        Just(Event::Close),
        ("[!-*,-~]{1,200}", any::<u64>(), any::<Hash>()).prop_map(|(origin, size, root)| Event::Continues {
            origin,
            size,
            root
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(index: u64, decided_ms in 0..=i64::MAX, event in event()) {
        let leaf = Leaf { index, decided_ms, event };
        let line = leaf.to_string();
        prop_assert!(line.is_ascii() && line.len() <= LEAF_BYTES_MAX, "{} bytes", line.len());
        prop_assert_eq!(line.parse::<Leaf>(), Ok(leaf));
    }

    /// Whatever is accepted is the canonical line of what was read: no two texts mean one leaf.
    #[test]
    fn no_second_spelling(event in event(), at in 0..400_usize, byte in 32..127_u8, insert: bool) {
        let mut line = Leaf { index: 7, decided_ms: 8, event }.to_string().into_bytes();
        let at = at % line.len();
        if insert {
            line.insert(at, byte);
        } else {
            line[at] = byte;
        }
        if let Ok(leaf) = Leaf::parse(&line) {
            prop_assert_eq!(leaf.to_string().into_bytes(), line);
        }
    }

    #[test]
    fn nothing_crashes_the_reader(bytes: Vec<u8>, line in "1 [0-9]{1,3} [0-9]{1,3} [a-z]{3,9}( [a-z0-9:,]{1,40}){0,6}") {
        let _ = Leaf::parse(&bytes);
        if let Ok(leaf) = line.parse::<Leaf>() {
            prop_assert_eq!(leaf.to_string(), line);
        }
    }
}

#[test]
fn lines_of_the_format() {
    let p = "0123456789abcdef0123456789abcdef";
    for line in [
        format!("1 0 1750000000000 rules {}", "ab".repeat(32)),
        format!("1 5 1750000000123 claim 143 {p} 1750000000001 10k:1,s1-2:1 refused"),
        "1 6 1 pay 1".into(),
        "1 7 1 amend 3 5k:2147483648".into(),
        "1 8 1 return 3 expired".into(),
        "1 9 1 pause".into(),
        format!("1 1 1 continues yard.example/offers/x/2 70000 {}=", "A".repeat(43)),
    ] {
        assert_eq!(line.parse::<Leaf>().map(|leaf| leaf.to_string()), Ok(line));
    }
}

#[test]
fn other_lines_are_refused() {
    let p = "0123456789abcdef0123456789abcdef";
    let claim = format!("1 5 1 claim 143 {p} 1 10k:1 held");
    assert!(claim.parse::<Leaf>().is_ok());
    for (from, to) in [
        ("1 5", "2 5"),
        (" 5 ", " 05 "),
        (" 5 ", " +5 "),
        (" 5 ", " -5 "),
        (" 5 ", "  5 "),
        (" 143 ", " 0 "),
        (" 143 ", " 18446744073709551616 "),
        ("claim", "Claim"),
        ("abcdef0", "ABCDEF0"),
        ("10k:1", "10k:0"),
        ("10k:1", "10k:01"),
        ("10k:1", "10k:2147483649"),
        ("10k:1", "10k:1,10k:1"),
        ("10k:1", "5k:1,10k:1"),
        ("10k:1", "10k"),
        ("10k:1", ":1"),
        ("10k:1", "10K:1"),
        ("10k:1", "a:1,b:1,c:1,d:1,e:1,f:1,g:1,h:1,i:1"),
        ("held", "held "),
        ("held", "held\n"),
        ("held", "sold"),
        ("held", "held 1"),
        (" held", ""),
    ] {
        let line = claim.replacen(from, to, 1);
        assert!(line.parse::<Leaf>().is_err(), "{line:?}");
    }
    assert!(Leaf::parse(b"1 0 1 pause\xff").is_err());
    assert!("".parse::<Leaf>().is_err());
}
