//! Every lie, hashed and signed anew with the right key, is found and named.

use crate::book::{Book, base, key, verify_files};
use crate::honest::{continued, every_event, pools};
use crate::published::Published;
use orderlog::check::{ViolationKind as Kind, verify};
use orderlog::{ReturnTo, Rules};

/// Tells one lie in the book of every event.
#[track_caller]
fn lie(told: impl FnOnce(&mut Book), found: Kind) {
    let mut book = every_event();
    told(&mut book);
    let lie = book.first_lie().map(|(_, kind)| kind);
    assert_eq!(lie, Some(found), "{:#?}", book.verify().violations);
}

/// Replaces a word in the first line that begins so.
fn becomes(line: &str, from: &str, to: &str) -> impl FnOnce(&mut Book) {
    move |book| {
        let at = book.find(line);
        let line = &mut book.log()[at].1;
        *line = line.replacen(from, to, 1);
    }
}

fn change(from: &str, to: &str) -> impl FnOnce(&mut Book) {
    becomes(from, from, to)
}

fn drop_line(event: &str) -> impl FnOnce(&mut Book) {
    move |book| {
        let at = book.find(event);
        book.log().remove(at);
    }
}

/// Writes an event right before the first line that begins so, at its time.
fn before(line: &str, event: &str) -> impl FnOnce(&mut Book) {
    move |book| {
        let at = book.find(line);
        let ms = book.log()[at].0;
        let mut one = Book { rules: Vec::new(), logs: vec![Vec::new()] };
        one.say(ms, event);
        let event = one.log().remove(0);
        book.log().insert(at, event);
    }
}

fn swap(first: &str) -> impl FnOnce(&mut Book) {
    move |book| {
        let at = book.find(first);
        book.log().swap(at, at + 1);
    }
}

fn at(event: &str, ms: i64) -> impl FnOnce(&mut Book) {
    move |book| {
        let at = book.find(event);
        book.log()[at].0 = ms;
    }
}

/// A shorter sale under other rules.
#[track_caller]
fn lie_under(rules: &Rules, lines: &[(i64, &str)], found: Kind) {
    let mut book = Book::new(rules);
    for (ms, event) in lines {
        book.say(*ms, event);
    }
    assert_eq!(book.first_lie().map(|(_, kind)| kind), Some(found), "{:#?}", book.verify().violations);
}

#[test]
fn a_changed_leaf() {
    lie(change("claim 2 ", "claim 02 "), Kind::Malformed);
    lie(change("pay 1", "sell 1"), Kind::Malformed);
    lie(change("claim 1 ", "claim 13 "), Kind::Seq);
    lie(change("claim 3 ", "claim 2 "), Kind::Seq);
}

#[test]
fn a_changed_outcome() {
    lie(becomes("claim 2 ", "waitlisted", "refused"), Kind::Outcome);
    lie(becomes("claim 1 ", "held", "waitlisted"), Kind::Outcome);
    lie(becomes("claim 1 ", "held", "confirmed"), Kind::Outcome);
    lie(becomes("claim 2 ", "waitlisted", "held"), Kind::OverCapacity);
}

#[test]
fn two_leaves_swapped() {
    lie(swap("claim 1 "), Kind::Seq);
    lie(swap("return 3 "), Kind::OverCapacity);
    lie(swap("return 6 "), Kind::OverCapacity);
}

#[test]
fn a_leaf_dropped() {
    lie(drop_line("claim 2 "), Kind::Seq);
    lie(drop_line("grant 2"), Kind::GrantMissing);
    lie(drop_line("grant 4"), Kind::GrantMissing);
    lie(drop_line("return 3 "), Kind::OverCapacity);
    lie(drop_line("hold 1"), Kind::IllegalMove);
    lie(drop_line("close"), Kind::Close);
    lie(drop_line("rules"), Kind::Rules);
}

#[test]
fn a_grant_beyond_capacity() {
    lie(before("pause", "grant 2"), Kind::OverCapacity);
    lie(before("pause", "claim 6 @z 1 10k:1 held"), Kind::OverCapacity);
    lie(before("pause", "claim 6 @z 1 10k:1 assigned"), Kind::OverCapacity);
    lie(before("claim 9 ", "assign 8"), Kind::IllegalMove);
    lie(before("claim 6 ", "amend 2 5k:1"), Kind::OverCapacity);
    lie(before("rules", "grant 1"), Kind::Rules);
}

#[test]
fn a_promotion_out_of_order() {
    let rules = pools(1, 0);
    let until = [
        (1_000, "claim 1 @a 1 10k:1 held"),
        (1_000, "claim 2 @b 1 10k:1,s1-1:1 waitlisted"),
        (1_000, "claim 3 @c 1 10k:1 waitlisted"),
        (1_001, "return 1 released"),
    ];
    let then = |event| [&until[..], &[(1_001, event)]].concat();
    lie_under(&rules, &then("grant 3"), Kind::OutOfOrder);
    lie_under(&rules, &then("claim 4 @d 1 10k:1 held"), Kind::GrantMissing);
    lie_under(&rules, &until, Kind::GrantMissing);
}

