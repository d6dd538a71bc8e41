//! Slowing down who guesses passwords, by account and by address, in the memory of this process.
//!
//! Invariant: nobody is locked out for ever; each wait is bounded and a success clears an account. Unknown
//! usernames are counted like known ones, so a wait does not tell which exist.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use platform::http::Problem;

use crate::error;

/// So many failures cost nothing but themselves.
const FREE_FAILURES: u32 = 10;
/// Failures are forgotten after so long without a new one.
const WINDOW_MS: i64 = 15 * 60_000;
const WAIT_FIRST_MS: i64 = 1_000;
/// A longer wait would let a stranger keep an account's owner out.
const ACCOUNT_WAIT_MS_MAX: i64 = 60_000;
/// A carrier puts thousands behind one address; a longer wait would keep them all out.
const ADDRESS_WAIT_MS_MAX: i64 = 15_000;
/// More remembered names would let a flood of invented ones fill the memory.
const REMEMBERED_MAX: usize = 50_000;

/// Who failed how often. Cheap to clone.
#[derive(Clone, Default)]
pub struct SlowDown(Arc<Mutex<Tallies>>);

#[derive(Default)]
struct Tallies {
    accounts: HashMap<String, Tally>,
    addresses: HashMap<IpAddr, Tally>,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    failures: u32,
    /// Attempts whose outcome is not known yet; they count, or a thousand at once would all be free.
    open: u32,
    last_ms: i64,
    wait_until_ms: i64,
}

/// An attempt under way. Dropped without a word it counts as neither failed nor succeeded.
pub struct Attempt {
    tallies: SlowDown,
    account: String,
    address: Option<IpAddr>,
}

impl SlowDown {
    /// Begins an attempt, or says how long to wait. Loopback is not slowed down by address: proxies and the
    /// operator himself come from there.
    pub fn begin(&self, account: &str, address: Option<IpAddr>, now_ms: i64) -> Result<Attempt, Problem> {
        let address = address.map(network).filter(|address| !address.is_loopback());
        let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let account_wait_ms = tallies.accounts.get(account).map_or(0, |tally| tally.wait_ms(now_ms));
        let address_wait_ms =
            address.and_then(|address| tallies.addresses.get(&address)).map_or(0, |tally| tally.wait_ms(now_ms));
        let wait_ms = account_wait_ms.max(address_wait_ms);
        if wait_ms > 0 {
            return Err(Problem::new(&error::SLOW_DOWN).retry_after_ms(wait_ms.unsigned_abs()));
        }
        tally(&mut tallies.accounts, account.to_owned(), now_ms).open += 1;
        drop(tallies);
        Ok(Attempt { tallies: self.clone(), account: account.to_owned(), address })
    }

