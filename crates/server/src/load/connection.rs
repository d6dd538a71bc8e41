//! One kept-alive connection.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::request::Request;
use super::response::{Body, Chunks, Head, RESPONSE_BYTES_MAX, head};
use super::summary::Failure;

/// Longest time the opening of a connection before a run may take.
const OPEN_MAX: Duration = Duration::from_secs(5);

/// Room kept free for the next read. An answer of the yard fits; a read that fills it is followed by another.
const READ_BYTES: usize = 4096;

/// An answer in the connection's buffers, until the next exchange.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    pub status: u16,
    pub retry_after_s: Option<u32>,
    pub body: &'a [u8],
}

/// A connection that opens itself when it is needed, and again after it was closed.
pub(super) struct Connection {
    link: Link,
    deadline: Deadline,
}

struct Link {
    addr: SocketAddr,
    stream: Option<TcpStream>,
    /// What has arrived, from the first byte of the answer on.
    arrived: Vec<u8>,
    /// A chunked body with its chunks joined.
    joined: Vec<u8>,
}

/// Where the body of an answer lies.
enum Place {
    Arrived(std::ops::Range<usize>),
    Joined,
}

impl Connection {
    pub(super) fn new(addr: SocketAddr) -> Connection {
        let link = Link { addr, stream: None, arrived: Vec::with_capacity(READ_BYTES), joined: Vec::new() };
        Connection { link, deadline: Deadline { sleep: None } }
    }

    /// Opens the connection ahead of its first request; failing that, the first request tries again.
    pub(super) async fn open(&mut self) {
        let opened = self.deadline.limit(Instant::now() + OPEN_MAX, connect(self.link.addr)).await;
        self.link.stream = opened.ok();
    }

    /// Sends `request` and reads its answer, both before `until`. After a failure the connection is closed.
    pub(super) async fn exchange(&mut self, request: &Request, until: Instant) -> Result<Reply<'_>, Failure> {
        match self.deadline.limit(until, self.link.exchange(request)).await {
            Ok((head, place)) => {
                let body = match place {
                    Place::Arrived(range) => &self.link.arrived[range],
                    Place::Joined => &self.link.joined,
                };
                Ok(Reply { status: head.status, retry_after_s: head.retry_after_s, body })
            }
            Err(failure) => {
                self.link.stream = None;
                Err(failure)
            }
        }
    }
}

impl Link {
    async fn exchange(&mut self, request: &Request) -> Result<(Head, Place), Failure> {
        self.drop_if_ended();
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(connect(self.addr).await?),
        };
        stream.write_all(&request.wire).await.map_err(|_| Failure::Closed)?;
        let head = self.read_head(request.head_only).await?;
        let (place, end) = self.read_body(&head).await?;
        // Bytes after the answer belong to no request: whatever they are, this connection is out of step.
        if !head.keep_alive || self.arrived.len() > end {
            self.stream = None;
        }
        Ok((head, place))
    }

    /// Forgets a connection which the server has closed since the last answer. Free of system calls while it is open:
    /// the runtime knows that nothing has come.
    fn drop_if_ended(&mut self) {
        let Some(stream) = &self.stream else { return };
        match stream.try_read(&mut [0]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => self.stream = None,
        }
    }

    /// Reads the head of the final answer; interim ones (1xx, RFC 9110 §15.2) are skipped.
    async fn read_head(&mut self, head_only: bool) -> Result<Head, Failure> {
        self.arrived.clear();
        loop {
            if !self.arrived.is_empty() {
                match head(&self.arrived, head_only)? {
                    Some(head) if head.status == 101 => return Err(Failure::Garbled),
                    Some(head) if head.status < 200 => {
                        self.arrived.drain(..head.bytes);
                        continue;
                    }
                    Some(head) => return Ok(head),
                    None => {}
                }
            }
            if self.more().await? == 0 {
                return Err(Failure::Closed);
            }
        }
    }

    /// Reads the body; gives where it lies and where the whole answer ends among the bytes that arrived.
    async fn read_body(&mut self, head: &Head) -> Result<(Place, usize), Failure> {
        match head.body {
            Body::Length(length) => {
                let end = head.bytes.checked_add(length).filter(|end| *end <= RESPONSE_BYTES_MAX);
                let end = end.ok_or(Failure::TooLong)?;
                while self.arrived.len() < end {
                    if self.more().await? == 0 {
                        return Err(Failure::Closed);
                    }
                }
                Ok((Place::Arrived(head.bytes..end), end))
            }
            Body::Chunked => {
                self.joined.clear();
                let mut chunks = Chunks::default();
                loop {
                    if let Some(length) = chunks.read(&self.arrived[head.bytes..], &mut self.joined)? {
                        return Ok((Place::Joined, head.bytes + length));
                    }
                    if self.more().await? == 0 {
                        return Err(Failure::Closed);
                    }
                }
            }
            Body::UntilClose => {
                while self.more().await? > 0 {}
                let end = self.arrived.len();
                Ok((Place::Arrived(head.bytes..end), end))
            }
        }
    }

    /// Reads what has come; 0 at the end of the connection.
    async fn more(&mut self) -> Result<usize, Failure> {
        if self.arrived.len() > RESPONSE_BYTES_MAX {
            return Err(Failure::TooLong);
        }
        self.arrived.reserve(READ_BYTES);
        let stream = self.stream.as_mut().ok_or(Failure::Closed)?;
        stream.read_buf(&mut self.arrived).await.map_err(|_| Failure::Closed)
    }
}

async fn connect(addr: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(addr).await.map_err(|_| Failure::Connect)?;
    // Why: a request is one write; waiting for a second one would only add latency.
    stream.set_nodelay(true).map_err(|_| Failure::Connect)?;
    Ok(stream)
}

/// A time limit that costs nothing while it holds.
///
/// Why: a timer per request would be set and cleared, under the runtime's lock, for every request. This one is left to
/// run, and looked at again only when it fires or when a deadline lies before it.
struct Deadline {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    async fn limit<T>(&mut self, until: Instant, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if sleep.deadline() > until {
            sleep.as_mut().reset(until);
        }
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            while sleep.as_mut().poll(context).is_ready() {
                if Instant::now() >= until {
                    return Poll::Ready(Err(Failure::TimedOut));
                }
                sleep.as_mut().reset(until);
            }
            Poll::Pending
        })
        .await
    }
}
