//! A very cheap HTTP/1.1 client that measures a server standing on the same cores.
//!
//! Requests are bytes made up front, so that the hot loop writes, reads and parses and does nothing else: no lock, no
//! allocation, one send and one receive per request. Two shapes of load:
//!
//! - [`closed_loop`]: every connection sends its next request when it has the answer to its last one. Says how much the
//!   server can do.
//! - [`open_loop`]: every request has the time at which it is due, whatever the server does meanwhile, and its latency
//!   counts from that time (free of coordinated omission). Says what a person would feel.
//!
//! Both end when every request is answered or given up, and tell in the [`Summary`] what became of each of them.
//! Nothing here panics because of what a server sends.

mod arrivals;
mod connection;
mod queue;
mod request;
mod response;
mod retry;
mod summary;
#[cfg(test)]
mod tests;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use arrivals::{burst, evenly, poisson};
pub use request::Request;
pub use retry::Retry;
pub use summary::{Failure, Histogram, Summary};

use connection::Connection;
use queue::Queue;
use worker::{Tally, Worker};

/// Connections that are opened at the same time before a run. A server's accept queue often holds only 128.
const CONNECTS_AT_ONCE_MAX: usize = 64;

/// How the requests are carried.
#[derive(Clone, Debug)]
pub struct Options {
    /// Connections held at once, at least 1. The process needs a file descriptor for each.
    pub connections: usize,
    /// Longest time from the first byte sent to the last byte received; a connection that passes it is closed.
    pub timeout: Duration,
    /// Whether a refusal for overload is the last word (`None`) or is followed by another try.
    pub retry: Option<Retry>,
}

/// A final answer, as the callback sees it while it lies in the connection's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Place of the request in the list of requests, from 0.
    pub index: usize,
    /// The HTTP status.
    pub status: u16,
    /// The body, its chunks joined; content codings are left as they came.
    pub body: &'a [u8],
    /// From the sending of the first try ([`closed_loop`]) or from the due time ([`open_loop`]) to the last byte.
    pub latency: Duration,
    /// How often the request was sent, at least 1.
    pub tries: u32,
}

/// Sends all `requests` over `options.connections` connections, each of which takes the next request as soon as it has
/// its answer. `on_answer` is called for every final answer, from many threads.
///
/// Connections are opened before the clock starts.
pub async fn closed_loop<F>(addr: SocketAddr, options: &Options, requests: Arc<[Request]>, on_answer: F) -> Summary
where
    F: Fn(Answer<'_>) + Send + Sync + 'static,
{
    run(addr, options, requests, None, on_answer).await
}

/// Sends `requests[i]` at `arrivals[i]` after the start, over at most `options.connections` connections; the longer of
/// the two lists is cut to the shorter. Arrivals are put in order first. A request that found no free connection at its
/// due time is sent late, counted in [`Summary::overflow`], and its wait is part of its latency.
///
/// Timers tick in milliseconds: up to 2 ms of each latency is this client's own.
pub async fn open_loop<F>(
    addr: SocketAddr,
    options: &Options,
    requests: Arc<[Request]>,
    mut arrivals: Vec<Duration>,
    on_answer: F,
) -> Summary
where
    F: Fn(Answer<'_>) + Send + Sync + 'static,
{
    arrivals.sort_unstable();
    run(addr, options, requests, Some(arrivals), on_answer).await
}

async fn run<F>(
    addr: SocketAddr,
    options: &Options,
    requests: Arc<[Request]>,
    arrivals: Option<Vec<Duration>>,
    on_answer: F,
) -> Summary
where
    F: Fn(Answer<'_>) + Send + Sync + 'static,
{
    let jobs = arrivals.as_ref().map_or(requests.len(), |due| due.len().min(requests.len()));
    let connections = open(addr, options.connections.clamp(1, jobs.max(1))).await;
    let on_answer = Arc::new(on_answer);
    let start = Instant::now();
    let queue = Arc::new(Queue::new(start, jobs, arrivals));
    let mut workers = JoinSet::new();
    for connection in connections {
        let worker = Worker {
            connection,
            queue: queue.clone(),
            requests: requests.clone(),
            on_answer: on_answer.clone(),
            timeout: options.timeout,
            retry: options.retry,
        };
        workers.spawn(worker.run());
    }
    let mut tallies = Vec::with_capacity(workers.len());
    while let Some(ended) = workers.join_next().await {
        match ended {
            Ok(tally) => tallies.push(tally),
            // Why: a test's assertion inside `on_answer` must fail the test, not shorten its counts.
            Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
            Err(_) => {}
        }
    }
    Tally::sum(tallies, jobs, start.elapsed())
}

/// Opens the connections. One that cannot be opened is tried again, and counted, by its first request.
async fn open(addr: SocketAddr, connections: usize) -> Vec<Connection> {
    futures::stream::iter(0..connections)
        .map(|_| async move {
            let mut connection = Connection::new(addr);
            connection.open().await;
            connection
        })
        .buffer_unordered(CONNECTS_AT_ONCE_MAX)
        .collect()
        .await
}