#[test]
fn a_pool_that_pays_no_heed_to_capacity() {
    let rules = Rules { return_to: ReturnTo::Pool, ..pools(1, 0) };
    let lines = [(1_000, "claim 1 @a 1 10k:1 held"), (1_000, "claim 2 @b 1 10k:1 waitlisted"), (1_001, "grant 2")];
    lie_under(&rules, &lines, Kind::OverCapacity);
}

#[test]
fn times() {
    lie(at("pay 1", 900), Kind::Time);
    lie(at("return 3 ", 10_999), Kind::EarlyExpiry);
    lie(at("claim 1 ", 999), Kind::NotOpen);
    lie(at("claim 10 ", 100_000), Kind::Close);
    lie(before("claim 11 ", "return 10 expired"), Kind::EarlyExpiry);
    let closed = [(1_000, "close"), (1_001, "claim 1 @a 1 10k:1 held")];
    lie_under(&pools(1, 0), &closed, Kind::Closed);
}

#[test]
fn pause_and_close() {
    lie(before("resume", "claim 6 @z 1 10k:1 waitlisted"), Kind::Paused);
    lie(before("resume", "pause"), Kind::PauseState);
    lie(before("pause", "resume"), Kind::PauseState);
    lie(before("return 7 ", "close"), Kind::Close);
    lie(before("claim 12 ", "grant 11"), Kind::Closed);
}

#[test]
fn one_each() {
    lie(before("pay 1", "claim 5 @a 1 10k:1 waitlisted"), Kind::PersonLimit);
    lie(before("pay 1", "claim 5 @b 1 10k:1 waitlisted"), Kind::PersonLimit);
    lie(before("pause", "claim 6 @e 1 10k:1 assigned"), Kind::PersonLimit);
}

#[test]
fn moves_a_claim_cannot_make() {
    for event in
        ["hold 1", "pay 2", "confirm 2", "return 99 released", "grant 1", "assign 1", "pay 99", "return 2 failed"]
    {
        lie(before("pay 1", event), Kind::IllegalMove);
    }
    for event in ["pay 1", "return 1 expired", "return 1 released", "return 1 cancelled", "amend 1 10k:1"] {
        lie(before("hold 1", event), Kind::IllegalMove);
    }
    lie(before("resume", "return 5 released"), Kind::IllegalMove);
    lie(before("pause", "return 1 expired"), Kind::IllegalMove);
}

