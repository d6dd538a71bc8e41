//! What people, the organiser, payments and jobs ask for.

use orderlog::{
    ConfirmMode, Eligibility, Person, Policy, PoolRule, ReturnReason, ReturnTo, Rules, Verified, Want, WantRule,
};
use uuid::Uuid;

use super::random::Random;
use super::world::World;
use crate::{ClaimInput, ClaimState, Hand, Input, Move, MoveBy};

const POOLS: [(&str, &str); 4] = [("10k", "course"), ("5k", "course"), ("s1-1", "souvenir"), ("s1-2", "souvenir")];
const KEYS: [&str; 3] = ["a", "b", "c"];
/// When the offer opens; histories start a little before.
pub(super) const OPENS_MS: i64 = 1_000_000;

/// The rules of one history; small numbers, so that everything runs out.
pub(super) fn rules(random: &mut Random) -> Rules {
    let pools = POOLS.iter().filter_map(|(code, group)| {
        let capacity = 1 + random.below(4) as u32;
        let held_back = if random.percent(30) { random.below(u64::from(capacity)) as u32 } else { 0 };
        let code = code.parse().ok()?;
        Some(PoolRule { code, label: code.to_string(), group: (*group).to_owned(), capacity, held_back })
    });
    let pools = pools.collect();
    Rules {
        format: 1,
        offer: Uuid::from_u128(u128::from(random.next())),
        opens_ms: OPENS_MS,
        closes_ms: OPENS_MS + 20_000 + random.below(400_000) as i64,
        policy: Policy::FirstCome,
        hold_s: 5 + random.below(60) as u32,
        waitlist: random.percent(50),
        waitlist_hold_s: 5 + random.below(200) as u32,
        line_after_close: random.percent(40),
        return_to: if random.percent(70) { ReturnTo::Line } else { ReturnTo::Pool },
        confirm: if random.percent(80) { ConfirmMode::Later } else { ConfirmMode::AtOnce },
        per_person: if random.percent(75) { 1 } else { 2 },
        units_max: if random.percent(75) { 1 } else { 2 },
        paying_max_s: 1_800,
        refusals_logged_max: if random.percent(85) { 1_000 } else { random.below(4) },
        eligibility: Eligibility { account_before_ms: None, verified: Verified::None, age_min: None, age_max: None },
        pools,
        want: vec![
            WantRule { group: "course".to_owned(), min: 1, max: 2 },
            WantRule { group: "souvenir".to_owned(), min: 0, max: 1 },
        ],
    }
}

impl World {
    /// Something somebody asks for now; none where nothing comes to mind.
    pub(super) fn wish(&mut self) -> Option<Input> {
        match self.random.below(100) {
            0..=54 => {
                let person = self.random.below(self.people) as u8;
                self.click(person).map(Input::Claim)
            }
            55..=59 => self.retry().map(Input::Claim),
            60..=88 => self.step_of_a_claim(),
            89..=92 => {
                let person = self.random.below(self.people) as u8;
                let claim = ClaimInput { idem: None, ..self.click(person)? };
                Some(Input::Assign { claim })
            }
            _ => self.hand().map(Input::Hand),
        }
    }

    /// The job that ends holds whose time is over, and the line of a closed offer.
    pub(super) fn expiries(&self) -> Vec<Input> {
        let head = &self.disk.head;
        let line_ended = head.closed && !head.rules.line_after_close;
        let due = self.disk.claims.values().filter(|claim| match claim.state {
            ClaimState::Held => claim.hold_until_ms.is_some_and(|end_ms| end_ms <= self.now_ms),
            ClaimState::Waitlisted => line_ended,
            _ => false,
        });
        let expire = Move::Return(ReturnReason::Expired);
        due.map(|claim| Input::Move { claim: claim.id, by: MoveBy::System, mv: expire.clone() }).collect()
    }

