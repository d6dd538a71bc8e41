//! Live pages: the last state of a thing, computed once per change for all who watch it, told as server-sent events.
//!
//! Who watches holds no database connection and no task of ours: one task per process looks for all watched things at
//! once, only while somebody watches. A slow reader misses states in between, never the last one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::db::DbError;

/// Between two looks: a watcher sees at most four states a second.
pub const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Proxies drop what is silent for long, and a peer that is gone shows only when it is written to.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");
/// Clients come back so soon after a stream broke off.
const HELLO: Bytes = Bytes::from_static(b"retry: 2000\n\n");

/// Reads the present state of these things, each given with the state that is known of it.
type Refresh<K, S> =
    dyn Fn(Vec<(K, Option<S>)>) -> BoxFuture<'static, Result<Vec<(K, S)>, DbError>> + Send + Sync + 'static;

/// The things that are watched in this process. Cheap to clone.
pub struct Live<K, S>(Arc<Shared<K, S>>);

impl<K, S> Clone for Live<K, S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Shared<K, S> {
    topics: Mutex<Topics<K, S>>,
    /// Somebody watches a thing that nobody did before.
    joined: Notify,
    refresh: Box<Refresh<K, S>>,
}

struct Topics<K, S> {
    by_key: HashMap<K, watch::Sender<Option<S>>>,
    is_looking: bool,
}

impl<K, S> Live<K, S>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    S: Clone + PartialEq + Send + Sync + 'static,
{
    /// `refresh` is asked each [`LOOK_EVERY`] for all that is watched, and at once for what is new.
    pub fn new<F>(refresh: F) -> Self
    where
        F: Fn(Vec<(K, Option<S>)>) -> BoxFuture<'static, Result<Vec<(K, S)>, DbError>> + Send + Sync + 'static,
    {
        let topics = Mutex::new(Topics { by_key: HashMap::new(), is_looking: false });
        Self(Arc::new(Shared { topics, joined: Notify::new(), refresh: Box::new(refresh) }))
    }

    /// Follows a thing; `None` until its state was read.
    pub fn watch(&self, key: K) -> watch::Receiver<Option<S>> {
        let mut topics = self.topics();
        let receiver = match topics.by_key.get(&key) {
            Some(sender) => sender.subscribe(),
            None => {
                let (sender, receiver) = watch::channel(None);
                topics.by_key.insert(key, sender);
                self.0.joined.notify_one();
                receiver
            }
        };
        if !topics.is_looking {
            topics.is_looking = true;
            tokio::spawn(self.clone().look());
        }
        receiver
    }

    fn topics(&self) -> MutexGuard<'_, Topics<K, S>> {
        self.0.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks until nobody watches.
    async fn look(self) {
        let mut next = Instant::now() + LOOK_EVERY;
        loop {
            let all = tokio::select! {
                () = tokio::time::sleep_until(next) => true,
                () = self.0.joined.notified() => false,
            };
            let Some(keys) = self.watched(all) else { return };
            if all {
                next = Instant::now() + LOOK_EVERY;
            }
            if keys.is_empty() {
                continue;
            }
            match (self.0.refresh)(keys).await {
                Ok(states) => self.tell(states),
                Err(error) => tracing::warn!(%error, "live states could not be read; trying again"),
            }
        }
    }

    /// What is watched, or only what has no state yet; `None` when there is nothing any more.
    fn watched(&self, all: bool) -> Option<Vec<(K, Option<S>)>> {
        let mut topics = self.topics();
        topics.by_key.retain(|_, sender| sender.receiver_count() > 0);
        if topics.by_key.is_empty() {
            topics.is_looking = false;
            return None;
        }
        let known = topics.by_key.iter().map(|(key, sender)| (key.clone(), sender.borrow().clone()));
        Some(known.filter(|(_, state)| all || state.is_none()).collect())
    }

    fn tell(&self, states: Vec<(K, S)>) {
        let topics = self.topics();
        for (key, state) in states {
            let Some(sender) = topics.by_key.get(&key) else { continue };
            sender.send_if_modified(|known| {
                let is_new = known.as_ref() != Some(&state);
                if is_new {
                    *known = Some(state);
                }
                is_new
            });
        }
    }
}

/// One server-sent event, as it goes over the wire.
pub fn event(name: &str, id: Option<&str>, data: &impl Serialize) -> Bytes {
    // JSON has no line breaks outside of its strings, and escapes them inside.
    let data = serde_json::to_string(data).unwrap_or_default();
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    Bytes::from(format!("event: {name}\n{id}data: {data}\n\n"))
}

