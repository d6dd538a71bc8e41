//! A sale of any length: a hundred places, everybody else refused.

use orderlog::{
    ConfirmMode, Eligibility, Event, Leaf, Outcome, Person, Policy, PoolCode, PoolRule, ReturnTo, Rules, Verified,
    Want, WantRule,
};
use uuid::Uuid;

const CAPACITY: u64 = 100;

/// The rules and the first `size` leaves of a sale in which everybody comes once.
pub fn long_sale(offer: Uuid, size: u64) -> (Rules, Vec<String>) {
    let code = PoolCode::new("10k").unwrap();
    let rules = rules(offer, code);
    let mut events = vec![Event::Rules { sha: rules.sha() }];
    events.extend((1..size).map(|seq| Event::Claim {
        seq,
        person: Person(u128::from(seq).to_be_bytes()),
        received_ms: seq as i64,
        want: Want::one(code),
        outcome: if seq <= CAPACITY { Outcome::Held } else { Outcome::Refused },
    }));
    let leaf = |(index, event)| Leaf { index, decided_ms: (index / 500) as i64, event };
    let leaves = (0..).zip(events).map(leaf).map(|leaf| leaf.to_string()).collect();
    (rules, leaves)
}

fn rules(offer: Uuid, code: PoolCode) -> Rules {
    let group = "course".to_owned();
    Rules {
        format: 1,
        offer,
        opens_ms: 0,
        closes_ms: 1_000_000_000,
        policy: Policy::FirstCome,
        hold_s: 600,
        waitlist: false,
        waitlist_hold_s: 86_400,
        line_after_close: false,
        return_to: ReturnTo::Line,
        confirm: ConfirmMode::Later,
        per_person: 1,
        units_max: 1,
        paying_max_s: 1_800,
        refusals_logged_max: 1_000_000,
        eligibility: Eligibility { account_before_ms: None, verified: Verified::None, age_min: None, age_max: None },
        pools: vec![PoolRule {
            code,
            label: "10 km".to_owned(),
            group: group.clone(),
            capacity: CAPACITY as u32,
            held_back: 0,
        }],
        want: vec![WantRule { group, min: 1, max: 1 }],
    }
}
