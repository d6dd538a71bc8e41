//! Honest logs pass, and the report says what happened.

use crate::book::{Book, base, rules, verify_files};
use orderlog::check::{Counts, OpenClaims};
use orderlog::{ConfirmMode, ReturnTo, Rules};

pub fn pools(course: u32, held_back: u32) -> Rules {
    rules(&[("10k", "course", course, held_back), ("5k", "course", 1, 0), ("s1-1", "souvenir", 1, 0)])
}

/// A sale with every event, units returning to the line.
pub fn every_event() -> Book {
    let mut book = Book::new(&pools(2, 1));
    book.say(1_000, "claim 1 @a 990 10k:1 held")
        .say(1_000, "claim 2 @b 991 10k:1 waitlisted")
        .say(1_000, "claim 3 @c 980 5k:1,s1-1:1 held")
        .say(1_001, "claim 4 @d 1005 5k:1 waitlisted")
        .say(1_002, "pay 1")
        .say(1_003, "hold 1")
        .say(1_004, "pay 1")
        .say(1_005, "confirm 1")
        .say(2_000, "claim 5 @e 1999 10k:1 assigned")
        .say(2_100, "pause")
        .say(2_100, "return 5 cancelled")
        .say(2_100, "grant 2")
        .say(2_200, "resume")
        .say(11_000, "return 3 expired")
        .say(11_000, "grant 4");
    book.rules(12_000, &pools(3, 0));
    book.say(12_001, "claim 6 @f 12000 10k:1 held")
        .say(12_002, "claim 7 @g 12000 10k:1 waitlisted")
        .say(12_002, "claim 8 @h 12000 10k:1,s1-1:1 waitlisted")
        .say(12_003, "amend 4 5k:1,s1-1:1")
        .say(12_004, "return 4 released")
        .say(12_005, "amend 7 5k:1")
        .say(12_005, "grant 7");
    book.rules(12_006, &pools(4, 1));
    book.say(12_007, "assign 8")
        .say(12_008, "claim 9 @i 12000 10k:1 waitlisted")
        .say(12_009, "pay 6")
        .say(12_010, "return 6 failed")
        .say(12_010, "grant 9")
        .say(12_011, "claim 10 @j 12000 5k:1 waitlisted")
        .say(12_012, "claim 11 @k 12000 5k:1,s1-1:1 waitlisted")
        .say(100_000, "close")
        .say(100_001, "return 7 released")
        .say(100_002, "return 10 expired")
        .say(100_003, "claim 12 @l 100000 5k:1 assigned")
        .say(100_004, "return 11 expired");
    book
}

#[test]
fn every_event_passes() {
    let report = every_event().verify();
    assert!(report.verified, "{:#?}", report.violations);
    let counts = Counts {
        held: 3,
        waitlisted: 7,
        assigned: 2,
        granted: 4,
        assigned_from_line: 1,
        expired: 3,
        released: 2,
        cancelled: 1,
        failed: 1,
        ..Counts::default()
    };
    assert_eq!(report.counts, counts);
    assert_eq!(report.claims, 12);
    let open = OpenClaims { held: 4, confirmed: 1, ..OpenClaims::default() };
    assert_eq!(report.open, open);
    let pools: Vec<_> = report.pools.iter().map(|p| (p.code.as_str(), p.capacity, p.held_back, p.taken)).collect();
    assert_eq!(pools, [("10k", 4, 0, 4), ("5k", 1, 0, 1), ("s1-1", 1, 0, 1)]);
    assert_eq!(report.logs[0].origin, base());
    let json: serde_json::Value = serde_json::to_value(&report).unwrap();
    assert_eq!(json["verified"], true);
}

#[test]
fn without_a_line_each_want_is_refused_once_and_held_when_free() {
    let mut book = Book::new(&Rules { waitlist: false, ..pools(1, 0) });
    book.say(1_000, "claim 1 @a 1 10k:1 held")
        .say(1_000, "claim 2 @b 1 10k:1 refused")
        .say(1_000, "claim 3 @b 1 10k:1,s1-1:1 refused")
        .say(1_001, "return 1 released")
        .say(1_002, "claim 4 @b 1 10k:1 held");
    book.assert_true();
}

