//! How often somebody may call: by person where he is signed in, by address where not.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::Method;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use kernel::UserId;

use crate::address::Origin;
use crate::config::Config;

/// What a request costs us, by method and path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A click for a place.
    Claim,
    /// Where a password is hashed or a token made.
    SignIn,
    General,
}

impl Class {
    pub fn of(method: &Method, path: &str) -> Self {
        match *method {
            Method::POST if path.ends_with("/registrations") => Self::Claim,
            Method::POST if matches!(path, "/api/v1/auth/login" | "/api/v1/auth/refresh" | "/api/v1/users") => {
                Self::SignIn
            }
            Method::PUT if path == "/api/v1/users/me/password" => Self::SignIn,
            _ => Self::General,
        }
    }
}

type Limiter<K, C> = RateLimiter<K, DashMapStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// The counters of this process. A key is forgotten as soon as its counter is as good as new, a few seconds after
/// its last request, so that memory follows the crowd.
pub(crate) struct Limits<C: Clock = DefaultClock> {
    clock: C,
    user: Limiter<UserId, C>,
    claims: Limiter<UserId, C>,
    address: Limiter<u128, C>,
    sign_in: Limiter<u128, C>,
}

impl Limits {
    pub fn new(config: &Config) -> Self {
        Self::with_clock(config, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Limits<C> {
    pub fn with_clock(config: &Config, clock: C) -> Self {
        Self {
            user: limiter(config.user_per_s, config.user_burst, &clock),
            claims: limiter(config.claims_per_s, config.claims_burst, &clock),
            address: limiter(config.address_per_s, config.address_burst, &clock),
            sign_in: limiter(config.sign_in_per_s, config.sign_in_burst, &clock),
            clock,
        }
    }

    /// Counts a request; `Err` says how long to wait. `user` is whose token was presented, if it was one of ours.
    pub fn count(&self, class: Class, user: Option<UserId>, origin: Origin) -> Result<(), Duration> {
        match (class, user) {
            (Class::Claim, Some(user)) => self.check(&self.claims, &user),
            (Class::General, Some(user)) => self.check(&self.user, &user),
            _ if origin.is_plain_loopback => Ok(()),
            (Class::SignIn, _) => self.check(&self.sign_in, &network(origin.address)),
            (_, None) => self.check(&self.address, &network(origin.address)),
        }
    }

    /// Forgets the keys whose counters are as good as new.
    pub fn forget(&self) {
        forget(&self.user);
        forget(&self.claims);
        forget(&self.address);
        forget(&self.sign_in);
    }

    /// How many people and addresses are being counted.
    pub fn len(&self) -> usize {
        self.user.len() + self.claims.len() + self.address.len() + self.sign_in.len()
    }

    fn check<K: Hash + Eq + Clone>(&self, limiter: &Limiter<K, C>, key: &K) -> Result<(), Duration> {
        limiter.check_key(key).map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

fn limiter<K: Hash + Eq + Clone, C: Clock + Clone>(per_s: NonZeroU32, burst: NonZeroU32, clock: &C) -> Limiter<K, C> {
    RateLimiter::dashmap_with_clock(Quota::per_second(per_s).allow_burst(burst), clock.clone())
}

fn forget<K: Hash + Eq + Clone, C: Clock>(limiter: &Limiter<K, C>) {
    limiter.retain_recent();
    limiter.shrink_to_fit();
}

/// The network that counts as one caller: an IPv4 address, or the /64 that an IPv6 host is given as a whole.
fn network(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() & !u128::from(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;
    use uuid::Uuid;

    use super::*;

    fn limits() -> (FakeRelativeClock, Limits<FakeRelativeClock>) {
        let defaults: toml::Table = crate::DEFAULTS.parse().expect("TOML");
        let config: Config = defaults["gateway"].clone().try_into().expect("the defaults are right");
        let clock = FakeRelativeClock::default();
        (clock.clone(), Limits::with_clock(&config, clock))
    }

    fn from(address: &str) -> Origin {
        Origin { address: address.parse().expect("an address"), is_plain_loopback: false }
    }

    const LOOPBACK: Origin = Origin { address: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), is_plain_loopback: true };

    fn user(number: u128) -> Option<UserId> {
        Some(UserId(Uuid::from_u128(number)))
    }

    /// How many requests get through at one instant, of at most 1,000.
    fn passed(limits: &Limits<FakeRelativeClock>, class: Class, user: Option<UserId>, origin: Origin) -> usize {
        (0..1_000).take_while(|_| limits.count(class, user, origin).is_ok()).count()
    }

    #[test]
    fn a_class_follows_from_method_and_path() {
        let race = "/api/v1/races/0190b2a4-0000-7000-8000-000000000000/registrations";
        assert_eq!(Class::of(&Method::POST, race), Class::Claim);
        assert_eq!(Class::of(&Method::GET, race), Class::General);
        for path in ["/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/users"] {
            assert_eq!(Class::of(&Method::POST, path), Class::SignIn);
        }
        assert_eq!(Class::of(&Method::PUT, "/api/v1/users/me/password"), Class::SignIn);
        assert_eq!(Class::of(&Method::GET, "/api/v1/users"), Class::General);
        assert_eq!(Class::of(&Method::POST, "/api/v1/auth/logout"), Class::General);
    }

    #[test]
    fn people_are_counted_each_for_himself() {
        let (clock, limits) = limits();
        assert_eq!(passed(&limits, Class::General, user(1), LOOPBACK), 400);
        assert_eq!(passed(&limits, Class::General, user(2), LOOPBACK), 400);
        assert_eq!(passed(&limits, Class::Claim, user(1), LOOPBACK), 50, "claims are counted apart");
        clock.advance(Duration::from_secs(1));
        assert_eq!(passed(&limits, Class::General, user(1), LOOPBACK), 200);
        assert_eq!(passed(&limits, Class::Claim, user(1), LOOPBACK), 20);
        let wait = limits.count(Class::Claim, user(1), LOOPBACK).expect_err("the limit is reached");
        assert_eq!(wait, Duration::from_millis(50));
    }

    #[test]
    fn who_is_not_signed_in_is_counted_by_address() {
        let (clock, limits) = limits();
        assert_eq!(passed(&limits, Class::General, None, from("192.0.2.1")), 300);
        assert_eq!(passed(&limits, Class::Claim, None, from("192.0.2.1")), 0, "no class is a way around");
        assert_eq!(passed(&limits, Class::General, None, from("192.0.2.2")), 300);
        assert_eq!(passed(&limits, Class::SignIn, None, from("192.0.2.1")), 20);
        assert_eq!(passed(&limits, Class::SignIn, user(1), from("192.0.2.1")), 0, "a token is no way around");
        clock.advance(Duration::from_secs(1));
        assert_eq!(passed(&limits, Class::General, None, from("192.0.2.1")), 100);
        assert_eq!(passed(&limits, Class::SignIn, None, from("192.0.2.1")), 5);
    }

    #[test]
    fn an_ipv6_host_is_its_whole_network() {
        let (_, limits) = limits();
        assert_eq!(passed(&limits, Class::General, None, from("2001:db8:0:1::1")), 300);
        assert_eq!(passed(&limits, Class::General, None, from("2001:db8:0:1:ffff::2")), 0);
        assert_eq!(passed(&limits, Class::General, None, from("2001:db8:0:2::1")), 300);
    }

    #[test]
    fn plain_loopback_has_no_address_limit() {
        let (_, limits) = limits();
        assert_eq!(passed(&limits, Class::General, None, LOOPBACK), 1_000);
        assert_eq!(passed(&limits, Class::SignIn, None, LOOPBACK), 1_000);
        assert_eq!(passed(&limits, Class::SignIn, None, from("127.0.0.1")), 20, "a forwarded one is not plain");
    }

    #[test]
    fn counters_that_are_as_good_as_new_are_forgotten() {
        let (clock, limits) = limits();
        for number in 0..1_000 {
            assert!(limits.count(Class::General, user(number), LOOPBACK).is_ok());
        }
        passed(&limits, Class::SignIn, None, from("192.0.2.1"));
        assert_eq!(limits.len(), 1_001);
        clock.advance(Duration::from_secs(1));
        limits.forget();
        assert_eq!(limits.len(), 1, "who is still short of requests stays counted");
        clock.advance(Duration::from_secs(10));
        limits.forget();
        assert_eq!(limits.len(), 0);
    }
}
