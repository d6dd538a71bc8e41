//! The published rules of an offer: what the organiser promises, as canonical JSON.

use crate::error::FormatError;
use crate::merkle::Hash;
use crate::want::{PoolCode, WANT_POOLS_MAX, Want};
use sha2::{Digest, Sha256};
use uuid::Uuid;

mod canonical;
#[cfg(test)]
mod tests;

const FORMAT: u32 = 1;
/// Integers stay exact in every JSON reader below this (RFC 8785 reads numbers as doubles).
const INTEGER_MAX: u64 = (1 << 53) - 1;
const POOLS_MAX: usize = 1024;

/// The rules in force from their `rules` leaf on. All times are Unix milliseconds, all lengths seconds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    pub format: u32,
    pub offer: Uuid,
    pub opens_ms: i64,
    pub closes_ms: i64,
    pub policy: Policy,
    /// How long a newcomer's hold lasts.
    pub hold_s: u32,
    /// Whether who finds nothing free waits, or is refused.
    pub waitlist: bool,
    /// How long a hold lasts that came from the line or from the organiser's hand.
    pub waitlist_hold_s: u32,
    /// Whether the line goes on after the close.
    pub line_after_close: bool,
    pub return_to: ReturnTo,
    pub confirm: ConfirmMode,
    /// Most open claims one person can have.
    pub per_person: u32,
    /// Most units of one pool in one want.
    pub units_max: u32,
    pub paying_max_s: u32,
    pub refusals_logged_max: u64,
    pub eligibility: Eligibility,
    /// Sorted by code.
    pub pools: Vec<PoolRule>,
    /// How many pools of each group a want names. A group that is not listed cannot be asked for.
    pub want: Vec<WantRule>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    FirstCome,
}

/// Who gets units that were returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnTo {
    /// The line, first in it first; a newcomer never takes what somebody waiting could have.
    Line,
    /// Whoever clicks next, newcomer or waiting.
    Pool,
}

/// When a place becomes final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfirmMode {
    /// A place is held first and confirmed by a later step.
    Later,
    /// What would be held is confirmed.
    AtOnce,
}

/// Who may claim; checked before the queue, so the log cannot show it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eligibility {
    pub account_before_ms: Option<i64>,
    pub verified: Verified,
    pub age_min: Option<u32>,
    pub age_max: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verified {
    None,
    Email,
    Phone,
    Identity,
}

/// One pool: `capacity` units, of which `held_back` are for the organiser's hand.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolRule {
    pub code: PoolCode,
    pub label: String,
    pub group: String,
    pub capacity: u32,
    pub held_back: u32,
}

/// A want names `min` to `max` pools of this group.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantRule {
    pub group: String,
    pub min: u32,
    pub max: u32,
}

/// Why the rules do not allow a want.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WantError {
    #[error("there is no pool {pool}")]
    UnknownPool { pool: PoolCode },
    #[error("at most {units_max} units of pool {pool}")]
    TooManyUnits { pool: PoolCode, units_max: u32 },
    #[error("at least {min} of group {group}")]
    TooFew { group: String, min: u32 },
    #[error("at most {max} of group {group}")]
    TooMany { group: String, max: u32 },
}

impl Rules {
    /// The bytes that are published and hashed: RFC 8785.
    pub fn canonical(&self) -> Vec<u8> {
        canonical::bytes(self)
    }

    /// SHA-256 of the canonical bytes: the rules' name in the log.
    pub fn sha(&self) -> Hash {
        Rules::sha_of(&self.canonical())
    }

    /// SHA-256 of rules as they were served.
    pub fn sha_of(bytes: &[u8]) -> Hash {
        Sha256::digest(bytes).into()
    }

    /// Reads published rules; refuses what is not canonical, lacks a key or has one more, and rules
    /// that contradict themselves.
    pub fn parse(bytes: &[u8]) -> Result<Rules, FormatError> {
        let rules: Rules = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        // Missing keys of optional values and every other spelling show here.
        if rules.canonical() != bytes {
            return Err(wrong("not canonical JSON with all keys present"));
        }
        rules.validate()?;
        Ok(rules)
    }

    /// Whether the values make sense together.
    pub fn validate(&self) -> Result<(), FormatError> {
        let times = [Some(self.opens_ms), Some(self.closes_ms), self.eligibility.account_before_ms];
        let exact = |ms: i64| u64::try_from(ms).is_ok_and(|ms| ms <= INTEGER_MAX);
        let mut groups: Vec<_> = self.want.iter().map(|want| &want.group).collect();
        groups.sort_unstable();
        let checks = [
            (self.format == FORMAT, "the format is not 1"),
            (times.into_iter().flatten().all(exact), "a time is outside 0 to 2^53"),
            (self.opens_ms <= self.closes_ms, "closes before it opens"),
            (self.refusals_logged_max <= INTEGER_MAX, "refusals_logged_max is 2^53 or more"),
            (self.per_person >= 1, "per_person is zero"),
            (self.units_max >= 1, "units_max is zero"),
            ((1..=POOLS_MAX).contains(&self.pools.len()), "not 1 to 1,024 pools"),
            (self.pools.is_sorted_by(|a, b| a.code < b.code), "pools are not sorted by code or one is there twice"),
            (self.pools.iter().all(|pool| pool.held_back <= pool.capacity), "more held back than there is"),
            (!self.want.is_empty(), "no group can be asked for"),
            (groups.is_sorted_by(|a, b| a < b), "a group is there twice"),
            (self.want.iter().all(|want| want.min <= want.max && want.max >= 1), "a group's min is above its max"),
            (
                self.want.iter().map(|want| u64::from(want.min)).sum::<u64>() <= WANT_POOLS_MAX as u64,
                "no want can name that many pools",
            ),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, why)) => Err(wrong(why)),
            None => Ok(()),
        }
    }

    /// Whether a want can be asked for at all: its pools exist, each group is named within its
    /// bounds, no pool is asked for more than `units_max`.
    pub fn check_want(&self, want: &Want) -> Result<(), WantError> {
        for (pool, units) in want.units() {
            self.pool(pool).ok_or(WantError::UnknownPool { pool: *pool })?;
            if *units > self.units_max {
                let units_max = self.units_max;
                return Err(WantError::TooManyUnits { pool: *pool, units_max });
            }
        }
        let groups = || want.units().iter().filter_map(|(pool, _)| Some(&self.pool(pool)?.group));
        if let Some(group) = groups().find(|group| !self.want.iter().any(|rule| rule.group == **group)) {
            return Err(WantError::TooMany { group: group.clone(), max: 0 });
        }
        for WantRule { group, min, max } in &self.want {
            let named = groups().filter(|other| *other == group).count() as u32;
            if named < *min {
                return Err(WantError::TooFew { group: group.clone(), min: *min });
            }
            if named > *max {
                return Err(WantError::TooMany { group: group.clone(), max: *max });
            }
        }
        Ok(())
    }

    /// The pool of this code.
    pub fn pool(&self, code: &PoolCode) -> Option<&PoolRule> {
        let at = self.pools.binary_search_by(|pool| pool.code.cmp(code)).ok()?;
        self.pools.get(at)
    }
}

fn wrong(why: impl Into<String>) -> FormatError {
    FormatError::new("rules", why)
}