#[test]
fn units_back_in_the_pool_go_to_whoever_clicks() {
    let mut book = Book::new(&Rules { return_to: ReturnTo::Pool, ..pools(1, 0) });
    book.say(1_000, "claim 1 @a 1 10k:1 held")
        .say(1_000, "claim 2 @b 1 10k:1 waitlisted")
        .say(1_000, "claim 3 @c 1 10k:1 waitlisted")
        .say(1_001, "return 1 released")
        .say(1_002, "claim 4 @d 1 10k:1 held")
        .say(1_003, "return 4 released")
        .say(1_004, "grant 3");
    book.assert_true();
}

#[test]
fn confirmed_at_once_needs_no_hold() {
    let mut book = Book::new(&Rules { confirm: ConfirmMode::AtOnce, ..pools(1, 0) });
    book.say(1_000, "claim 1 @a 1 10k:1 confirmed")
        .say(1_000, "claim 2 @b 1 10k:1 waitlisted")
        .say(1_001, "return 1 released")
        .say(1_001, "grant 2");
    book.assert_true();
    assert_eq!(book.verify().open.confirmed, 1);
}

#[test]
fn the_line_goes_on_after_the_close_where_the_rules_say_so() {
    let mut book = Book::new(&Rules { line_after_close: true, ..pools(1, 0) });
    book.say(1_000, "claim 1 @a 1 10k:1 held")
        .say(1_000, "claim 2 @b 1 10k:1 waitlisted")
        .say(2_000, "close")
        .say(2_001, "return 1 released")
        .say(2_001, "grant 2");
    book.assert_true();
}

#[test]
fn several_claims_each_where_the_rules_say_so() {
    let mut book = Book::new(&Rules { per_person: 2, units_max: 2, ..pools(3, 0) });
    book.say(1_000, "claim 1 @a 1 10k:2 held")
        .say(1_000, "claim 2 @a 1 10k:1 held")
        .say(1_001, "return 1 released")
        .say(1_002, "claim 3 @a 1 5k:1 held");
    book.assert_true();
}

#[test]
fn rules_that_bring_the_closing_forward_close_in_their_own_time() {
    let mut book = Book::new(&pools(1, 0));
    book.say(1_000, "claim 1 @a 1 10k:1 held").say(1_000, "claim 2 @b 1 10k:1 waitlisted");
    book.rules(2_000, &Rules { closes_ms: 2_000, ..pools(2, 0) });
    book.say(2_000, "grant 2").say(2_000, "close");
    book.assert_true();
}

/// A log that was restored from its first leaves and went on another way.
pub fn continued(kept: usize) -> Book {
    let mut book = every_event();
    let lines = book.lines().remove(0);
    let root = base64(&crate::published::tree(&lines[..kept]).root());
    let rules = book.logs[0][0].1.clone();
    book.logs.push(Vec::new());
    book.say(20_000, &rules)
        .say(20_000, &format!("continues {} {kept} {root}", base()))
        .say(20_000, "return 3 expired")
        .say(20_000, "grant 4")
        .say(20_001, "claim 6 @f 1 10k:1 waitlisted");
    book
}

fn base64(bytes: &[u8; 32]) -> String {
    let note = orderlog::sign_checkpoint(&crate::book::key(), "x", 0, bytes);
    note.lines().nth(2).unwrap().to_owned()
}

#[test]
fn a_continued_log_goes_on_from_where_it_says() {
    // The first ten leaves end before the pause.
    let report = continued(10).verify();
    assert!(report.verified, "{:#?}", report.violations);
    assert_eq!(report.logs.len(), 2);
    assert_eq!(report.logs[1].origin, format!("{}/2", base()));
    assert_eq!(report.claims, 6);
    assert_eq!((report.open.waitlisted, report.open.held), (2, 2));
}

#[test]
fn an_empty_log_is_true_and_says_nothing() {
    let book = Book { rules: Vec::new(), logs: vec![Vec::new()] };
    let report = verify_files(&book.publish(), &[]);
    assert!(report.verified, "{:#?}", report.violations);
    assert_eq!((report.offer, report.logs[0].size), (None, 0));
}
