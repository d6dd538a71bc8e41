//! What a run saw.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// Longest latency told apart from longer ones: an hour.
const LATENCY_MAX_US: u64 = 3_600_000_000;

/// Why a try ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// No connection could be opened.
    Connect,
    /// The connection ended before the whole answer was there.
    Closed,
    /// The whole answer was not there in time.
    TimedOut,
    /// What came is not HTTP/1.1.
    Garbled,
    /// The answer is longer than a client should take.
    TooLong,
}

/// What became of the requests of one run.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Requests in the run.
    pub requests: u64,
    /// Requests with a final answer, whatever its status.
    pub answered: u64,
    /// Requests without one: `requests - answered`.
    pub unanswered: u64,
    /// Final answers by HTTP status.
    pub by_status: BTreeMap<u16, u64>,
    /// Tries without an answer, by reason; with a [`Retry`](super::Retry) an answer may have come later.
    pub errors: BTreeMap<Failure, u64>,
    /// Tries after the first.
    pub retries: u64,
    /// Requests of an open loop that found no free connection at their due time.
    pub overflow: u64,
    /// From the start to the last answer.
    pub elapsed: Duration,
    /// Final answers per second.
    pub rps: f64,
    /// Latencies of the final answers.
    pub histogram: Histogram,
}

impl Summary {
    /// Final answers with this status.
    pub fn count(&self, status: u16) -> u64 {
        self.by_status.get(&status).copied().unwrap_or(0)
    }
}

/// Latencies in classes of 0.1 % width, from 1 µs to an hour (HdrHistogram).
#[derive(Clone, Debug)]
pub struct Histogram(hdrhistogram::Histogram<u64>);

impl Default for Histogram {
    fn default() -> Histogram {
        #[expect(clippy::unwrap_used, reason = "constant bounds, within what the crate documents; covered by a test")]
        Histogram(hdrhistogram::Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).unwrap())
    }
}

impl Histogram {
    /// Counts one latency; one over an hour counts as an hour.
    pub fn record(&mut self, latency: Duration) {
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(latency_us);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Histogram) {
        // All histograms here have the same bounds, so that there is nothing to refuse.
        let _ = self.0.add(&other.0);
    }

    pub fn len(&self) -> u64 {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The latency which the share `quantile` (0 to 1) of all did not pass; zero if there are none.
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(quantile))
    }

    pub fn p50(&self) -> Duration {
        self.quantile(0.5)
    }

    pub fn p99(&self) -> Duration {
        self.quantile(0.99)
    }

    pub fn p999(&self) -> Duration {
        self.quantile(0.999)
    }

    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_add_up() {
        let mut sum = Histogram::default();
        assert!(sum.is_empty() && sum.max().is_zero());
        for part in [1..=500_u64, 501..=1000] {
            let mut histogram = Histogram::default();
            part.for_each(|ms| histogram.record(Duration::from_millis(ms)));
            sum.merge(&histogram);
        }
        let near = |is: Duration, ms: u64| is.abs_diff(Duration::from_millis(ms)) <= Duration::from_millis(1);
        assert_eq!(sum.len(), 1000);
        assert!(near(sum.p50(), 500) && near(sum.p99(), 990) && near(sum.p999(), 999) && near(sum.max(), 1000));
        sum.record(Duration::MAX);
        assert!(sum.max() >= Duration::from_secs(3600));
    }
}
