//! Arrival times for an open loop, as spans from its start.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// How steeply a [`burst`] falls: half of all come in the first seventh of its time.
const BURST_STEEPNESS: f64 = 5.0;

/// No arrival is later than this, whatever rate is asked for.
const SPAN_MAX: Duration = Duration::from_secs(86_400);

/// `count` arrivals at equal distances, `per_s` of them a second.
pub fn evenly(count: usize, per_s: f64) -> Vec<Duration> {
    (0..count).map(|before| span(before as f64 / per_s)).collect()
}

/// `count` arrivals of people who know nothing of each other, `per_s` of them a second on average (a Poisson process).
pub fn poisson(count: usize, per_s: f64, seed: u64) -> Vec<Duration> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut at_s = 0.0;
    let mut next = || {
        at_s -= (1.0 - random.random::<f64>()).ln() / per_s;
        span(at_s)
    };
    (0..count).map(|_| next()).collect()
}

/// `count` arrivals at the opening of something scarce: most at once, ever fewer until `within` is over (an exponential
/// distribution, cut at its end).
pub fn burst(count: usize, within: Duration, seed: u64) -> Vec<Duration> {
    let mut random = StdRng::seed_from_u64(seed);
    let whole = 1.0 - (-BURST_STEEPNESS).exp();
    let mut next = || -(1.0 - random.random::<f64>() * whole).ln() / BURST_STEEPNESS;
    let mut arrivals: Vec<Duration> = (0..count).map(|_| span(within.as_secs_f64() * next())).collect();
    arrivals.sort_unstable();
    arrivals
}

/// Total: a rate of zero gives the longest span, not a panic.
fn span(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).map_or(SPAN_MAX, |span| span.min(SPAN_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_have_their_shapes() {
        let s = |arrivals: &[Duration]| arrivals.last().expect("an arrival").as_secs_f64();
        assert_eq!(evenly(3, 2.0), [0, 500, 1000].map(Duration::from_millis));
        assert_eq!(evenly(2, 0.0)[1], Duration::from_secs(86_400));
        let poisson = poisson(10_000, 1000.0, 1);
        assert!(poisson.is_sorted() && (9.0..11.0).contains(&s(&poisson)));
        let burst = burst(10_000, Duration::from_secs(10), 1);
        assert!(burst.is_sorted() && s(&burst) <= 10.0 && s(&burst) > 9.0);
        assert!((1.2..1.6).contains(&burst[5_000].as_secs_f64()), "{:?}", burst[5_000]);
    }
}
