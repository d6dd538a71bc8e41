//! Many people at once.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::future::join_all;
use kernel::{ClaimId, UserId};
use metrics_exporter_prometheus::PrometheusBuilder;
use orderlog::{Event, Outcome};
use platform::admission::core::ClaimState;

use crate::support::books::balanced;
use crate::support::shop::{Shop, code, people, rules, told};
use crate::support::site::{Site, databases};

const PEOPLE: usize = 2_000;
const CLICKS: usize = 5;

/// What all clicks of one person were told.
#[derive(Debug, PartialEq, Eq, Hash, Clone, Copy)]
enum Told {
    Placed(u64, ClaimId),
    Refused(u64, u64),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_people_click_five_times_at_once() {
    databases(crowd).await;
}

async fn crowd(site: &Site) {
    let shop = Shop::open(site).await;
    let offer = shop.sell(rules(&shop, &[("10k", 60), ("half", 40)])).await;
    let people = people(PEOPLE);
    let want = |n: usize| if n.is_multiple_of(2) { "10k:1" } else { "half:1" };
    let clicks = (0..CLICKS).flat_map(|_| people.iter().enumerate()).map(|(n, user)| {
        let (shop, user) = (shop.clone(), *user);
        tokio::spawn(async move { (user, shop.claim(offer, user, want(n)).await) })
    });

    let mut heard: HashMap<UserId, Vec<Told>> = HashMap::new();
    let (mut fresh, mut receipts) = (0, 0);
    for click in join_all(clicks).await {
        let (user, answer) = click.unwrap();
        let (answer, receipt) = match answer {
            Ok(claimed) => {
                assert_eq!(claimed.claim.state, ClaimState::Held);
                fresh += usize::from(claimed.fresh);
                (Told::Placed(claimed.claim.seq, claimed.claim.id), claimed.receipt)
            }
            Err(problem) => {
                let (seq, index) = told(&problem);
                let receipt = problem.get("receipt").map(|text| text.as_str().unwrap().to_owned());
                (Told::Refused(seq.unwrap(), index.unwrap()), receipt)
            }
        };
        if let Some(text) = receipt {
            receipts += 1;
            check_receipt(&shop, offer, user, answer, &text);
        }
        heard.entry(user).or_default().push(answer);
    }
    assert_eq!(fresh, 100, "each place is new once");
    assert!(receipts >= PEOPLE, "everybody's first answer has a receipt, {receipts} were given");
    for (user, answers) in &heard {
        assert_eq!(answers.len(), CLICKS);
        assert_eq!(answers.iter().collect::<HashSet<_>>().len(), 1, "{user} was told different things: {answers:?}");
    }

    let books = balanced(&shop, offer).await;
    assert_eq!((books.claims.len(), books.refusals.len()), (100, PEOPLE - 100));
    assert_eq!(books.report.claims, PEOPLE as u64, "one number each");
    let taken: Vec<u64> = books.report.pools.iter().map(|pool| pool.taken).collect();
    assert_eq!(taken, [60, 40]);

    // Long afterwards everybody hears the same, from memory or not, and the receipt can be had again.
    for (n, user) in people.iter().enumerate().step_by(97) {
        let again = match shop.claim(offer, *user, want(n)).await {
            Ok(claimed) => Told::Placed(claimed.claim.seq, claimed.claim.id),
            Err(problem) => {
                let (seq, index) = told(&problem);
                let receipt = shop.admission.receipt(offer, index.unwrap()).await.unwrap().unwrap();
                check_receipt(&shop, offer, *user, Told::Refused(seq.unwrap(), index.unwrap()), &receipt);
                Told::Refused(seq.unwrap(), index.unwrap())
            }
        };
        assert_eq!(again, heard[user][0]);
    }
    assert_eq!(balanced(&shop, offer).await.leaves.len(), books.leaves.len(), "repeats write nothing");
}

/// The receipt is of this person's own leaf and says what he was told.
fn check_receipt(shop: &Shop, offer: kernel::OfferId, user: UserId, answer: Told, text: &str) {
    let receipt = shop.read_receipt(offer, text);
    let Event::Claim { seq, person, outcome, .. } = receipt.leaf.event else { panic!("not a claim: {}", receipt.leaf) };
    assert_eq!(person, shop.keys.people(offer).derive(user.0).0);
    match answer {
        Told::Placed(told, _) => assert_eq!((told, Outcome::Held), (seq, outcome)),
        Told::Refused(told, index) => assert_eq!((told, index, Outcome::Refused), (seq, receipt.index, outcome)),
    }
}

/// On one thread, so that the recorder of this thread sees what the crowd costs.
#[tokio::test]
async fn a_crowd_that_asks_again_reads_the_head_once() {
    databases(asking_again).await;
}

async fn asking_again(site: &Site) {
    const CROWD: usize = 200;
    let shop = Shop::open(site).await;
    let offer = shop.sell(rules(&shop, &[("10k", 1)])).await;
    shop.claim(offer, UserId::fresh(), "10k:1").await.unwrap();
    let people: Vec<UserId> = (0..CROWD).map(|_| UserId::fresh()).collect();
    let ask = || join_all(people.iter().map(|user| shop.claim(offer, *user, "10k:1")));
    let first: Vec<_> = ask().await.into_iter().map(|answer| told(&answer.unwrap_err())).collect();

    let recorder = PrometheusBuilder::new().build_recorder();
    let recording = recorder.handle();
    let _local = metrics::set_default_local_recorder(&recorder);
    // Why: what was seen at the last batch is too old to answer from after a quarter of a second.
    tokio::time::sleep(Duration::from_millis(260)).await;
    let again: Vec<_> = ask().await.into_iter().map(|answer| told(&answer.unwrap_err())).collect();
    assert_eq!(again, first);
    let page = recording.render();
    let reads = page.lines().find_map(|line| line.strip_prefix("madang_admission_head_reads_total "));
    let reads: usize = reads.unwrap_or_else(|| panic!("nobody read the head: {page}")).parse().unwrap();
    assert!(reads <= 3, "{CROWD} people asked for the head {reads} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_answers_the_same_for_good() {
    databases(keys).await;
}

async fn keys(site: &Site) {
    let shop = Shop::open(site).await;
    let offer = shop.sell(rules(&shop, &[("10k", 5)])).await;
    let user = UserId::fresh();
    let same = (0..20).map(|_| {
        let shop = shop.clone();
        tokio::spawn(async move { shop.claim_keyed(offer, user, "10k:1", "one", 1).await.unwrap() })
    });
    let answers: Vec<_> = join_all(same).await.into_iter().map(Result::unwrap).collect();
    let first = answers[0].claim.id;
    assert!(answers.iter().all(|answer| answer.fresh && answer.claim.id == first), "{answers:?}");

    assert_eq!(code(shop.claim_keyed(offer, user, "10k:1", "one", 2).await), "idempotency/mismatch");
    let other = shop.claim_keyed(offer, user, "10k:1", "two", 1).await.unwrap();
    assert_eq!((other.fresh, other.claim.id), (false, first), "one place each, whatever the key");

    shop.leave(offer, user, first).await.unwrap();
    let after = shop.claim_keyed(offer, user, "10k:1", "one", 1).await.unwrap();
    assert_eq!((after.claim.id, after.claim.state), (first, ClaimState::Cancelled), "a key never makes a second claim");
    let second = shop.claim_keyed(offer, user, "10k:1", "two", 1).await.unwrap();
    assert!(second.fresh && second.claim.id != first);
    assert_eq!(second.claim.replaces, Some(first));
    assert_eq!(shop.view(first).await.replaced_by, Some(second.claim.id));

    // The same key of another person, and of the same person at another offer, are other keys.
    assert!(shop.claim_keyed(offer, UserId::fresh(), "10k:1", "one", 1).await.unwrap().fresh);
    let elsewhere = shop.sell(rules(&shop, &[("10k", 5)])).await;
    assert!(shop.claim_keyed(elsewhere, user, "10k:1", "one", 9).await.unwrap().fresh);
    assert_eq!(balanced(&shop, offer).await.claims.len(), 3);
    balanced(&shop, elsewhere).await;
}