#[test]
fn wants_and_refusals() {
    lie(before("pay 1", "claim 5 @z 1 42k:1 waitlisted"), Kind::Want);
    lie(before("pay 1", "claim 5 @z 1 10k:1,5k:1 waitlisted"), Kind::Want);
    lie(before("pay 1", "claim 5 @z 1 10k:2 waitlisted"), Kind::Want);
    lie(before("pay 1", "claim 5 @z 1 s1-1:1 waitlisted"), Kind::Want);
    let rules = Rules { waitlist: false, refusals_logged_max: 2, ..pools(1, 0) };
    let until = [(1_000, "claim 1 @a 1 10k:1 held"), (1_000, "claim 2 @b 1 10k:1 refused")];
    let then = |rest: &[(i64, &'static str)]| [&until[..], rest].concat();
    lie_under(&rules, &then(&[(1_000, "claim 3 @b 1 10k:1 refused")]), Kind::Refusal);
    let third = [(1_000, "claim 3 @c 1 10k:1 refused"), (1_000, "claim 4 @d 1 10k:1 refused")];
    lie_under(&rules, &then(&third), Kind::Refusal);
    lie_under(&rules, &then(&[(1_000, "claim 3 @c 1 10k:1 waitlisted")]), Kind::Outcome);
}

#[test]
fn rules_that_take_back_what_was_given() {
    let mut book = Book::new(&pools(2, 0));
    book.say(1_000, "claim 1 @a 1 10k:1 held").say(1_000, "claim 2 @b 1 10k:1 held");
    let mut lower = book.clone();
    lower.rules(1_001, &pools(1, 0));
    assert_eq!(lower.first_lie(), Some((Some(3), Kind::BelowTaken)));
    let mut held_back = book.clone();
    held_back.rules(1_001, &pools(2, 1));
    assert_eq!(held_back.first_lie(), Some((Some(3), Kind::BelowTaken)));
    let mut removed = book.clone();
    let mut without = pools(2, 0);
    without.pools.remove(0);
    removed.rules(1_001, &without);
    assert_eq!(removed.first_lie(), Some((Some(3), Kind::BelowTaken)));
    let mut other = book.clone();
    other.rules(1_001, &Rules { offer: uuid::Uuid::from_u128(5), ..pools(2, 0) });
    assert_eq!(other.first_lie(), Some((Some(3), Kind::Rules)));
    let mut unknown = book;
    unknown.say(1_001, &format!("rules {}", "00".repeat(32)));
    assert_eq!(unknown.first_lie(), Some((Some(3), Kind::Rules)));
}

#[test]
fn raised_capacity_goes_to_the_line_first() {
    let mut book = Book::new(&pools(1, 0));
    book.say(1_000, "claim 1 @a 1 10k:1 held").say(1_000, "claim 2 @b 1 10k:1 waitlisted");
    book.rules(1_001, &pools(2, 0));
    book.say(1_002, "claim 3 @c 1 10k:1 held");
    assert_eq!(book.first_lie(), Some((Some(4), Kind::GrantMissing)));
}

#[test]
fn a_log_that_continues_another_falsely() {
    // The twelfth leaf freed what seq 2 was due; a log cannot go on from within.
    assert_eq!(continued(12).first_lie(), Some((Some(12), Kind::GrantMissing)));
    let mut other_size = continued(10);
    other_size.log()[1].1 = other_size.log()[1].1.replace(" 10 ", " 9 ");
    let kinds: Vec<_> = other_size.verify().violations.iter().map(|v| (v.log_no, v.kind)).collect();
    assert!(kinds.contains(&(2, Kind::Continues)), "{kinds:?}");
    let mut silent = continued(10);
    silent.log().remove(1);
    let kinds: Vec<_> = silent.verify().violations.iter().map(|v| (v.log_no, v.kind)).collect();
    assert!(kinds.contains(&(2, Kind::Continues)), "{kinds:?}");
    lie(before("pay 1", &format!("continues other.example/offers/x 3 {}=", "A".repeat(43))), Kind::Continues);
}

#[test]
fn a_wrong_index() {
    let book = every_event();
    let mut lines = book.lines();
    lines[0][5] = lines[0][5].replacen("1 5 ", "1 6 ", 1);
    let published = Published::new(&base(), &key(), &book.rules, &lines);
    let report = verify_files(&published, &[]);
    assert_eq!(report.violations.first().map(|v| (v.index, v.kind)), Some((Some(6), Kind::Index)));
}

#[test]
fn what_is_served_differs_from_what_was_signed() {
    let published = every_event().publish();
    let spoil = |path: &str, spoil: &dyn Fn(&mut Vec<u8>)| {
        let mut published = published.clone();
        spoil(published.files.get_mut(path).unwrap());
        let report = verify_files(&published, &[]);
        report.violations.iter().map(|v| v.kind).collect::<Vec<_>>()
    };
    let entries = "tile/entries/000.p/37";
    assert_eq!(
        spoil(entries, &|bytes| {
            let at = bytes.len() - 1;
            bytes[at] ^= 1
        })[0],
        Kind::Root
    );
    assert_eq!(spoil("tile/0/000.p/37", &|bytes| bytes[40] ^= 1), [Kind::Tile]);
    assert_eq!(spoil("checkpoint", &|bytes| *bytes.last_mut().unwrap() = b' '), [Kind::Signature]);
    assert_eq!(
        spoil("checkpoint", &|bytes| {
            let at = bytes.len() - 20;
            bytes[at] ^= 1
        }),
        [Kind::Signature]
    );
    let other = orderlog::LogKey::from_seed(&[8; 32]).verifier_key(&base());
    assert_eq!(spoil("keys", &|bytes| *bytes = other.clone().into_bytes()), [Kind::Signature]);
    let mut gone = published.clone();
    gone.files.remove(entries);
    let report = verify_files(&gone, &[]);
    assert_eq!(report.violations[0].kind, Kind::Missing);
    assert!(report.violations[0].detail.contains(entries));
    let away = verify(&|_: &str| Err("connection refused".to_owned()), &[]);
    assert_eq!((away.verified, away.violations[0].kind), (false, Kind::Missing));
}

#[test]
fn a_full_tile_stands_in_for_a_partial_one() {
    let mut published = every_event().publish();
    let mut entries = published.files.remove("tile/entries/000.p/37").unwrap();
    for _ in 37..256 {
        orderlog::tiles::push_entry(&mut entries, b"later").unwrap();
    }
    let mut hashes = published.files.remove("tile/0/000.p/37").unwrap();
    hashes.resize(8192, 1);
    published.files.insert("tile/entries/000".to_owned(), entries);
    published.files.insert("tile/0/000".to_owned(), hashes);
    let report = verify_files(&published, &[]);
    assert!(report.verified, "{:#?}", report.violations);
}