    fn with(&self, work: impl FnOnce(&mut Tallies)) {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Attempt {
    /// The password was wrong, or there is no such account.
    pub fn failed(self, now_ms: i64) {
        self.tallies.with(|tallies| {
            tally(&mut tallies.accounts, self.account.clone(), now_ms).fail(now_ms, ACCOUNT_WAIT_MS_MAX);
            if let Some(address) = self.address {
                tally(&mut tallies.addresses, address, now_ms).fail(now_ms, ADDRESS_WAIT_MS_MAX);
            }
        });
    }

    /// The password was right. The address keeps its failures: its next guess may be at another account.
    pub fn succeeded(self) {
        self.tallies.with(|tallies| {
            if let Some(tally) = tallies.accounts.get_mut(&self.account) {
                *tally = Tally { open: tally.open, ..Tally::default() };
            }
        });
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.tallies.with(|tallies| {
            if let Some(tally) = tallies.accounts.get_mut(&self.account) {
                tally.open = tally.open.saturating_sub(1);
                if tally.open == 0 && tally.failures == 0 {
                    tallies.accounts.remove(&self.account);
                }
            }
        });
    }
}

impl Tally {
    fn wait_ms(&self, now_ms: i64) -> i64 {
        let failures = if self.is_old(now_ms) { 0 } else { self.failures };
        if failures + self.open >= FREE_FAILURES && self.open > 0 {
            return WAIT_FIRST_MS.max(self.wait_until_ms - now_ms);
        }
        if failures == 0 { 0 } else { (self.wait_until_ms - now_ms).max(0) }
    }

    fn fail(&mut self, now_ms: i64, wait_ms_max: i64) {
        if self.is_old(now_ms) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.last_ms = now_ms;
        if let Some(beyond) = self.failures.checked_sub(FREE_FAILURES) {
            let wait_ms = WAIT_FIRST_MS << beyond.min(20);
            self.wait_until_ms = now_ms + wait_ms.min(wait_ms_max);
        }
    }

    fn is_old(&self, now_ms: i64) -> bool {
        now_ms - self.last_ms > WINDOW_MS
    }
}

/// The tally of a key, made where there is none; the least recent ones make room.
fn tally<K: Hash + Eq + Clone>(tallies: &mut HashMap<K, Tally>, key: K, now_ms: i64) -> &mut Tally {
    if tallies.len() >= REMEMBERED_MAX && !tallies.contains_key(&key) {
        tallies.retain(|_, tally| tally.open > 0 || !tally.is_old(now_ms));
        make_room(tallies);
    }
    tallies.entry(key).or_insert(Tally { last_ms: now_ms, ..Tally::default() })
}

/// Drops the least recent half of a full table: rare, so that each entry pays little for it.
fn make_room<K: Hash + Eq + Clone>(tallies: &mut HashMap<K, Tally>) {
    if tallies.len() < REMEMBERED_MAX {
        return;
    }
    let mut times: Vec<i64> = tallies.values().map(|tally| tally.last_ms).collect();
    let (_, median_ms, _) = times.select_nth_unstable(REMEMBERED_MAX / 2);
    let median_ms = *median_ms;
    let mut surplus = tallies.len() - REMEMBERED_MAX / 2;
    tallies.retain(|_, tally| {
        let drop = tally.open == 0 && tally.last_ms <= median_ms && surplus > 0;
        surplus -= usize::from(drop);
        !drop
    });
}

/// One subscriber of IPv6 has a /64, and would otherwise have as many addresses as he likes.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail_times(slow_down: &SlowDown, account: &str, address: &str, times: u32, now_ms: &mut i64) {
        for _ in 0..times {
            *now_ms += ACCOUNT_WAIT_MS_MAX + 1;
            let address = address.parse().ok();
            slow_down.begin(account, address, *now_ms).expect("may try").failed(*now_ms);
        }
    }

    fn wait_ms(slow_down: &SlowDown, account: &str, address: &str, now_ms: i64) -> Option<u64> {
        let begun = slow_down.begin(account, address.parse().ok(), now_ms);
        begun.err().map(|problem| problem.retry_after_ms.expect("a wait"))
    }

    #[test]
    fn ten_failures_are_free_and_then_the_wait_grows_to_its_bound() {
        let (slow_down, mut now_ms) = (SlowDown::default(), 1_000_000);
        for _ in 0..9 {
            slow_down.begin("haneul01", None, now_ms).expect("free").failed(now_ms);
        }
        slow_down.begin("haneul01", None, now_ms).expect("the tenth is free").failed(now_ms);
        let mut least_ms = Vec::new();
        for _ in 0..10 {
            let until = slow_down.0.lock().expect("lock").accounts["haneul01"].wait_until_ms;
            assert!(wait_ms(&slow_down, "haneul01", "", now_ms).is_some());
            least_ms.push(until - now_ms);
            now_ms = until;
            slow_down.begin("haneul01", None, now_ms).expect("waited").failed(now_ms);
        }
        assert_eq!(least_ms[..3], [1_000, 2_000, 4_000]);
        assert_eq!(least_ms.last(), Some(&ACCOUNT_WAIT_MS_MAX));
    }

