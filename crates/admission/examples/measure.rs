//! What the deciding core costs: a batch of claims, a batch that frees a line, the fold of a million refusals.
//!
//! `cargo run --release -p admission --example measure`

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use admission::{Claim, ClaimInput, ClaimState, Decision, Facts, Head, Input, Move, MoveBy, Refusals, Refused, decide};
use orderlog::{
    ConfirmMode, Eligibility, Event, Leaf, Outcome, Person, Policy, PoolRule, ReturnReason, ReturnTo, Rules, Verified,
    Want, WantRule, tiles,
};
use uuid::Uuid;

const BATCH: u128 = 500;
const ROUNDS: usize = 200;
const REFUSALS: u64 = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let want: Want = "10k:1".parse()?;
    let claims = |from: u128| -> Vec<Input> { (from..from + BATCH).map(|n| Input::Claim(claim(n, &want))).collect() };
    let none = Refusals::new();

    let (head, _) = Head::create(Arc::new(rules(1_000_000, false)?), 0);
    let inputs = claims(1);
    report("500 claims, all held", || decided(&head, &Facts::default(), &none, &inputs));

    let (sold_out, _) = Head::create(Arc::new(rules(0, false)?), 0);
    report("500 claims, all refused", || decided(&sold_out, &Facts::default(), &none, &inputs));

    let (head, _) = Head::create(Arc::new(rules(500, true)?), 0);
    let full = decided(&head, &Facts::default(), &none, &inputs);
    let waiting = decided(&full.head, &Facts::default(), &none, &claims(10_000));
    let facts = Facts { claims: made(&full), line: made(&waiting), line_complete: true };
    let leave = Move::Return(ReturnReason::Cancelled);
    let moves: Vec<Input> = facts
        .claims
        .iter()
        .map(|claim| Input::Move { claim: claim.id, by: MoveBy::Organiser, mv: leave.clone() })
        .collect();
    let freed = decided(&waiting.head, &facts, &none, &moves);
    assert_eq!(freed.leaves.len(), 1_000, "each return is a grant");
    report("500 returns, 500 grants", || decided(&waiting.head, &facts, &none, &moves));

    fold(&want)
}

/// The best of many rounds, as others use the machine too.
fn report(what: &str, mut run: impl FnMut() -> Decision) {
    let best = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            black_box(run());
            begin.elapsed()
        })
        .min();
    println!("{what}: {:.3} ms", best.unwrap_or_default().as_secs_f64() * 1e3);
}

fn fold(want: &Want) -> Result<(), Box<dyn Error>> {
    let mut bundles = Vec::new();
    for first in (0..REFUSALS).step_by(BATCH as usize) {
        let mut bundle = Vec::new();
        for index in first..first + BATCH as u64 {
            let person = claim(u128::from(index), want).person;
            let event =
                Event::Claim { seq: index + 1, person, received_ms: 0, want: want.clone(), outcome: Outcome::Refused };
            tiles::push_entry(&mut bundle, Leaf { index, decided_ms: 0, event }.to_string().as_bytes())?;
        }
        bundles.push((first, bundle));
    }
    let begin = Instant::now();
    let mut refusals = Refusals::new();
    for (first, bundle) in &bundles {
        refusals.apply_bundle(*first, bundle)?;
    }
    println!("{} refusals folded: {:.3} s", refusals.len(), begin.elapsed().as_secs_f64());
    let begin = Instant::now();
    let known = (0..REFUSALS).filter(|n| refusals.get(&claim(u128::from(*n), want).person, want).is_some()).count();
    println!("{known} looked up: {:.3} s", begin.elapsed().as_secs_f64());
    Ok(())
}

fn decided(head: &Head, facts: &Facts, refusals: &Refusals, inputs: &[Input]) -> Decision {
    match decide(head, facts, refusals, inputs, 1) {
        Ok(decision) => decision,
        Err(need) => panic!("the whole line was there: {need:?}"),
    }
}

fn made(decision: &Decision) -> Vec<Claim> {
    let held = |claim: &&Claim| matches!(claim.state, ClaimState::Held | ClaimState::Waitlisted);
    decision.changed.iter().map(|decided| &*decided.claim).filter(held).cloned().collect()
}

fn claim(n: u128, want: &Want) -> ClaimInput {
    // Spread as the hash sums that people really are.
    let spread = n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    ClaimInput {
        id: Uuid::from_u128(n),
        person: Person(spread.to_be_bytes()),
        user_id: Uuid::from_u128(n),
        want: want.clone(),
        received_ms: 1,
        idem: Some((format!("key-{n}"), [0; 32])),
        tag: "".into(),
    }
}

fn rules(capacity: u32, waitlist: bool) -> Result<Rules, Box<dyn Error>> {
    let pool = |code: &str, capacity| -> Result<PoolRule, Box<dyn Error>> {
        Ok(PoolRule { code: code.parse()?, label: String::new(), group: "course".to_owned(), capacity, held_back: 0 })
    };
    Ok(Rules {
        format: 1,
        offer: Uuid::from_u128(7),
        opens_ms: 0,
        closes_ms: 1_000_000,
        policy: Policy::FirstCome,
        hold_s: 600,
        waitlist,
        waitlist_hold_s: 86_400,
        line_after_close: false,
        return_to: ReturnTo::Line,
        confirm: ConfirmMode::Later,
        per_person: 1,
        units_max: 1,
        paying_max_s: 1_800,
        refusals_logged_max: REFUSALS,
        eligibility: Eligibility { account_before_ms: None, verified: Verified::None, age_min: None, age_max: None },
        pools: vec![pool("10k", capacity)?, pool("5k", 10)?, pool("half", 10)?],
        want: vec![WantRule { group: "course".to_owned(), min: 1, max: 1 }],
    })
}
