//! A COMMIT whose outcome nobody knows.

use kernel::UserId;
use orderlog::Rules;
use platform::admission::Claimed;
use platform::http::Problem;

use crate::support::books::balanced;
use crate::support::proxy::{Cut, Proxy};
use crate::support::shop::{Shop, people, rules, told};
use crate::support::site::{Site, postgres};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_never_arrived_is_a_503_and_nothing_was_taken() {
    postgres(async |site| unknown(site, Cut::Before).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_was_lost_is_a_503_and_holds() {
    postgres(async |site| unknown(site, Cut::After).await).await;
}

async fn unknown(site: &Site, cut: Cut) {
    let proxy = Proxy::start(site.url()).await;
    let shop = Shop::open(&site.at(&proxy.authority)).await;
    let offer = shop.sell(Rules { waitlist: false, ..rules(&shop, &[("10k", 3)]) }).await;
    let first = shop.claim(offer, UserId::fresh(), "10k:1").await.unwrap();

    for round in 0..8 {
        let before = balanced(&shop, offer).await;
        let people = people(6);
        proxy.cut_next(cut);
        let one = shop.claim(offer, people[0], "10k:1").await.unwrap_err();
        assert_eq!((one.status(), one.code.code), (503, "admission/busy"), "round {round}");
        assert!(proxy.was_cut() && one.retry_after_ms.is_some());
        let between = balanced(&shop, offer).await;
        let grown = between.report.claims - before.report.claims;
        assert_eq!(grown, u64::from(cut == Cut::After), "the database did what it was sent, and no more");

        // A crowd of which one batch is cut: who heard 503 asks again and hears one thing from then on.
        proxy.cut_next(cut);
        let unsure = shop.crowd(offer, &people, "10k:1").await;
        assert!(proxy.was_cut());
        let sure = shop.crowd(offer, &people, "10k:1").await;
        let again = shop.crowd(offer, &people, "10k:1").await;
        for ((unsure, sure), again) in unsure.iter().zip(&sure).zip(&again) {
            assert_eq!(heard(sure), heard(again));
            if let Some(number) = heard(unsure) {
                assert_eq!(Some(number), heard(sure));
            }
        }
        let numbers = balanced(&shop, offer).await.report.claims - before.report.claims;
        assert_eq!(numbers, people.len() as u64, "one number each");
    }
    let books = balanced(&shop, offer).await;
    assert_eq!((books.claims.len(), first.claim.seq), (3, 1));

    // Another process that was never cut sees the same.
    let other = Shop::open(site).await;
    assert_eq!(other.claim(offer, first.claim.user_id, "10k:1").await.unwrap().claim.id, first.claim.id);
    assert_eq!(balanced(&other, offer).await.leaves.len(), books.leaves.len());
}

/// The number somebody was told; none when he heard that the outcome is unknown.
fn heard(answer: &Result<Claimed, Problem>) -> Option<u64> {
    match answer {
        Ok(claimed) => Some(claimed.claim.seq),
        Err(problem) if problem.status() == 503 => None,
        Err(problem) => Some(told(problem).0.unwrap()),
    }
}