/// The states of a watched thing as they come, the present one first.
pub fn states<S: Clone + Send + Sync + 'static>(receiver: watch::Receiver<Option<S>>) -> impl Stream<Item = S> + Send {
    stream::unfold((receiver, true), |(mut receiver, first)| async move {
        if !first {
            receiver.changed().await.ok()?;
        }
        let state = loop {
            if let Some(state) = receiver.borrow_and_update().clone() {
                break state;
            }
            receiver.changed().await.ok()?;
        };
        Some((state, (receiver, false)))
    })
}

/// Answers with these events until `end`, with a sign of life in between.
pub fn respond(
    name: &'static str,
    events: impl Stream<Item = Bytes> + Send + 'static,
    end: impl Future<Output = ()> + Send + 'static,
) -> Response {
    respond_with(name, HEARTBEAT_EVERY, events, end)
}

fn respond_with(
    name: &'static str,
    every: Duration,
    events: impl Stream<Item = Bytes> + Send + 'static,
    end: impl Future<Output = ()> + Send + 'static,
) -> Response {
    let mut beat = tokio::time::interval_at(Instant::now() + every, every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let open = Open { events: Box::pin(events), end: Box::pin(end), beat, _watcher: Watcher::new(name) };
    let frames = stream::once(std::future::ready(HELLO)).chain(stream::unfold(open, Open::next));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx would keep events until its buffer is full.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(frames.map(Ok::<_, Infallible>))).into_response()
}

struct Open {
    events: Pin<Box<dyn Stream<Item = Bytes> + Send>>,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    beat: Interval,
    _watcher: Watcher,
}

impl Open {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        let frame = tokio::select! {
            biased;
            () = &mut self.end => return None,
            event = self.events.next() => event?,
            _ = self.beat.tick() => HEARTBEAT,
        };
        Some((frame, self))
    }
}

/// Counts who is connected, for the metrics.
struct Watcher(&'static str);

impl Watcher {
    fn new(name: &'static str) -> Self {
        metrics::gauge!("madang_live_watchers", "stream" => name).increment(1);
        Self(name)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        metrics::gauge!("madang_live_watchers", "stream" => self.0).decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures::FutureExt;
    use http_body_util::BodyExt;

    use super::*;

    fn counting() -> (Live<u8, u64>, Arc<AtomicU64>, Arc<AtomicU64>) {
        let (value, looks) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(0)));
        let (read, counted) = (value.clone(), looks.clone());
        let live = Live::new(move |keys: Vec<(u8, Option<u64>)>| {
            counted.fetch_add(1, Ordering::SeqCst);
            let value = read.load(Ordering::SeqCst);
            async move { Ok(keys.into_iter().map(|(key, _)| (key, value)).collect()) }.boxed()
        });
        (live, value, looks)
    }

    #[tokio::test]
    async fn everybody_sees_the_last_state_of_one_look() {
        let (live, value, looks) = counting();
        let mut all: Vec<_> = (0..2_000).map(|_| Box::pin(states(live.watch(7)))).collect();
        for one in &mut all {
            assert_eq!(one.next().await, Some(1));
        }
        assert_eq!(looks.load(Ordering::SeqCst), 1, "the first state was read once for all");
        for next in 2..10 {
            value.store(next, Ordering::SeqCst);
        }
        for one in &mut all {
            assert_eq!(one.next().await, Some(9), "nothing in between, and the last");
        }
        assert_eq!(looks.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn nobody_looks_where_nobody_watches() {
        let (live, _, looks) = counting();
        let mut one = Box::pin(states(live.watch(7)));
        assert_eq!(one.next().await, Some(1));
        drop(one);
        tokio::time::sleep(LOOK_EVERY * 2).await;
        let before = looks.load(Ordering::SeqCst);
        tokio::time::sleep(LOOK_EVERY * 8).await;
        assert_eq!(looks.load(Ordering::SeqCst), before);
        assert_eq!(Box::pin(states(live.watch(7))).next().await, Some(1), "and again when somebody does");
    }

    #[tokio::test]
    async fn a_stream_shows_signs_of_life_and_ends_when_told() {
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let silent = stream::pending();
        let every = Duration::from_millis(20);
        let mut body = respond_with("test", every, silent, async move { drop(ended.await) }).into_body();
        let mut frame = async || body.frame().await.and_then(Result::ok).and_then(|frame| frame.into_data().ok());
        assert_eq!(frame().await, Some(HELLO));
        assert_eq!(frame().await, Some(HEARTBEAT));
        assert_eq!(frame().await, Some(HEARTBEAT));
        end.send(()).expect("it listens");
        assert_eq!(frame().await, None);
    }
}
