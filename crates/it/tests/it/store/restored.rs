//! A restored store: the logs begin anew, once, and the sale goes on.

use std::time::Duration;

use kernel::OfferId;
use orderlog::check::{Report, verify};
use orderlog::{Receipt, Rules};
use platform::admission::Claimed;
use platform::admission::core::ClaimState;

use crate::support::books::Served;
use crate::support::shop::{Shop, people, rules, told};
use crate::support::site::{Site, databases};
use crate::support::wait::until_so;

const SOON: Duration = Duration::from_secs(20);

fn check(shop: &Shop, offer: OfferId, receipts: &[String]) -> Report {
    let served = Served::new(shop.log.clone(), shop.log_path(offer, ""));
    let report = tokio::task::block_in_place(|| verify(&served, receipts));
    assert!(report.verified, "{:#?}", report.violations);
    report
}

fn log_of(claimed: &Claimed) -> String {
    Receipt::parse(claimed.receipt.as_deref().unwrap()).unwrap().origin().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_log_begins_anew_once_and_the_sale_goes_on() {
    databases(goes_on).await;
}

async fn goes_on(site: &Site) {
    let (shop, other) = (Shop::open(site).await, Shop::open(site).await);
    let offer = shop.sell(Rules { waitlist: true, ..rules(&shop, &[("10k", 3)]) }).await;
    let soldout = shop.sell(rules(&shop, &[("10k", 1)])).await;
    let quiet = shop.sell(rules(&shop, &[("10k", 1)])).await;
    let people = people(8);
    let mut before = Vec::new();
    for user in &people[..5] {
        before.push(shop.claim(offer, *user, "10k:1").await.unwrap());
        shop.claim(soldout, *user, "10k:1").await.ok();
    }
    assert_eq!(shop.admission.begin_logs_anew().await.unwrap(), 0, "nothing was restored");

    assert_eq!(shop.admission.mark_restored().await.unwrap(), 3);
    assert_eq!(shop.admission.mark_restored().await.unwrap(), 0, "marked is marked");
    let begun = tokio::join!(shop.admission.begin_logs_anew(), other.admission.begin_logs_anew());
    assert_eq!(begun.0.unwrap() + begun.1.unwrap(), 3, "whoever was faster");
    for (offer, claims) in [(offer, 5), (soldout, 5), (quiet, 0)] {
        let report = check(&shop, offer, &[]);
        assert_eq!((report.logs.len(), report.logs[1].size, report.claims), (2, 2, claims));
        let view = shop.admission.view(&shop.db, offer).await.unwrap();
        assert_eq!((view.log_no, view.size), (2, 2));
    }

    // Who has a place keeps it with its number, and the receipt is of the log it was made in.
    let mut receipts = Vec::new();
    for (user, first) in people.iter().zip(&before) {
        let again = other.claim(offer, *user, "10k:1").await.unwrap();
        assert_eq!((again.claim.seq, again.claim.log_index), (first.claim.seq, first.claim.log_index));
        assert_eq!((again.claim.state, again.claim.position), (first.claim.state, first.claim.position));
        assert_eq!(log_of(&again), log_of(first));
        receipts.push(again.receipt.unwrap());
    }
    // Numbers go on, indexes begin anew; somebody who waits moves up in the new log.
    let newcomer = other.claim(offer, people[5], "10k:1").await.unwrap();
    assert_eq!((newcomer.claim.seq, newcomer.claim.log_index, newcomer.claim.position), (6, 2, Some(3)));
    assert_eq!(log_of(&newcomer), format!("{}/2", log_of(&before[0])));
    receipts.push(newcomer.receipt.unwrap());
    shop.leave(offer, people[0], before[0].claim.id).await.unwrap();
    assert_eq!(shop.view(before[3].claim.id).await.state, ClaimState::Held);
    let report = check(&shop, offer, &receipts);
    assert_eq!((report.receipts.len(), report.open.held, report.open.waitlisted), (6, 3, 2));

    // Refused there, he is refused anew, by a number of this log, and then always by that. The process that did not
    // begin the log may answer from memory for a moment.
    let refused = async |shop: &Shop| told(&shop.claim(soldout, people[4], "10k:1").await.unwrap_err());
    let anew = (Some(6), Some(2));
    until_so("he is refused anew", SOON, async || refused(&shop).await == anew).await;
    until_so("so he is there", SOON, async || refused(&other).await == anew).await;
    assert_eq!((refused(&shop).await, refused(&other).await), (anew, anew));

    // And once more.
    shop.admission.mark_restored().await.unwrap();
    assert_eq!(other.admission.begin_logs_anew().await.unwrap(), 3);
    let third = shop.claim(offer, people[6], "10k:1").await.unwrap();
    assert_eq!((third.claim.seq, log_of(&third)), (7, format!("{}/3", log_of(&before[0]))));
    let again = shop.claim(offer, people[5], "10k:1").await.unwrap();
    assert_eq!(log_of(&again), format!("{}/2", log_of(&before[0])));
    receipts.extend([third.receipt.unwrap(), again.receipt.unwrap()]);
    let report = check(&shop, offer, &receipts);
    assert_eq!((report.logs.len(), report.receipts.len(), report.claims), (3, 8, 7));
}