    #[test]
    fn a_success_clears_the_account_and_not_the_address() {
        let (slow_down, mut now_ms) = (SlowDown::default(), 1_000_000);
        fail_times(&slow_down, "haneul01", "192.0.2.1", 10, &mut now_ms);
        assert!(wait_ms(&slow_down, "haneul01", "198.51.100.1", now_ms).is_some(), "the account waits from anywhere");
        assert!(wait_ms(&slow_down, "somebody", "192.0.2.1", now_ms).is_some(), "the address waits for anybody");
        now_ms += ADDRESS_WAIT_MS_MAX;
        slow_down.begin("haneul01", "192.0.2.1".parse().ok(), now_ms).expect("waited").succeeded();
        for _ in 0..9 {
            slow_down.begin("haneul01", None, now_ms).expect("free again").failed(now_ms);
        }
        slow_down.begin("another1", "192.0.2.1".parse().ok(), now_ms).expect("waited").failed(now_ms);
        assert!(wait_ms(&slow_down, "somebody", "192.0.2.1", now_ms).is_some());
    }

    #[test]
    fn many_at_once_do_not_slip_through() {
        let slow_down = SlowDown::default();
        let open: Vec<Attempt> = (0..10).map(|_| slow_down.begin("haneul01", None, 5).expect("free")).collect();
        assert!(wait_ms(&slow_down, "haneul01", "", 5).is_some());
        drop(open);
        assert_eq!(wait_ms(&slow_down, "haneul01", "", 5), None, "nothing failed, nothing is remembered");
        assert!(slow_down.0.lock().expect("lock").accounts.is_empty());
    }

    #[test]
    fn failures_are_forgotten_after_a_while() {
        let (slow_down, mut now_ms) = (SlowDown::default(), 1_000_000);
        fail_times(&slow_down, "haneul01", "", 9, &mut now_ms);
        now_ms += WINDOW_MS + 1;
        slow_down.begin("haneul01", None, now_ms).expect("free").failed(now_ms);
        assert_eq!(wait_ms(&slow_down, "haneul01", "", now_ms), None);
    }

    #[test]
    fn loopback_is_exempt_and_a_v6_subscriber_is_one() {
        let (slow_down, mut now_ms) = (SlowDown::default(), 1_000_000);
        for n in 0..20 {
            fail_times(&slow_down, &format!("local{n}"), "127.0.0.1", 1, &mut now_ms);
            slow_down
                .begin(&format!("near{n}"), "::ffff:127.0.0.1".parse().ok(), now_ms)
                .expect("exempt")
                .failed(now_ms);
        }
        assert_eq!(wait_ms(&slow_down, "other", "::1", now_ms), None);
        for n in 0..10 {
            let address = format!("2001:db8:1:2::{n:x}").parse().ok();
            slow_down.begin(&format!("six{n}"), address, now_ms).expect("free").failed(now_ms);
        }
        assert!(wait_ms(&slow_down, "other", "2001:db8:1:2:ffff::1", now_ms).is_some());
        assert_eq!(wait_ms(&slow_down, "other", "2001:db8:1:3::1", now_ms), None);
    }

    #[test]
    fn invented_names_do_not_fill_the_memory() {
        let slow_down = SlowDown::default();
        for n in 0..REMEMBERED_MAX + 1_000 {
            let now_ms = n as i64;
            slow_down.begin(&format!("name{n}"), None, now_ms).expect("free").failed(now_ms);
        }
        let tallies = slow_down.0.lock().expect("lock");
        assert!(tallies.accounts.len() <= REMEMBERED_MAX, "{}", tallies.accounts.len());
        assert!(tallies.accounts.contains_key(&format!("name{}", REMEMBERED_MAX + 999)), "the newest stay");
    }
}
