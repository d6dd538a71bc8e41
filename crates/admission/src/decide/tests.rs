//! A small offer in memory that obeys the core, and asserts its invariants after every batch.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use orderlog::{
    ConfirmMode, Eligibility, Event, Leaf, Person, Policy, PoolRule, ReturnReason, ReturnTo, Rules, Verified, Want,
    WantRule,
};
use uuid::Uuid;

use crate::{
    Answer, Claim, ClaimInput, ClaimState, Decision, Facts, Hand, Head, Input, Move, MoveBy, NeedLine, Refusals, decide,
};

mod hand;
mod line;
mod moves;
mod place;
mod properties;

const OPENS_MS: i64 = 1_000;
const CLOSES_MS: i64 = 1_000_000_000;

/// Two courses with one place each, one souvenir in two sizes, a line.
fn rules() -> Rules {
    let pool = |code: &str, group: &str, capacity| PoolRule {
        code: code.parse().expect("a code"),
        label: code.to_owned(),
        group: group.to_owned(),
        capacity,
        held_back: 0,
    };
    Rules {
        format: 1,
        offer: Uuid::from_u128(7),
        opens_ms: OPENS_MS,
        closes_ms: CLOSES_MS,
        policy: Policy::FirstCome,
        hold_s: 600,
        waitlist: true,
        waitlist_hold_s: 86_400,
        line_after_close: false,
        return_to: ReturnTo::Line,
        confirm: ConfirmMode::Later,
        per_person: 1,
        units_max: 1,
        paying_max_s: 1_800,
        refusals_logged_max: 1_000,
        eligibility: Eligibility { account_before_ms: None, verified: Verified::None, age_min: None, age_max: None },
        pools: vec![
            pool("10k", "course", 1),
            pool("5k", "course", 1),
            pool("s1-1", "souvenir", 2),
            pool("s1-2", "souvenir", 2),
        ],
        want: vec![
            WantRule { group: "course".to_owned(), min: 1, max: 2 },
            WantRule { group: "souvenir".to_owned(), min: 0, max: 1 },
        ],
    }
}

fn with(change: impl FnOnce(&mut Rules)) -> Rules {
    let mut rules = rules();
    change(&mut rules);
    rules
}

/// The rules without a line.
fn no_line() -> Rules {
    with(|rules| rules.waitlist = false)
}

fn capacity(rules: &mut Rules, code: &str, capacity: u32) {
    rules.pools.iter_mut().find(|pool| pool.code.as_str() == code).expect("a pool").capacity = capacity;
}

fn held_back(rules: &mut Rules, code: &str, units: u32) {
    rules.pools.iter_mut().find(|pool| pool.code.as_str() == code).expect("a pool").held_back = units;
}

fn person(n: u8) -> Person {
    Person([n; 16])
}

fn user(n: u8) -> Uuid {
    Uuid::from_bytes([n; 16])
}

fn want(text: &str) -> Want {
    text.parse().expect("a want")
}

struct Offer {
    head: Head,
    claims: BTreeMap<Uuid, Claim>,
    refusals: Refusals,
    leaves: Vec<Leaf>,
    now_ms: i64,
    /// Waiting claims loaded at a time.
    page: usize,
    next_id: u128,
    last: Option<Decision>,
}

impl Offer {
    fn new(rules: Rules) -> Self {
        rules.validate().expect("valid rules");
        let (head, leaves) = Head::create(Arc::new(rules), 0);
        let mut refusals = Refusals::new();
        refusals.apply(&leaves[0]).expect("folds");
        Self { head, claims: BTreeMap::new(), refusals, leaves, now_ms: 2_000, page: 1, next_id: 1, last: None }
    }

    fn input(&mut self, n: u8, text: &str, key: Option<&str>) -> ClaimInput {
        self.next_id += 1;
        ClaimInput {
            id: Uuid::from_u128(self.next_id << 64),
            person: person(n),
            user_id: user(n),
            want: want(text),
            received_ms: self.now_ms - 3,
            idem: key.map(|key| (key.to_owned(), [text.len() as u8; 32])),
            tag: "".into(),
        }
    }

    fn click(&mut self, n: u8, text: &str) -> Input {
        Input::Claim(self.input(n, text, None))
    }

    fn batch(&mut self, inputs: &[Input]) -> Vec<Answer> {
        let mut facts = self.facts(inputs);
        let waiting: Vec<Claim> = {
            let mut line: Vec<_> =
                self.claims.values().filter(|claim| claim.state == ClaimState::Waitlisted).cloned().collect();
            line.sort_by_key(|claim| claim.seq);
            line
        };
        let decision = loop {
            match decide(&self.head, &facts, &self.refusals, inputs, self.now_ms) {
                Ok(decision) => break decision,
                Err(NeedLine { after_seq }) => {
                    assert_eq!(after_seq, facts.line.last().map_or(0, |last| last.seq));
                    assert!(!facts.line_complete, "the whole line was there");
                    let more = waiting.iter().filter(|claim| claim.seq > after_seq).take(self.page).cloned();
                    facts.line.extend(more);
                    facts.line_complete = facts.line.len() == waiting.len();
                }
            }
        };
        self.apply(&decision);
        self.check();
        assert_eq!(decision.answers.len(), inputs.len());
        let answers = decision.answers.clone();
        self.last = Some(decision);
        answers
    }

