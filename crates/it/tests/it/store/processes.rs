//! Several processes on one database.

use std::collections::HashMap;

use futures::future::join_all;
use kernel::UserId;
use orderlog::Rules;
use platform::admission::{Claimed, HandChange};
use platform::http::Problem;

use crate::support::books::balanced;
use crate::support::shop::{Shop, people, rules, told};
use crate::support::site::{Site, databases, postgres};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_clicks_at_two_processes_and_hears_one_number() {
    postgres(two).await;
}

async fn two(site: &Site) {
    let (a, b) = (Shop::open(site).await, Shop::open(site).await);
    let offer = a.sell(rules(&a, &[("10k", 60), ("half", 40)])).await;
    let people = people(1_000);
    let want = |n: usize| if n.is_multiple_of(2) { "10k:1" } else { "half:1" };
    let clicks = people.iter().enumerate().flat_map(|(n, user)| {
        [&a, &b].map(|shop| {
            let (shop, user) = (shop.clone(), *user);
            tokio::spawn(async move { (user, heard(&shop.claim(offer, user, want(n)).await)) })
        })
    });
    let mut numbers: HashMap<UserId, Vec<Heard>> = HashMap::new();
    for click in join_all(clicks).await {
        let (user, number) = click.unwrap();
        numbers.entry(user).or_default().push(number);
    }
    assert!(
        numbers.values().all(|heard| heard.len() == 2 && heard[0] == heard[1]),
        "A and B told somebody different numbers"
    );
    let books = balanced(&a, offer).await;
    assert_eq!((books.claims.len(), books.refusals.len()), (100, 900));
    assert_eq!(balanced(&b, offer).await.leaves, books.leaves, "one log");

    // A third process that has just started tells everybody the same without a new leaf.
    let c = Shop::open(site).await;
    let again = people.iter().enumerate().map(|(n, user)| {
        let (c, user) = (c.clone(), *user);
        tokio::spawn(async move { (user, heard(&c.claim(offer, user, want(n)).await)) })
    });
    for click in join_all(again).await {
        let (user, number) = click.unwrap();
        assert_eq!(number, numbers[&user][0]);
    }
    assert_eq!(balanced(&c, offer).await.leaves.len(), books.leaves.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_line_and_leavings() {
    postgres(shared_line).await;
}

async fn shared_line(site: &Site) {
    let shops = [Shop::open(site).await, Shop::open(site).await];
    let offer = shops[0].sell(Rules { waitlist: true, ..rules(&shops[0], &[("10k", 20)]) }).await;
    let upkeep = shops.each_ref().map(Shop::upkeep);
    let lives = people(200).into_iter().enumerate().map(|(n, user)| {
        let shops = shops.clone();
        tokio::spawn(async move {
            let claim = shops[n % 2].claim(offer, user, "10k:1").await.unwrap().claim;
            if n % 3 == 0 {
                shops[(n + 1) % 2].leave(offer, user, claim.id).await.unwrap();
                let again = shops[n % 2].claim(offer, user, "10k:1").await.unwrap().claim;
                assert_eq!(again.replaces, Some(claim.id));
            }
        })
    });
    join_all(lives).await.into_iter().for_each(Result::unwrap);
    for upkeep in upkeep {
        upkeep.stop().await;
    }
    let books = balanced(&shops[0], offer).await;
    assert_eq!(books.claims.values().filter(|told| told.state.holding()).count(), 20);
    assert_eq!(books.claims.values().filter(|told| told.state.open()).count(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_organisers_do_not_undo_each_other() {
    postgres(organisers).await;
}

async fn organisers(site: &Site) {
    let shops = [Shop::open(site).await, Shop::open(site).await];
    let mut sells = rules(&shops[0], &[("10k", 10), ("half", 10)]);
    sells.pools.iter_mut().for_each(|pool| pool.held_back = 5);
    let offer = shops[0].sell(sells).await;
    for round in 1..=10 {
        let change = |pool: &str, capacity| HandChange {
            pool: Some(pool.to_owned()),
            capacity: Some(capacity),
            ..HandChange::default()
        };
        let (one, other, guest) = tokio::join!(
            shops[0].hand(offer, change("10k", 10 + round)),
            shops[1].hand(offer, change("half", 20 + round)),
            shops[1].assign(offer, UserId::fresh(), "10k:1"),
        );
        one.unwrap();
        other.unwrap();
        guest.unwrap();
        let view = shops[0].admission.view(&shops[0].db, offer).await.unwrap();
        let capacity = |code| view.pool(code).unwrap().capacity;
        assert_eq!((capacity("10k"), capacity("half")), (i64::from(10 + round), i64::from(20 + round)));
        let left = i64::from(5_u32.saturating_sub(round));
        assert_eq!(view.pool("10k").unwrap().held_back, left, "what was given stays given");
    }
    balanced(&shops[0], offer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_answers_as_before() {
    databases(restart).await;
}

async fn restart(site: &Site) {
    let people = people(300);
    let shop = Shop::open(site).await;
    let offer = shop.sell(rules(&shop, &[("10k", 20)])).await;
    let before: Vec<Heard> = shop.crowd(offer, &people, "10k:1").await.iter().map(heard).collect();
    let leaves = balanced(&shop, offer).await.leaves;
    drop(shop);
    let shop = Shop::open(site).await;
    let after: Vec<Heard> = shop.crowd(offer, &people, "10k:1").await.iter().map(heard).collect();
    assert_eq!(before, after);
    assert_eq!(balanced(&shop, offer).await.leaves, leaves);
}

/// What somebody was told: his number, and whether it is a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Heard {
    seq: u64,
    placed: bool,
}

fn heard(answer: &Result<Claimed, Problem>) -> Heard {
    match answer {
        Ok(claimed) => Heard { seq: claimed.claim.seq, placed: true },
        Err(problem) => Heard { seq: told(problem).0.unwrap(), placed: false },
    }
}
