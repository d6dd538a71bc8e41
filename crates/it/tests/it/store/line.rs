//! Those who wait, those who leave, and holds that end.

use std::time::Duration;

use kernel::{OfferId, UserId};
use orderlog::{ConfirmMode, ReturnReason, ReturnTo, Rules, WantRule};
use platform::admission::Claimed;
use platform::admission::core::{ClaimState, Move, MoveBy};
use platform::db::Kind;

use crate::support::books::balanced;
use crate::support::shop::{Shop, code, people, rules, told, want};
use crate::support::site::{Site, databases};
use crate::support::wait::until_so;

const SOON: Duration = Duration::from_secs(20);

fn with_line(rules: Rules) -> Rules {
    Rules { waitlist: true, ..rules }
}

/// Everybody gets something: a place or a number in the line.
async fn all_claim(shop: &Shop, offer: OfferId, people: &[UserId], want: &'static str) -> Vec<Claimed> {
    shop.crowd(offer, people, want).await.into_iter().map(Result::unwrap).collect()
}

fn states(claims: &[Claimed], state: ClaimState) -> Vec<Claimed> {
    let mut of_state: Vec<Claimed> = claims.iter().filter(|claimed| claimed.claim.state == state).cloned().collect();
    of_state.sort_by_key(|claimed| claimed.claim.seq);
    of_state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_moves_up_in_order() {
    databases(moves_up).await;
}

async fn moves_up(site: &Site) {
    let shop = Shop::open(site).await;
    let offer = shop.sell(with_line(rules(&shop, &[("10k", 10)]))).await;
    let claims = all_claim(&shop, offer, &people(200), "10k:1").await;
    let (held, waiting) = (states(&claims, ClaimState::Held), states(&claims, ClaimState::Waitlisted));
    assert_eq!((held.len(), waiting.len()), (10, 190));
    assert!(held.iter().all(|claimed| claimed.claim.seq <= 10), "the first ten hold");
    for (before, claimed) in waiting.iter().enumerate() {
        assert_eq!(shop.view(claimed.claim.id).await.position, Some(before as u64 + 1));
    }
    let positions: Vec<u64> = waiting.iter().map(|claimed| claimed.claim.position.unwrap()).collect();
    assert!(positions.iter().zip(1..).all(|(told, place)| *told == place), "the answers told {positions:?}");

    // The third in the line leaves, then four who hold: the first four that remain move up.
    leave_all(&shop, offer, &waiting[2..3]).await;
    leave_all(&shop, offer, &held[3..7]).await;
    for (place, claimed) in waiting[..7].iter().enumerate() {
        let view = shop.view(claimed.claim.id).await;
        let expected = match place {
            2 => (ClaimState::Cancelled, None),
            0..=4 => (ClaimState::Held, None),
            _ => (ClaimState::Waitlisted, Some(place as u64 - 4)),
        };
        assert_eq!((view.state, view.position), expected, "place {place}");
    }
    let numbers: Vec<u64> = [0, 1, 3, 4].iter().map(|place| waiting[*place].claim.seq).collect();
    assert_eq!(balanced(&shop, offer).await.grants(), numbers);

    // Fifty leave at once, from the line and from places.
    leave_all(&shop, offer, &waiting[20..60]).await;
    leave_all(&shop, offer, &waiting[..10]).await;
    let books = balanced(&shop, offer).await;
    assert_eq!(books.in_state(ClaimState::Held), 10);
    assert!(books.grants().is_sorted(), "lowest number first: {:?}", books.grants());
}

/// At once. Somebody may have left already; that is no error.
async fn leave_all(shop: &Shop, offer: OfferId, claims: &[Claimed]) {
    let leaving = claims.iter().map(|claimed| {
        let (shop, claim) = (shop.clone(), claimed.claim.clone());
        tokio::spawn(async move { shop.leave(offer, claim.user_id, claim.id).await.unwrap() })
    });
    for left in futures::future::join_all(leaving).await {
        assert_eq!(left.unwrap().state, ClaimState::Cancelled);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_longer_than_one_look_is_walked_to_its_end() {
    databases(long_line).await;
}

/// The only claim that fits stands behind more waiting ones than are read at once.
async fn long_line(site: &Site) {
    let shop = Shop::open(site).await;
    let offer = shop.sell(with_line(rules(&shop, &[("10k", 1), ("half", 1)]))).await;
    let winner = shop.claim(offer, UserId::fresh(), "10k:1").await.unwrap();
    shop.claim(offer, UserId::fresh(), "half:1").await.unwrap();
    all_claim(&shop, offer, &people(1_300), "half:1").await;
    let last = shop.claim(offer, UserId::fresh(), "10k:1").await.unwrap();
    assert_eq!((last.claim.state, last.claim.position), (ClaimState::Waitlisted, Some(1_301)));
    shop.leave(offer, winner.claim.user_id, winner.claim.id).await.unwrap();
    assert_eq!(shop.view(last.claim.id).await.state, ClaimState::Held);
    balanced(&shop, offer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_ends_goes_to_the_next_in_line() {
    databases(expires).await;
}

async fn expires(site: &Site) {
    let shop = Shop::open(site).await;
    let offer = shop.sell(Rules { hold_s: 3, waitlist_hold_s: 600, ..with_line(rules(&shop, &[("10k", 4)])) }).await;
    let claims = all_claim(&shop, offer, &people(9), "10k:1").await;
    let (held, waiting) = (states(&claims, ClaimState::Held), states(&claims, ClaimState::Waitlisted));
    let [confirmed, paying, expiring, declined] = [0, 1, 2, 3].map(|n: usize| held[n].claim.id);
    shop.system(offer, confirmed, Move::Confirm).await.unwrap();
    shop.system(offer, paying, Move::Pay).await.unwrap();
    shop.system(offer, declined, Move::Pay).await.unwrap();
    let early = shop.system(offer, expiring, Move::Return(ReturnReason::Expired)).await;
    assert_eq!(code(early), "admission/state", "a hold does not end before its time");

    let upkeep = shop.upkeep();
    if shop.db.kind() == Kind::Sqlite {
        shop.db.clock().shift_ms(3_100);
    }
    until_so("the hold ended", SOON, async || shop.view(expiring).await.state == ClaimState::Expired).await;
    assert_eq!(shop.view(waiting[0].claim.id).await.state, ClaimState::Held, "the first in line has the place");
    assert_eq!(shop.view(paying).await.state, ClaimState::Paying, "who is paying is not sent away");
    assert_eq!(code(shop.leave(offer, held[1].claim.user_id, paying).await), "admission/state");

    // A declined payment falls back to a hold whose time is over.
    shop.system(offer, declined, Move::Unpay).await.unwrap();
    until_so("the declined hold ended", SOON, async || shop.view(declined).await.state == ClaimState::Expired).await;
    shop.system(offer, paying, Move::Return(ReturnReason::Failed)).await.unwrap();
    upkeep.stop().await;

    let books = balanced(&shop, offer).await;
    assert_eq!(books.grants(), [5, 6, 7]);
    assert_eq!((books.report.counts.expired, books.report.counts.failed), (2, 1));
    assert_eq!(shop.view(confirmed).await.confirm_no, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moves_repeat_harmlessly_and_only_by_those_who_may() {
    databases(moves).await;
}

async fn moves(site: &Site) {
    let shop = Shop::open(site).await;
    let offer = shop.sell(rules(&shop, &[("10k", 3), ("half", 1)])).await;
    let owner = UserId::fresh();
    let claim = shop.claim(offer, owner, "10k:1").await.unwrap().claim.id;
    assert_eq!(code(shop.leave(offer, UserId::fresh(), claim).await), "admission/not-found");
    assert_eq!(code(shop.leave(offer, owner, kernel::ClaimId::fresh()).await), "admission/not-found");
    let owner_expires = shop.admission.act(offer, claim, MoveBy::Owner(owner.0), Move::Return(ReturnReason::Expired));
    assert_eq!(code(owner_expires.await), "admission/state");

    let amend = |text| shop.admission.act(offer, claim, MoveBy::Owner(owner.0), Move::Amend(want(text)));
    assert_eq!(amend("half:1").await.unwrap().want, want("half:1"));
    assert_eq!(code(amend("10k:1,half:1").await), "admission/want");
    assert_eq!(code(shop.claim(offer, UserId::fresh(), "marathon:1").await), "admission/want");
    shop.system(offer, claim, Move::Confirm).await.unwrap();
    let size = balanced(&shop, offer).await.leaves.len();
    assert_eq!(shop.system(offer, claim, Move::Confirm).await.unwrap().confirm_no, Some(1));
    assert_eq!(balanced(&shop, offer).await.leaves.len(), size, "a repeat writes nothing");

    // Somebody else's place is full: all or nothing.
    let other = shop.claim(offer, UserId::fresh(), "10k:1").await.unwrap().claim;
    let into_full = shop.admission.act(offer, other.id, MoveBy::Owner(other.user_id.0), Move::Amend(want("half:1")));
    assert_eq!(code(into_full.await), "admission/no-units");
    assert_eq!(shop.view(other.id).await.want, want("10k:1"));

    // What he gave up is another's at once, and he hears the same number as long as nothing is free.
    let (first, second) = (UserId::fresh(), UserId::fresh());
    let refused = shop.claim(offer, first, "half:1").await.unwrap_err();
    assert_eq!(told(&shop.claim(offer, first, "half:1").await.unwrap_err()), told(&refused));
    shop.leave(offer, owner, claim).await.unwrap();
    assert_eq!(shop.leave(offer, owner, claim).await.unwrap().state, ClaimState::Cancelled);
    let taken = shop.claim(offer, second, "half:1").await.unwrap();
    assert_eq!(
        shop.system(offer, taken.claim.id, Move::Confirm).await.unwrap().confirm_no,
        Some(2),
        "a bib is never given twice"
    );
    assert_eq!(told(&shop.claim(offer, first, "half:1").await.unwrap_err()), told(&refused));
    shop.leave(offer, second, taken.claim.id).await.unwrap();
    let now = shop.claim(offer, first, "half:1").await.unwrap();
    assert!(now.fresh && Some(now.claim.seq) > told(&refused).0, "a place is a new number");
    balanced(&shop, offer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wanted_is_had_whole_or_not_at_all() {
    databases(all_or_nothing).await;
}

async fn all_or_nothing(site: &Site) {
    let shop = Shop::open(site).await;
    let mut rules = with_line(rules(&shop, &[("10k", 30), ("half", 30), ("shirt", 20)]));
    for pool in &mut rules.pools {
        pool.group = if pool.code.as_str() == "shirt" { "souvenir" } else { "course" }.to_owned();
    }
    rules.want.push(WantRule { group: "souvenir".to_owned(), min: 0, max: 1 });
    rules.units_max = 2;
    let offer = shop.sell(rules).await;
    let wants = ["10k:1,shirt:2", "half:1,shirt:1", "10k:1", "half:2"];
    let crowds = wants.map(|want| {
        let shop = shop.clone();
        tokio::spawn(async move { all_claim(&shop, offer, &people(40), want).await })
    });
    let mut claims = Vec::new();
    for crowd in crowds {
        claims.extend(crowd.await.unwrap());
    }
    balanced(&shop, offer).await;
    let held = states(&claims, ClaimState::Held);
    leave_all(&shop, offer, &held[..held.len() / 2]).await;
    let amends = states(&claims, ClaimState::Waitlisted).into_iter().take(60).map(|waiting| {
        let shop = shop.clone();
        let mv = Move::Amend(want("10k:1"));
        tokio::spawn(async move {
            shop.admission.act(offer, waiting.claim.id, MoveBy::Owner(waiting.claim.user_id.0), mv).await
        })
    });
    for amended in futures::future::join_all(amends).await {
        assert!(matches!(amended.unwrap().map_err(|problem| problem.code.code), Ok(_) | Err("admission/no-units")));
    }
    let books = balanced(&shop, offer).await;
    assert!(books.count("amend") > 0 && !books.grants().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn returned_to_the_pool_it_is_the_next_clicks() {
    databases(to_the_pool).await;
}

async fn to_the_pool(site: &Site) {
    let shop = Shop::open(site).await;
    let offer = shop.sell(Rules { return_to: ReturnTo::Pool, ..with_line(rules(&shop, &[("10k", 5)])) }).await;
    let claims = all_claim(&shop, offer, &people(20), "10k:1").await;
    let (held, waiting) = (states(&claims, ClaimState::Held), states(&claims, ClaimState::Waitlisted));
    leave_all(&shop, offer, &held[..2]).await;
    assert_eq!(shop.view(waiting[0].claim.id).await.state, ClaimState::Waitlisted, "nobody moves up by himself");
    let clicked = shop.claim(offer, waiting[9].claim.user_id, "10k:1").await.unwrap();
    assert_eq!((clicked.claim.id, clicked.claim.state), (waiting[9].claim.id, ClaimState::Held), "his click takes it");
    let newcomer = shop.claim(offer, UserId::fresh(), "10k:1").await.unwrap();
    assert_eq!(newcomer.claim.state, ClaimState::Held);
    assert_eq!(shop.claim(offer, UserId::fresh(), "10k:1").await.unwrap().claim.state, ClaimState::Waitlisted);
    leave_all(&shop, offer, &held[2..]).await;
    let everybody: Vec<UserId> = waiting.iter().map(|claimed| claimed.claim.user_id).collect();
    all_claim(&shop, offer, &everybody, "10k:1").await;
    let books = balanced(&shop, offer).await;
    assert_eq!((books.in_state(ClaimState::Held), books.grants().len()), (5, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_person_may_have_as_many_as_the_rules_say() {
    databases(several_each).await;
}

async fn several_each(site: &Site) {
    let shop = Shop::open(site).await;
    let offer = shop.sell(Rules { per_person: 3, ..rules(&shop, &[("10k", 100)]) }).await;
    let people = people(20);
    // Six different keys each at once, each of them twice.
    let clicks = (0..12).flat_map(|n| people.iter().map(move |user| (n % 6, *user))).map(|(n, user)| {
        let shop = shop.clone();
        tokio::spawn(async move { shop.claim_keyed(offer, user, "10k:1", &format!("key {n}"), 1).await })
    });
    let answers: Vec<_> = futures::future::join_all(clicks).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 20 * 3 * 2, "three keys each, heard twice");
    assert!(answers.into_iter().filter(Result::is_err).all(|answer| code(answer) == "admission/limit"));
    let without_key = shop.claim(offer, people[0], "10k:1").await.unwrap();
    assert!(!without_key.fresh, "without a key it is a repeat of the newest");

    let books = balanced(&shop, offer).await;
    assert_eq!(books.in_state(ClaimState::Held), 60);
    shop.leave(offer, people[0], without_key.claim.id).await.unwrap();
    assert!(shop.claim_keyed(offer, people[0], "10k:1", "another", 1).await.unwrap().fresh);
    assert_eq!(code(shop.claim_keyed(offer, people[0], "10k:1", "yet another", 1).await), "admission/limit");
    balanced(&shop, offer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirmed_at_once_everybody_has_a_bib() {
    databases(at_once).await;
}

async fn at_once(site: &Site) {
    let shop = Shop::open(site).await;
    let offer = shop.sell(Rules { confirm: ConfirmMode::AtOnce, ..with_line(rules(&shop, &[("10k", 30)])) }).await;
    let claims = all_claim(&shop, offer, &people(100), "10k:1").await;
    let placed = states(&claims, ClaimState::Confirmed);
    let bibs: Vec<u32> = placed.iter().map(|claimed| claimed.claim.confirm_no.unwrap()).collect();
    assert!(bibs.iter().copied().eq(1..=30), "bibs in order without gaps: {bibs:?}");
    leave_all(&shop, offer, &placed[..10]).await;
    let books = balanced(&shop, offer).await;
    assert_eq!(books.in_state(ClaimState::Confirmed), 30);
    let newest = states(&claims, ClaimState::Waitlisted);
    assert_eq!(shop.view(newest[9].claim.id).await.confirm_no, Some(40), "a bib is never given twice");
}
