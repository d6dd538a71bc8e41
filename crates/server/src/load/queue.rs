//! Which request is sent next, and when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A try that a worker has taken and will send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub index: usize,
    /// When it is to be sent; `None`: at once.
    pub at: Option<Instant>,
    /// Since when its person waits: the due time of an open loop, the first sending otherwise (`None` until then).
    pub since: Option<Instant>,
    /// Tries before this one.
    pub tried: u32,
}

/// The jobs of one run. First tries are handed out in order by a counter; the lock is taken only while there are
/// further tries.
pub(super) struct Queue {
    start: Instant,
    jobs: usize,
    /// Due times from the start, in order; `None`: every job is due when a worker is free.
    arrivals: Option<Vec<Duration>>,
    next: AtomicUsize,
    again_len: AtomicUsize,
    again: Mutex<BinaryHeap<Reverse<Again>>>,
}

/// A further try: its time, index, since when its person waits, and tries before.
type Again = (Instant, usize, Instant, u32);

impl Queue {
    pub(super) fn new(start: Instant, jobs: usize, arrivals: Option<Vec<Duration>>) -> Queue {
        Queue {
            start,
            jobs,
            arrivals,
            next: AtomicUsize::new(0),
            again_len: AtomicUsize::new(0),
            again: Mutex::default(),
        }
    }

    /// The next job: of the first tries and the further ones, the one that is due first. `None` when none is left; a
    /// job somebody is busy with may come back, and is then its own worker's to take.
    pub(super) fn take(&self) -> Option<Job> {
        if self.again_len.load(Ordering::Acquire) > 0
            && let Some(job) = self.take_again()
        {
            return Some(job);
        }
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        if index < self.jobs {
            let due = self.due(index);
            return Some(Job { index, at: due, since: due, tried: 0 });
        }
        // The first tries are out: from now on a worker waits for the earliest further try, if there is one.
        self.take_again()
    }

    /// Puts a job back to be tried again at `at`.
    pub(super) fn put_back(&self, index: usize, at: Instant, since: Instant, tried: u32) {
        let mut again = self.again();
        again.push(Reverse((at, index, since, tried)));
        self.again_len.store(again.len(), Ordering::Release);
    }

    /// The earliest further try, unless a first try is due before it.
    fn take_again(&self) -> Option<Job> {
        let mut again = self.again();
        let &Reverse((at, index, since, tried)) = again.peek()?;
        let next = self.next.load(Ordering::Relaxed);
        if next < self.jobs && self.due(next).unwrap_or_else(Instant::now) < at {
            return None;
        }
        again.pop();
        self.again_len.store(again.len(), Ordering::Release);
        Some(Job { index, at: Some(at), since: Some(since), tried })
    }

    fn due(&self, index: usize) -> Option<Instant> {
        self.arrivals.as_ref().map(|arrivals| self.start + arrivals[index])
    }

    fn again(&self) -> MutexGuard<'_, BinaryHeap<Reverse<Again>>> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn further_tries_come_in_the_order_of_their_times() {
        let (start, s) = (tokio::time::Instant::now(), Duration::from_secs);
        let queue = Queue::new(start, 3, Some(vec![s(1), s(3), s(5)]));
        let order = |queue: &Queue| queue.take().map(|job| (job.index, job.tried));
        assert_eq!(order(&queue), Some((0, 0)));
        queue.put_back(0, start + s(4), start + s(1), 1);
        assert_eq!(order(&queue), Some((1, 0)), "due before the further try");
        assert_eq!(order(&queue), Some((0, 1)), "due before the last first try");
        queue.put_back(0, start + s(9), start + s(1), 2);
        queue.put_back(1, start + s(8), start + s(3), 1);
        assert_eq!(order(&queue), Some((2, 0)));
        assert_eq!(order(&queue), Some((1, 1)));
        let last = queue.take().expect("one is left");
        assert_eq!((last.index, last.at, last.since), (0, Some(start + s(9)), Some(start + s(1))));
        assert_eq!(queue.take(), None);
    }
}