    fn facts(&self, inputs: &[Input]) -> Facts {
        let named = |claim: &&Claim| {
            inputs.iter().any(|input| match input {
                Input::Claim(input) | Input::Assign { claim: input } => input.person == claim.person,
                Input::Move { claim: id, .. } => *id == claim.id,
                Input::Hand(_) => false,
            })
        };
        Facts { claims: self.claims.values().filter(named).cloned().collect(), line: vec![], line_complete: false }
    }

    fn apply(&mut self, decision: &Decision) {
        for (leaf, index) in decision.leaves.iter().zip(self.head.size..) {
            assert_eq!(leaf.index, index);
            assert!(leaf.decided_ms >= self.leaves.last().expect("a leaf").decided_ms);
            assert_eq!(Leaf::parse(leaf.to_string().as_bytes()).as_ref(), Ok(leaf));
            self.refusals.apply(leaf).expect("folds");
            self.leaves.push(leaf.clone());
        }
        for decided in &decision.changed {
            let before = self.claims.insert(decided.claim.id, (*decided.claim).clone());
            assert_eq!(before.map(|claim| claim.state), decided.was);
        }
        self.head = decision.head.clone();
    }

    fn check(&self) {
        assert_eq!(self.head.size, self.leaves.len() as u64);
        assert_eq!(self.head.waiting, self.count(ClaimState::Waitlisted));
        assert_eq!(self.head.refusals, self.refusals.len() as u64);
        for pool in &self.head.pools {
            let holding = self.claims.values().filter(|claim| claim.state.holding());
            assert_eq!(holding.map(|claim| claim.want.of(&pool.code)).sum::<u32>(), pool.taken, "{}", pool.code);
            assert!(pool.taken + pool.held_back <= pool.capacity, "{} oversold", pool.code);
        }
        let mut ordinals = HashSet::new();
        for claim in self.claims.values().filter(|claim| claim.state.open()) {
            assert!((1..=self.head.rules.per_person.max(claim.ordinal)).contains(&claim.ordinal));
            assert!(ordinals.insert((claim.person, claim.ordinal)), "an ordinal is used twice");
        }
        let seqs = self.leaves.iter().filter_map(|leaf| match leaf.event {
            Event::Claim { seq, .. } => Some(seq),
            _ => None,
        });
        assert!(seqs.eq(1..self.head.next_seq), "sequence numbers have a gap");
    }

    fn count(&self, state: ClaimState) -> u64 {
        self.claims.values().filter(|claim| claim.state == state).count() as u64
    }

    fn one(&mut self, input: Input) -> Answer {
        self.batch(&[input]).remove(0)
    }

    fn claim(&mut self, n: u8, text: &str) -> Answer {
        let input = self.click(n, text);
        self.one(input)
    }

    fn claim_keyed(&mut self, n: u8, text: &str, key: &str) -> Answer {
        let input = Input::Claim(self.input(n, text, Some(key)));
        self.one(input)
    }

    fn assign(&mut self, n: u8, text: &str) -> Answer {
        let claim = self.input(n, text, None);
        self.one(Input::Assign { claim })
    }

    fn hand(&mut self, hand: Hand) -> Answer {
        self.one(Input::Hand(hand))
    }

    fn set_rules(&mut self, change: impl FnOnce(&mut Rules)) -> Answer {
        let mut rules = Rules::clone(&self.head.rules);
        change(&mut rules);
        self.hand(Hand::Rules(Box::new(rules)))
    }

    /// The newest claim of a person.
    fn of(&self, n: u8) -> &Claim {
        let claims = self.claims.values().filter(|claim| claim.person == person(n));
        claims.max_by_key(|claim| claim.seq).expect("a claim")
    }

    fn state(&self, n: u8) -> ClaimState {
        self.of(n).state
    }

    fn moving(&self, n: u8, by: MoveBy, mv: Move) -> Input {
        Input::Move { claim: self.of(n).id, by, mv }
    }

    fn system(&mut self, n: u8, mv: Move) -> Answer {
        let input = self.moving(n, MoveBy::System, mv);
        self.one(input)
    }

    fn leave(&mut self, n: u8) -> Answer {
        let input = self.leaving(n);
        self.one(input)
    }

    fn leaving(&self, n: u8) -> Input {
        self.moving(n, MoveBy::Owner(user(n)), Move::Return(ReturnReason::Released))
    }

    /// The events since the log had `size` leaves, as the log writes them, person and time left out.
    fn events_from(&self, size: u64) -> Vec<String> {
        let told = |leaf: &Leaf| match &leaf.event {
            Event::Claim { seq, want, outcome, .. } => format!("claim {seq} {want} {outcome}"),
            Event::Rules { .. } => "rules".to_owned(),
            Event::Amend { seq, want } => format!("amend {seq} {want}"),
            Event::Return { seq, reason } => format!("return {seq} {reason}"),
            event => event.seq().map_or(event.name().to_owned(), |seq| format!("{} {seq}", event.name())),
        };
        self.leaves.iter().skip(size as usize).map(told).collect()
    }
}

fn placed(answer: &Answer) -> &Claim {
    match answer {
        Answer::Placed { claim, leaf } => {
            assert_eq!(*leaf, claim.log_index);
            claim
        }
        other => panic!("not placed: {other:?}"),
    }
}

fn moved(answer: &Answer) -> Option<u64> {
    match answer {
        Answer::Moved { leaf, .. } => *leaf,
        other => panic!("not moved: {other:?}"),
    }
}

fn number(answer: &Answer) -> (u64, bool) {
    match answer {
        Answer::Refused { seq: Some(seq), repeat, .. } => (*seq, *repeat),
        other => panic!("no numbered refusal: {other:?}"),
    }
}
