//! A log written by hand, line by line.

use crate::published::Published;
use orderlog::check::{Report, Violation, ViolationKind, verify};
use orderlog::{ConfirmMode, Eligibility, LogKey, Policy, PoolRule, ReturnTo, Rules, Verified, WantRule};
use uuid::Uuid;

pub const OFFER: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);

pub fn base() -> String {
    format!("yard.example/offers/{OFFER}")
}

pub fn key() -> LogKey {
    LogKey::from_seed(&[7; 32])
}

/// Rules with these pools as `(code, group, capacity, held_back)`: opens at 1,000, closes at 100,000,
/// holds last 10 s, those from the line 20 s; one course and at most one souvenir each.
pub fn rules(pools: &[(&str, &str, u32, u32)]) -> Rules {
    let pool = |(code, group, capacity, held_back): &(&str, &str, u32, u32)| PoolRule {
        code: code.parse().unwrap(),
        label: format!("Pool {code}"),
        group: (*group).to_owned(),
        capacity: *capacity,
        held_back: *held_back,
    };
    let group = |group: &str, min, max| WantRule { group: group.to_owned(), min, max };
    let rules = Rules {
        format: 1,
        offer: OFFER,
        opens_ms: 1_000,
        closes_ms: 100_000,
        policy: Policy::FirstCome,
        hold_s: 10,
        waitlist: true,
        waitlist_hold_s: 20,
        line_after_close: false,
        return_to: ReturnTo::Line,
        confirm: ConfirmMode::Later,
        per_person: 1,
        units_max: 1,
        paying_max_s: 1_800,
        refusals_logged_max: 1_000,
        eligibility: Eligibility { account_before_ms: None, verified: Verified::None, age_min: None, age_max: None },
        pools: pools.iter().map(pool).collect(),
        want: vec![group("course", 1, 1), group("souvenir", 0, 1)],
    };
    rules.validate().unwrap();
    rules
}

/// The pseudonym of somebody called by one letter.
pub fn person(letter: char) -> String {
    format!("{:032x}", letter as u32)
}

/// Lines without their index, so that lies can be told and the rest numbered anew.
#[derive(Clone, Default)]
pub struct Book {
    pub rules: Vec<Vec<u8>>,
    /// Per log its `(decided_ms, event)`.
    pub logs: Vec<Vec<(i64, String)>>,
}

impl Book {
    pub fn new(rules: &Rules) -> Book {
        let mut book = Book { rules: Vec::new(), logs: vec![Vec::new()] };
        book.rules(500, rules);
        book
    }

    /// Writes an event; `@a` stands for the pseudonym of `a`.
    pub fn say(&mut self, decided_ms: i64, event: &str) -> &mut Self {
        let named = event.split(' ').map(|field| match field.strip_prefix('@') {
            Some(name) => person(name.chars().next().unwrap()),
            None => field.to_owned(),
        });
        let event = named.collect::<Vec<_>>().join(" ");
        self.logs.last_mut().unwrap().push((decided_ms, event));
        self
    }

    pub fn rules(&mut self, decided_ms: i64, rules: &Rules) -> &mut Self {
        self.rules.push(rules.canonical());
        let sha: String = rules.sha().iter().map(|byte| format!("{byte:02x}")).collect();
        self.say(decided_ms, &format!("rules {sha}"))
    }

    /// The place of the first line that begins so, in the newest log.
    pub fn find(&self, event: &str) -> usize {
        let log = self.logs.last().unwrap();
        log.iter().position(|(_, line)| line.starts_with(event)).unwrap_or_else(|| panic!("no {event}"))
    }

    pub fn log(&mut self) -> &mut Vec<(i64, String)> {
        self.logs.last_mut().unwrap()
    }

    /// The logs as lines, numbered and with their times.
    pub fn lines(&self) -> Vec<Vec<String>> {
        let line = |(index, (ms, event)): (usize, &(i64, String))| format!("1 {index} {ms} {event}");
        self.logs.iter().map(|log| log.iter().enumerate().map(line).collect()).collect()
    }

    pub fn publish(&self) -> Published {
        Published::new(&base(), &key(), &self.rules, &self.lines())
    }

    /// Published with the right key, then verified.
    pub fn verify(&self) -> Report {
        verify_files(&self.publish(), &[])
    }

    /// The first violation, which is the lie itself; what follows may only follow from it.
    pub fn first_lie(&self) -> Option<(Option<u64>, ViolationKind)> {
        self.verify().violations.first().map(|Violation { index, kind, .. }| (*index, *kind))
    }

    #[track_caller]
    pub fn assert_true(&self) {
        let report = self.verify();
        assert!(report.verified, "{:#?}", report.violations);
    }
}

/// Verifies what is published, and receipts against it.
pub fn verify_files(published: &Published, receipts: &[String]) -> Report {
    verify(&|path: &str| Ok(published.files.get(path).cloned()), receipts)
}
