//! Receipts against a log, and against each other.

use crate::book::{base, key, verify_files};
use crate::honest::{continued, every_event};
use crate::published::receipt_for;
use orderlog::check::{Comparison, ViolationKind as Kind, compare};
use orderlog::{LogKey, Receipt};

#[test]
fn receipts_of_every_size_hold() {
    let book = every_event();
    let (published, lines) = (book.publish(), book.lines().remove(0));
    let receipts: Vec<_> = (1..=lines.len())
        .flat_map(|size| (0..size).map(move |index| (size, index)))
        .map(|(size, index)| receipt_for(&base(), &key(), &lines[..size], index as u64))
        .collect();
    let report = verify_files(&published, &receipts);
    assert!(report.verified, "{:#?}", report.violations);
    assert_eq!(report.receipts.len(), receipts.len());
}

#[test]
fn a_receipt_proves_a_changed_person() {
    let mut book = every_event();
    let lines = book.lines().remove(0);
    let receipt = receipt_for(&base(), &key(), &lines[..5], 1);
    let (ms, line) = book.log()[1].clone();
    book.log()[1] = (ms, line.replace(&crate::book::person('a'), &crate::book::person('q')));
    let published = book.publish();
    let report = verify_files(&published, &[]);
    assert!(report.verified, "nothing in the log itself shows it");
    let report = verify_files(&published, &[receipt]);
    assert_eq!(report.violations[0].kind, Kind::SplitView);
}

#[test]
fn a_receipt_of_more_than_the_log_has_is_a_split_view() {
    let mut book = every_event();
    let lines = book.lines().remove(0);
    let receipt = receipt_for(&base(), &key(), &lines, 1);
    book.log().truncate(5);
    let published = book.publish();
    let report = verify_files(&published, &[receipt]);
    assert_eq!(report.violations[0].kind, Kind::SplitView);
}

#[test]
fn false_receipts_are_named() {
    let book = every_event();
    let (published, lines) = (book.publish(), book.lines().remove(0));
    let good = receipt_for(&base(), &key(), &lines, 3);
    let forged = receipt_for(&base(), &LogKey::from_seed(&[9; 32]), &lines, 3);
    let other = receipt_for("yard.example/offers/other", &key(), &lines, 3);
    let mut proof: Vec<_> = good.lines().map(str::to_owned).collect();
    proof.swap(3, 4);
    let swapped = proof.join("\n") + "\n";
    for false_one in [forged, other, swapped, "c2sp.org/tlog-proof@v1\n".to_owned(), String::new()] {
        let report = verify_files(&published, &[good.clone(), false_one]);
        assert_eq!(report.violations.iter().map(|v| v.kind).collect::<Vec<_>>(), [Kind::Receipt]);
        assert_eq!(report.receipts.len(), 1);
    }
}

#[test]
fn receipts_of_an_older_log_are_checked_there() {
    let book = continued(10);
    let lines = book.lines();
    let receipts =
        [receipt_for(&base(), &key(), &lines[0], 20), receipt_for(&format!("{}/2", base()), &key(), &lines[1], 3)];
    let published = book.publish();
    let report = verify_files(&published, &receipts);
    assert_eq!(report.receipts.len(), 2, "{:#?}", report.violations);
}

#[test]
fn two_receipts_without_the_log() {
    let lines = every_event().lines().remove(0);
    let mut other = lines.clone();
    other[1] = other[1].replace("990", "991");
    let read = |lines: &[String], index| Receipt::parse(&receipt_for(&base(), &key(), lines, index)).unwrap();
    let compared = |a: &Receipt, b: &Receipt| compare(a, b).unwrap();
    assert_eq!(compared(&read(&lines, 1), &read(&lines, 7)), Comparison::Same);
    assert_eq!(compared(&read(&lines, 1), &read(&other, 7)), Comparison::SplitView);
    assert_eq!(compared(&read(&lines, 1), &read(&lines[..9], 7)), Comparison::CannotTell);
}
