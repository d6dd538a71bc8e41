//! The organiser's hand.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use kernel::{OfferId, UserId};
use orderlog::{Event, Outcome, PoolCode, PoolRule, Rules};
use platform::admission::HandChange;
use platform::admission::core::{ClaimState, Move, MoveBy};
use platform::db::{Query, args};

use crate::support::books::balanced;
use crate::support::shop::{Shop, code, people, rules, told};
use crate::support::site::{Site, databases};
use crate::support::wait::until_so;

const SOON: Duration = Duration::from_secs(20);

fn pool(code: &str) -> HandChange {
    HandChange { pool: Some(code.to_owned()), ..HandChange::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capacity_goes_up_and_down_but_never_below_what_is_taken() {
    databases(capacity).await;
}

async fn capacity(site: &Site) {
    let shop = Shop::open(site).await;
    let offer = shop.sell(Rules { waitlist: true, ..rules(&shop, &[("10k", 10)]) }).await;
    let claims = shop.crowd(offer, &people(40), "10k:1").await;
    let view = shop.hand(offer, HandChange { capacity: Some(25), ..pool("10k") }).await.unwrap();
    assert_eq!((view.pool("10k").unwrap().taken, view.waiting, view.version), (25, 15, 2));

    let below = shop.hand(offer, HandChange { capacity: Some(24), ..pool("10k") }).await.unwrap_err();
    assert_eq!((below.code.code, below.get("pool").unwrap().as_str()), ("admission/below-taken", Some("10k")));
    let below = shop.hand(offer, HandChange { held_back: Some(1), ..pool("10k") }).await;
    assert_eq!(code(below), "admission/below-taken");
    assert_eq!(code(shop.hand(offer, HandChange { held_back: Some(26), ..pool("10k") }).await), "admission/rules");

    let placed =
        claims.into_iter().map(Result::unwrap).find(|claimed| claimed.claim.state == ClaimState::Held).unwrap().claim;
    shop.hand(offer, HandChange { capacity: Some(100), held_back: Some(50), ..pool("10k") }).await.unwrap();
    shop.leave(offer, placed.user_id, placed.id).await.unwrap();
    let view = shop.hand(offer, HandChange { capacity: Some(60), held_back: Some(0), ..pool("10k") }).await.unwrap();
    assert_eq!((view.pool("10k").unwrap().remaining, view.waiting), (21, 0));
    let same = shop.hand(offer, HandChange { capacity: Some(60), ..pool("10k") }).await.unwrap();
    assert_eq!(same.version, view.version, "nothing changed, so there are no new rules");

    let books = balanced(&shop, offer).await;
    assert_eq!(books.in_state(ClaimState::Held), 39);
    assert_eq!(books.count("rules"), 4);
    let sql = "SELECT count(*) FROM audit WHERE subject = $1 AND action = 'offer.rules'";
    let audited = shop.db.one::<(i64,)>(sql, args![offer.to_string()]).await.unwrap().unwrap();
    assert_eq!(audited.0, 3, "each change that took effect is audited, none that did not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_counts_no_more_once_capacity_is_raised() {
    databases(raised_after_refusal).await;
}

async fn raised_after_refusal(site: &Site) {
    let shop = Shop::open(site).await;
    let offer = shop.sell(rules(&shop, &[("10k", 5)])).await;
    let people = people(300);
    let first = shop.crowd(offer, &people, "10k:1").await;
    shop.hand(offer, HandChange { capacity: Some(50), ..pool("10k") }).await.unwrap();
    let second = shop.crowd(offer, &people, "10k:1").await;
    let mut fresh = 0;
    for (before, after) in first.into_iter().zip(second) {
        match (before, after) {
            (Ok(before), Ok(after)) => assert_eq!(before.claim.id, after.claim.id),
            (Err(before), Err(after)) => assert_eq!(told(&before), told(&after), "a refusal keeps its number"),
            (Err(before), Ok(after)) => {
                fresh += 1;
                assert!(after.fresh && Some(after.claim.seq) > told(&before).0);
            }
            (Ok(had), Err(problem)) => panic!("{had:?} was lost: {problem:?}"),
        }
    }
    assert_eq!(fresh, 45);
    balanced(&shop, offer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_guests_are_placed_whatever_the_crowd() {
    databases(assignments).await;
}

async fn assignments(site: &Site) {
    let shop = Shop::open(site).await;
    let mut rules = Rules { waitlist: true, ..rules(&shop, &[("10k", 60)]) };
    rules.pools[0].held_back = 15;
    let offer = shop.sell(rules).await;
    let claims = shop.crowd(offer, &people(100), "10k:1").await;
    let waiting: Vec<UserId> = claims
        .into_iter()
        .map(Result::unwrap)
        .filter(|claimed| claimed.claim.state == ClaimState::Waitlisted)
        .map(|claimed| claimed.claim.user_id)
        .collect();
    assert_eq!(waiting.len(), 55, "what is held back is not sold");

    // Ten out of the line, ten newcomers, at once, while others click; five more than is held back.
    let guests: Vec<UserId> = waiting[30..40].iter().copied().chain(people(10)).collect();
    let crowd = {
        let shop = shop.clone();
        tokio::spawn(async move { shop.crowd(offer, &people(200), "10k:1").await })
    };
    let placing = guests.iter().map(|user| {
        let (shop, user) = (shop.clone(), *user);
        tokio::spawn(async move { shop.assign(offer, user, "10k:1").await })
    });
    let placed: Vec<_> = join_all(placing).await.into_iter().map(Result::unwrap).collect();
    crowd.await.unwrap();
    let (yes, no): (Vec<_>, Vec<_>) = placed.into_iter().partition(Result::is_ok);
    assert_eq!((yes.len(), no.len()), (15, 5));
    assert!(no.into_iter().all(|answer| code(answer) == "admission/no-units"));

    // Room is made for the others; who is placed already keeps what he has.
    shop.hand(offer, HandChange { capacity: Some(65), held_back: Some(5), ..pool("10k") }).await.unwrap();
    for user in &guests {
        assert_eq!(shop.assign(offer, *user, "10k:1").await.unwrap().claim.state, ClaimState::Held);
    }
    let books = balanced(&shop, offer).await;
    assert_eq!(books.in_state(ClaimState::Held), 65);
    let by_hand = books.report.counts.assigned + books.report.counts.assigned_from_line;
    assert_eq!(by_hand, 20);
    assert_eq!(books.report.pools[0].held_back, 0);
    let sql = "SELECT count(*) FROM audit WHERE subject = $1 AND action = 'offer.assign'";
    let audited = shop.db.one::<(i64,)>(sql, args![offer.to_string()]).await.unwrap().unwrap();
    assert_eq!(audited.0, 20, "each placing is audited once, and no failed one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_and_not_yet_open_offers_take_no_claims() {
    databases(paused).await;
}

async fn paused(site: &Site) {
    let shop = Shop::open(site).await;
    let offer = shop.sell(Rules { waitlist: true, ..rules(&shop, &[("10k", 2)]) }).await;
    let claims = shop.crowd(offer, &people(4), "10k:1").await;
    let held =
        claims.into_iter().map(Result::unwrap).find(|claimed| claimed.claim.state == ClaimState::Held).unwrap().claim;
    let pause = |paused| HandChange { paused: Some(paused), ..HandChange::default() };
    assert!(shop.hand(offer, pause(true)).await.unwrap().paused);
    let answers = shop.crowd(offer, &people(50), "10k:1").await;
    assert!(answers.into_iter().all(|answer| code(answer) == "admission/paused"));
    shop.leave(offer, held.user_id, held.id).await.unwrap();
    assert_eq!(balanced(&shop, offer).await.grants(), [3], "moves and grants go on");
    assert!(shop.hand(offer, pause(true)).await.unwrap().paused, "twice is no error");
    assert!(!shop.hand(offer, pause(false)).await.unwrap().paused);
    assert!(shop.claim(offer, UserId::fresh(), "10k:1").await.is_ok());
    let books = balanced(&shop, offer).await;
    assert_eq!((books.count("pause"), books.count("resume")), (1, 1));

    let opens_ms = shop.db.clock().now_ms() + 600_000;
    let later = shop.sell(Rules { opens_ms, ..rules(&shop, &[("10k", 2)]) }).await;
    let early = shop.claim(later, UserId::fresh(), "10k:1").await.unwrap_err();
    assert_eq!(early.code.code, "admission/not-open");
    assert!((590_000..=600_000).contains(&early.get("opens_in_ms").unwrap().as_i64().unwrap()), "{early:?}");
    assert_eq!(shop.assign(later, UserId::fresh(), "10k:1").await.unwrap().claim.state, ClaimState::Held);
    let opens = HandChange {
        edit: Some(Arc::new(move |rules: &mut Rules| rules.opens_ms -= 700_000)),
        ..HandChange::default()
    };
    shop.hand(later, opens).await.unwrap();
    assert!(shop.claim(later, UserId::fresh(), "10k:1").await.is_ok(), "the opening was brought forward");
    balanced(&shop, later).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_early_ends_the_line_unless_it_goes_on() {
    databases(closed_early).await;
}

async fn closed_early(site: &Site) {
    let shop = Shop::open(site).await;
    for line_after_close in [false, true] {
        let offer = shop.sell(Rules { waitlist: true, line_after_close, ..rules(&shop, &[("10k", 5)]) }).await;
        let claims: Vec<_> = shop.crowd(offer, &people(700), "10k:1").await.into_iter().map(Result::unwrap).collect();
        let held = claims.iter().find(|claimed| claimed.claim.state == ClaimState::Held).unwrap().claim.clone();
        let view = shop.hand(offer, HandChange { closes_ms: Some(0), ..HandChange::default() }).await.unwrap();
        assert_eq!((view.closed, view.state()), (true, "closed"));
        assert_eq!(code(shop.claim(offer, UserId::fresh(), "10k:1").await), "admission/closed");
        let reopen = HandChange { paused: Some(false), ..HandChange::default() };
        assert_eq!(code(shop.hand(offer, reopen).await), "admission/closed");
        assert_eq!(
            shop.claim(offer, held.user_id, "10k:1").await.unwrap().claim.id,
            held.id,
            "who has a place still hears so"
        );

        let upkeep = shop.upkeep();
        let left = if line_after_close { 695 } else { 0 };
        until_so("the line ended", SOON, async || waiting(&shop, offer).await == left).await;
        shop.leave(offer, held.user_id, held.id).await.unwrap();
        upkeep.stop().await;
        let books = balanced(&shop, offer).await;
        let (grants, expired) = if line_after_close { (1, 0) } else { (0, 695) };
        assert_eq!((books.grants().len(), books.report.counts.expired as usize), (grants, expired));
        let guest = shop.assign(offer, UserId::fresh(), "10k:1").await;
        assert_eq!(guest.is_ok(), !line_after_close, "by hand while something is left, closed or not");
        balanced(&shop, offer).await;
    }
}

async fn waiting(shop: &Shop, offer: OfferId) -> i64 {
    shop.admission.view(&shop.db, offer).await.unwrap().waiting
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_closes_by_itself_when_its_time_comes() {
    databases(closes_by_itself).await;
}

async fn closes_by_itself(site: &Site) {
    let shop = Shop::open(site).await;
    let offer = shop.sell(Rules { waitlist: true, ..rules(&shop, &[("10k", 1)]) }).await;
    shop.crowd(offer, &people(3), "10k:1").await;
    let soon = shop.db.clock().now_ms() + 400;
    shop.hand(offer, HandChange { closes_ms: Some(soon), ..HandChange::default() }).await.unwrap();
    let upkeep = shop.upkeep();
    until_so("it closed", SOON, async || shop.admission.view(&shop.db, offer).await.unwrap().closed).await;
    until_so("the line ended", SOON, async || waiting(&shop, offer).await == 0).await;
    upkeep.stop().await;
    let books = balanced(&shop, offer).await;
    let close = books.leaves.iter().find(|leaf| leaf.event == Event::Close).unwrap();
    assert!(close.decided_ms >= soon);
    assert_eq!(books.report.counts.expired, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_come_and_go_with_the_rules() {
    databases(pools).await;
}

async fn pools(site: &Site) {
    let shop = Shop::open(site).await;
    let offer = shop.sell(rules(&shop, &[("10k", 3), ("half", 3)])).await;
    let claim = shop.claim(offer, UserId::fresh(), "10k:1").await.unwrap().claim;
    let put_second = |code: &'static str| HandChange {
        edit: Some(Arc::new(move |rules: &mut Rules| {
            let code = PoolCode::new(code).unwrap();
            let pool =
                PoolRule { code, label: code.to_string(), group: "course".to_owned(), capacity: 2, held_back: 0 };
            rules.pools.truncate(1);
            rules.pools.push(pool);
        })),
        ..HandChange::default()
    };
    shop.hand(offer, put_second("full")).await.unwrap();
    balanced(&shop, offer).await;
    shop.hand(offer, put_second("half")).await.unwrap();
    assert_eq!(code(shop.claim(offer, UserId::fresh(), "full:1").await), "admission/want");
    let view = shop.hand(offer, put_second("full")).await.unwrap();
    let codes: Vec<&str> = view.pools.iter().map(|pool| pool.code.as_str()).collect();
    assert_eq!(codes, ["10k", "full"]);
    assert!(shop.claim(offer, UserId::fresh(), "full:1").await.is_ok());
    assert_eq!(code(shop.claim(offer, UserId::fresh(), "half:1").await), "admission/want");
    balanced(&shop, offer).await;
    let drop_taken =
        HandChange { edit: Some(Arc::new(|rules: &mut Rules| drop(rules.pools.remove(0)))), ..HandChange::default() };
    assert_eq!(code(shop.hand(offer, drop_taken.clone()).await), "admission/below-taken");
    let organiser_cancels =
        shop.admission.act(offer, claim.id, MoveBy::Organiser, Move::Return(orderlog::ReturnReason::Cancelled));
    organiser_cancels.await.unwrap();
    shop.hand(offer, drop_taken).await.unwrap();
    let books = balanced(&shop, offer).await;
    let outcomes = books.leaves.iter().filter(|leaf| matches!(leaf.event, Event::Claim { outcome: Outcome::Held, .. }));
    assert_eq!(outcomes.count(), 2);
}
