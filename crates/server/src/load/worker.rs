//! One connection's loop over the queue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Answer;
use super::connection::Connection;
use super::queue::{Job, Queue};
use super::request::Request;
use super::retry::Retry;
use super::summary::{Failure, Summary};

/// Takes jobs until there are none and sends each over its own connection.
pub(super) struct Worker<F> {
    pub connection: Connection,
    pub queue: Arc<Queue>,
    pub requests: Arc<[Request]>,
    pub on_answer: Arc<F>,
    pub timeout: Duration,
    pub retry: Option<Retry>,
}

/// What one worker saw. Latencies are kept as they are, four bytes each: a histogram per worker would fill the caches
/// that the server under test needs.
#[derive(Debug, Default)]
pub(super) struct Tally {
    latencies_us: Vec<u32>,
    by_status: BTreeMap<u16, u64>,
    errors: BTreeMap<Failure, u64>,
    retries: u64,
    overflow: u64,
}

impl<F: Fn(Answer<'_>)> Worker<F> {
    pub(super) async fn run(mut self) -> Tally {
        let mut tally = Tally::default();
        let mut free_since = None;
        while let Some(job) = self.queue.take() {
            if let Some(at) = job.at {
                // Invariant: jobs are taken in the order of their times, so that one taken by a connection which was
                // busy when it was due had no free one. A late timer or a late start of this task is not that.
                let was_busy = free_since.is_some_and(|since| since > at);
                if !was_busy {
                    sleep_until(at).await;
                } else if job.tried == 0 {
                    tally.overflow += 1;
                }
            }
            free_since = Some(self.send(job, &mut tally).await);
        }
        tally
    }

    /// Gives the time at which the exchange was over.
    async fn send(&mut self, job: Job, tally: &mut Tally) -> Instant {
        let sent = Instant::now();
        let since = job.since.unwrap_or(sent);
        let reply = self.connection.exchange(&self.requests[job.index], sent + self.timeout).await;
        let now = Instant::now();
        if let Err(failure) = &reply {
            *tally.errors.entry(*failure).or_default() += 1;
        }
        let again_at = self.retry.and_then(|retry| retry.again_at(reply.as_ref().ok(), since, now));
        if let Some(at) = again_at {
            tally.retries += 1;
            self.queue.put_back(job.index, at, since, job.tried + 1);
        } else if let Ok(reply) = reply {
            let latency = now - since;
            tally.latencies_us.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
            *tally.by_status.entry(reply.status).or_default() += 1;
            let answer =
                Answer { index: job.index, status: reply.status, body: reply.body, latency, tries: job.tried + 1 };
            (self.on_answer)(answer);
        }
        now
    }
}

impl Tally {
    /// What all workers of a run of `jobs` requests saw together.
    pub(super) fn sum(tallies: Vec<Tally>, jobs: usize, elapsed: Duration) -> Summary {
        let mut sum = Summary { requests: jobs as u64, elapsed, ..Summary::default() };
        for tally in tallies {
            sum.answered += tally.latencies_us.len() as u64;
            sum.retries += tally.retries;
            sum.overflow += tally.overflow;
            for latency_us in tally.latencies_us {
                sum.histogram.record(Duration::from_micros(latency_us.into()));
            }
            for (status, count) in tally.by_status {
                *sum.by_status.entry(status).or_default() += count;
            }
            for (failure, count) in tally.errors {
                *sum.errors.entry(failure).or_default() += count;
            }
        }
        sum.unanswered = sum.requests - sum.answered;
        sum.rps = if elapsed.is_zero() { 0.0 } else { sum.answered as f64 / elapsed.as_secs_f64() };
        sum
    }
}