    fn click(&mut self, n: u8) -> Option<ClaimInput> {
        let want = self.want()?;
        let idem = if self.random.percent(50) {
            let key = self.random.pick(&KEYS)?;
            // The body is the want; now and then somebody sends another one under an old key.
            Some(((*key).to_owned(), [want.to_string().bytes().fold(0, u8::wrapping_add); 32]))
        } else {
            None
        };
        self.next_id += 1;
        Some(ClaimInput {
            id: Uuid::from_u128(self.next_id),
            person: person(n),
            user_id: Uuid::from_bytes([n; 16]),
            want,
            received_ms: self.now_ms - self.random.below(900) as i64,
            idem,
            tag: "".into(),
        })
    }

    /// Somebody who never got an answer asks again: the same key and body, or no key at all.
    fn retry(&mut self) -> Option<ClaimInput> {
        let at = self.random.place(self.lost.len());
        let again = self.lost.get(at)?.clone();
        self.next_id += 1;
        Some(ClaimInput { id: Uuid::from_u128(self.next_id), ..again })
    }

    /// Every person has a favourite, and now and then wants something else, or what nobody can have.
    fn want(&mut self) -> Option<Want> {
        let texts = match self.random.below(12) {
            0..=5 => ["10k:1", "5k:1"],
            6 | 7 => ["10k:1,s1-1:1", "5k:1,s1-1:1"],
            8 => ["10k:1,s1-2:1", "5k:1,s1-2:1"],
            9 => ["10k:1,5k:1", "10k:1,5k:1,s1-1:1"],
            10 => ["10k:2", "5k:2,s1-1:2"],
            _ => ["s1-1:1", "42k:1"],
        };
        self.random.pick(&texts)?.parse().ok()
    }

    fn step_of_a_claim(&mut self) -> Option<Input> {
        let at = self.random.place(self.disk.claims.len());
        let claim = self.disk.claims.values().nth(at)?;
        let (id, owner) = (claim.id, MoveBy::Owner(claim.user_id));
        let (by, mv) = match self.random.below(20) {
            0..=3 => (MoveBy::System, Move::Pay),
            4..=6 => (MoveBy::System, Move::Unpay),
            7..=9 => (MoveBy::System, Move::Confirm),
            10 | 11 => (MoveBy::System, Move::Return(ReturnReason::Failed)),
            12 => (MoveBy::Organiser, Move::Return(ReturnReason::Cancelled)),
            13 => (MoveBy::System, Move::Return(ReturnReason::Expired)),
            14 | 15 => (owner, Move::Amend(self.want()?)),
            16 => (MoveBy::Owner(Uuid::nil()), Move::Return(ReturnReason::Released)),
            _ => (owner, Move::Return(ReturnReason::Released)),
        };
        Some(Input::Move { claim: id, by, mv })
    }

    fn hand(&mut self) -> Option<Hand> {
        let mut rules = Rules::clone(&self.disk.head.rules);
        for (rule, pool) in rules.pools.iter_mut().zip(&self.disk.head.pools) {
            rule.held_back = pool.held_back;
        }
        let at = self.random.place(rules.pools.len());
        match self.random.below(16) {
            0 | 1 => return Some(Hand::Pause),
            2..=5 => return Some(Hand::Resume),
            6 if self.random.percent(20) => return Some(Hand::Close),
            6..=9 => rules.pools.get_mut(at)?.capacity = 1 + self.random.below(6) as u32,
            10..=12 => rules.pools.get_mut(at)?.held_back = self.random.below(3) as u32,
            13 => rules.waitlist = !rules.waitlist,
            14 => rules.return_to = if self.random.percent(50) { ReturnTo::Line } else { ReturnTo::Pool },
            _ => rules.closes_ms = self.now_ms.max(OPENS_MS) + self.random.below(300_000) as i64,
        }
        Some(Hand::Rules(Box::new(rules)))
    }
}

fn person(n: u8) -> Person {
    Person([n; 16])
}
