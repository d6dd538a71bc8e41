//! Everything at once: people who come, wait, pay, change their minds and leave, an organiser who cannot sit still,
//! holds that run out, two processes where the database allows it.

use std::time::Duration;

use futures::future::join_all;
use kernel::{OfferId, UserId};
use orderlog::{ConfirmMode, ReturnReason, ReturnTo, Rules, WantRule};
use platform::admission::core::{Move, MoveBy};
use platform::admission::{ClaimView, HandChange};
use platform::db::{Query, args};
use platform::http::Problem;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::support::books::balanced;
use crate::support::shop::{Shop, rules, want};
use crate::support::site::{Site, databases};
use crate::support::wait::until_so;

const PEOPLE: u64 = 90;
const STEPS: u64 = 12;
const SOON: Duration = Duration::from_secs(40);
const WANTS: [&str; 6] = ["10k:1", "half:1", "10k:2", "10k:1,shirt:1", "half:1,shirt:2", "half:2,shirt:1"];
/// What a step may be answered by the rules of the game; anything else is a fault.
const FAIR: [&str; 7] = [
    "admission/sold-out",
    "admission/paused",
    "admission/limit",
    "admission/state",
    "admission/no-units",
    "admission/below-taken",
    "admission/rules",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_balance_after_everything_at_once() {
    databases(everything).await;
}

async fn everything(site: &Site) {
    let first = Shop::open(site).await;
    // SQLite has one process; there both are the same.
    let second = if site.dir.is_some() { first.clone() } else { Shop::open(site).await };
    let shops = [first, second];
    let upkeep = shops.each_ref().map(Shop::upkeep);
    let mut offers = Vec::new();
    for (n, sells) in variants(&shops[0]).into_iter().enumerate() {
        let offer = shops[0].sell(sells).await;
        offers.push(offer);
        let lives = (0..PEOPLE).map(|person| {
            let random = StdRng::seed_from_u64(n as u64 * 1_000 + person);
            tokio::spawn(live(shops.clone(), offer, random))
        });
        let organiser = tokio::spawn(organise(shops[n % 2].clone(), offer, StdRng::seed_from_u64(n as u64)));
        join_all(lives).await.into_iter().for_each(Result::unwrap);
        organiser.await.unwrap();
    }
    // In the end every hold that nobody confirms runs out, and the line moves up until it is empty or stuck.
    let held = "SELECT count(*) FROM claim WHERE state = 'held'";
    let still = async || shops[1].db.one::<(i64,)>(held, args![]).await.unwrap() == Some((0,));
    until_so("all holds ended", SOON, still).await;
    for upkeep in upkeep {
        upkeep.stop().await;
    }
    for offer in offers {
        let books = balanced(&shops[0], offer).await;
        assert_eq!(balanced(&shops[1], offer).await.leaves, books.leaves);
        assert!(books.leaves.len() > 200, "only {} leaves", books.leaves.len());
    }
}

/// Offers of each kind.
fn variants(shop: &Shop) -> Vec<Rules> {
    let mut base = rules(shop, &[("10k", 20), ("half", 15), ("shirt", 12)]);
    for pool in &mut base.pools {
        pool.group = if pool.code.as_str() == "shirt" { "souvenir" } else { "course" }.to_owned();
        pool.held_back = 2;
    }
    base.want.push(WantRule { group: "souvenir".to_owned(), min: 0, max: 1 });
    base = Rules { hold_s: 1, waitlist_hold_s: 1, units_max: 2, waitlist: true, ..base };
    let again = || uuid::Uuid::now_v7();
    vec![
        Rules { offer: again(), ..base.clone() },
        Rules { offer: again(), return_to: ReturnTo::Pool, per_person: 3, ..base.clone() },
        Rules { offer: again(), confirm: ConfirmMode::AtOnce, per_person: 2, ..base.clone() },
        Rules { offer: again(), waitlist: false, refusals_logged_max: 60, ..base },
    ]
}

/// What one person does.
async fn live(shops: [Shop; 2], offer: OfferId, mut random: StdRng) {
    let user = UserId::fresh();
    let mut mine: Vec<ClaimView> = Vec::new();
    for step in 0..STEPS {
        let shop = &shops[random.random_range(0..2)];
        let (text, what) = (*WANTS.choose(&mut random).unwrap(), random.random_range(0..10));
        let Some(claim) = mine.choose(&mut random).filter(|_| what > 3).cloned() else {
            let key = if what == 0 { "the same".to_owned() } else { format!("step {step}") };
            let answer = match what {
                1 => shop.claim(offer, user, text).await,
                // The same key is always sent with the same body, whatever is wanted: the first want counts.
                _ => shop.claim_keyed(offer, user, text, &key, 1).await,
            };
            mine.extend(fair(answer).map(|claimed| claimed.claim));
            continue;
        };
        let (by, mv) = match what {
            4 => (MoveBy::Owner(user.0), Move::Return(ReturnReason::Released)),
            5 => (MoveBy::Owner(user.0), Move::Amend(want(text))),
            6 => (MoveBy::System, Move::Pay),
            7 => (MoveBy::System, Move::Confirm),
            8 => (MoveBy::System, Move::Unpay),
            _ => (MoveBy::System, Move::Return(ReturnReason::Failed)),
        };
        fair(shop.admission.act(offer, claim.id, by, mv).await);
    }
    // Nobody stays in the middle of a payment.
    for claim in mine {
        fair(shops[0].system(offer, claim.id, Move::Return(ReturnReason::Failed)).await);
    }
}

/// What the organiser does meanwhile.
async fn organise(shop: Shop, offer: OfferId, mut random: StdRng) {
    for step in 0..40 {
        let pool = (*["10k", "half", "shirt"].choose(&mut random).unwrap()).to_owned();
        let numbers = HandChange { pool: Some(pool), ..HandChange::default() };
        let change = match random.random_range(0..6) {
            0 => HandChange { capacity: Some(random.random_range(8..40)), ..numbers },
            1 => HandChange { held_back: Some(random.random_range(0..6)), ..numbers },
            2 => HandChange { paused: Some(step % 2 == 0), ..HandChange::default() },
            _ => {
                let guest = shop.assign(offer, UserId::fresh(), WANTS.choose(&mut random).unwrap()).await;
                fair(guest);
                continue;
            }
        };
        fair(shop.hand(offer, change).await);
    }
    let resume = HandChange { paused: Some(false), ..HandChange::default() };
    shop.hand(offer, resume).await.unwrap();
}

/// The answer, or nothing where the rules of the game said no.
fn fair<T>(answer: Result<T, Problem>) -> Option<T> {
    match answer {
        Ok(value) => Some(value),
        Err(problem) => {
            assert!(FAIR.contains(&problem.code.code), "{problem:?}");
            None
        }
    }
}
