//! The client against servers of every temper.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 21\r\n\r\n{\"retry_after_ms\":50}";

fn options(connections: usize) -> Options {
    Options { connections, timeout: Duration::from_secs(10), retry: None }
}

fn requests(count: usize) -> Arc<[Request]> {
    (0..count)
        .map(|i| Request::post("yard", &format!("/{i}"), Some("t"), &json!({"i": i})).expect("a request"))
        .collect()
}

/// A server that hands each connection, with its number from 0, to `talk`.
async fn serve<T>(talk: impl Fn(TcpStream, usize) -> T + Send + 'static) -> SocketAddr
where
    T: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((stream, _)) = listener.accept().await else {
                return;
            };
            tokio::spawn(talk(stream, number));
        }
    });
    addr
}

/// Reads one request; its head, or `None` when the client has gone.
async fn hear(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).expect("a head in ASCII");
            let length = head
                .split("content-length: ")
                .nth(1)
                .map_or(0, |rest| rest.lines().next().expect("a line").parse::<usize>().expect("a number"));
            if bytes.len() >= end + 4 + length {
                assert_eq!(bytes.len(), end + 4 + length, "no pipelining");
                return Some(head);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// A server that gives every request the same bytes.
async fn parrot(answer: &'static [u8]) -> SocketAddr {
    serve(move |mut stream, _| async move {
        while hear(&mut stream).await.is_some() {
            let _ = stream.write_all(answer).await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_sent_once_over_connections_that_are_kept() {
    let connections = Arc::new(AtomicUsize::new(0));
    let heads = Arc::new(Mutex::new(Vec::new()));
    let (counted, heard) = (connections.clone(), heads.clone());
    let addr = serve(move |mut stream, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        let heard = heard.clone();
        async move {
            while let Some(head) = hear(&mut stream).await {
                heard.lock().expect("a lock").push(head);
                stream.write_all(OK).await.expect("a client that listens");
            }
        }
    })
    .await;
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let seeing = seen.clone();
    let summary = closed_loop(addr, &options(4), requests(200), move |answer| {
        assert_eq!((answer.status, answer.body, answer.tries), (200, &b"ok"[..], 1));
        assert!(seeing.lock().expect("a lock").insert(answer.index), "an answer for each request");
    })
    .await;
    assert_eq!((summary.requests, summary.answered, summary.unanswered), (200, 200, 0));
    assert_eq!((summary.count(200), summary.histogram.len(), summary.errors.len()), (200, 200, 0));
    assert!(summary.rps > 0.0 && summary.elapsed >= summary.histogram.max());
    assert_eq!(*seen.lock().expect("a lock"), (0..200).collect::<BTreeSet<_>>());
    assert_eq!(connections.load(Ordering::Relaxed), 4);
    let heads = heads.lock().expect("a lock");
    let paths: BTreeSet<_> = heads.iter().map(|head| head.lines().next().expect("a line").to_owned()).collect();
    assert_eq!(paths, (0..200).map(|i| format!("POST /{i} HTTP/1.1")).collect());
    assert!(
        heads
            .iter()
            .all(|head| head.contains("\r\nhost: yard\r\n") && head.contains("\r\nauthorization: Bearer t\r\n"))
    );
}

#[tokio::test]
async fn a_real_server_with_chunked_answers_is_understood() {
    use axum::body::{Body, Bytes};
    let parts = || futures::stream::iter(["one ", "two"].map(|part| Ok::<_, std::io::Error>(Bytes::from(part))));
    let router = axum::Router::new()
        .route("/chunked", axum::routing::get(move || async move { Body::from_stream(parts()) }))
        .route("/none", axum::routing::get(|| async { http::StatusCode::NO_CONTENT }));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    let get = |path| Request::get("yard", path, None).expect("a request");
    let whole = http::Request::head("http://yard/chunked").body("").expect("a request");
    let requests: Arc<[Request]> = [get("/chunked"), Request::from(&whole), get("/none"), get("/other")].into();
    let summary = closed_loop(addr, &options(1), requests, |answer| match answer.index {
        0 => assert_eq!((answer.status, answer.body), (200, &b"one two"[..])),
        1 => assert_eq!((answer.status, answer.body), (200, &b""[..])),
        2 => assert_eq!((answer.status, answer.body), (204, &b""[..])),
        _ => assert_eq!(answer.status, 404),
    })
    .await;
    assert_eq!(summary.answered, 4);
}

#[tokio::test]
async fn a_server_that_closes_after_three_answers_is_followed() {
    for said in
        [&b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"[..], &b"HTTP/1.0 200 OK\r\n\r\nok"[..]]
    {
        let addr = serve(move |mut stream, _| async move {
            for answer in [OK, OK, said] {
                if hear(&mut stream).await.is_none() {
                    return;
                }
                stream.write_all(answer).await.expect("a client that listens");
            }
        })
        .await;
        let summary = closed_loop(addr, &options(2), requests(20), |answer| assert_eq!(answer.body, b"ok")).await;
        assert_eq!((summary.answered, summary.errors.len()), (20, 0));
    }
}

#[tokio::test]
async fn a_connection_that_breaks_without_a_word_is_counted_or_tried_again() {
    let addr = serve(|mut stream, number| async move {
        while hear(&mut stream).await.is_some() {
            // The first connection breaks in the middle of its second answer.
            let _ = stream.write_all(OK).await;
            if number == 0 && hear(&mut stream).await.is_some() {
                let _ = stream.write_all(&OK[..30]).await;
                return;
            }
        }
    });
    let addr = addr.await;
    let summary = closed_loop(addr, &options(1), requests(5), |_| {}).await;
    assert_eq!((summary.answered, summary.unanswered), (4, 1));
    assert_eq!(summary.errors, [(Failure::Closed, 1)].into());

    let breaks = serve(|mut stream, number| async move {
        while hear(&mut stream).await.is_some() && number > 0 {
            let _ = stream.write_all(OK).await;
        }
    })
    .await;
    let patient = Options { retry: Some(Retry { patience: Duration::from_secs(10) }), ..options(1) };
    let tries = Arc::new(Mutex::new(Vec::new()));
    let trying = tries.clone();
    let summary = closed_loop(breaks, &patient, requests(5), move |answer| {
        trying.lock().expect("a lock").push((answer.index, answer.tries));
    })
    .await;
    assert_eq!((summary.answered, summary.retries), (5, 1));
    assert!(tries.lock().expect("a lock").contains(&(0, 2)));
}

#[tokio::test]
async fn a_server_that_stalls_is_left_in_time() {
    let addr = serve(|mut stream, number| async move {
        while hear(&mut stream).await.is_some() {
            let _ = stream.write_all(OK).await;
            if number == 0 {
                std::future::pending::<()>().await;
            }
        }
    })
    .await;
    let hasty = Options { timeout: Duration::from_millis(500), ..options(1) };
    let summary = closed_loop(addr, &hasty, requests(10), |_| {}).await;
    assert_eq!((summary.answered, summary.errors), (9, [(Failure::TimedOut, 1)].into()));
    assert!(summary.elapsed >= Duration::from_millis(500));
}

#[tokio::test]
async fn nobody_at_home_is_an_error_for_each() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("an address");
    drop(listener);
    let summary = closed_loop(addr, &options(3), requests(10), |_| panic!("no answer")).await;
    assert_eq!((summary.answered, summary.unanswered, summary.rps), (0, 10, 0.0));
    assert_eq!(summary.errors, [(Failure::Connect, 10)].into());
}

#[tokio::test]
async fn what_is_not_http_is_named() {
    let odd: [(&'static [u8], Failure); 9] = [
        (b"220 mail.example ESMTP\r\n\r\n", Failure::Garbled),
        (b"HTTP/1.1 2\xff0 OK\r\n\r\n", Failure::Garbled),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", Failure::Garbled),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nok", Failure::Garbled),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n", Failure::Garbled),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n", Failure::TooLong),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffff\r\n", Failure::TooLong),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nokay\r\n", Failure::Garbled),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", Failure::Garbled),
    ];
    for (answer, failure) in odd {
        let summary = closed_loop(parrot(answer).await, &options(1), requests(3), |_| {}).await;
        assert_eq!(summary.errors, [(failure, 3)].into(), "{}", answer.escape_ascii());
    }
    let endless = serve(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await;
        while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
    })
    .await;
    let summary = closed_loop(endless, &options(1), requests(1), |_| {}).await;
    assert_eq!(summary.errors, [(Failure::TooLong, 1)].into());
}

#[tokio::test]
async fn bytes_after_an_answer_end_the_connection_but_not_the_run() {
    let addr =
        parrot(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 500 Lie\r\ncontent-length: 0\r\n\r\n").await;
    let summary = closed_loop(addr, &options(2), requests(10), |_| {}).await;
    assert_eq!(summary.by_status, [(200, 10)].into());
}

#[tokio::test]
async fn interim_answers_are_skipped() {
    let addr = parrot(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let summary = closed_loop(addr, &options(1), requests(3), |answer| assert_eq!(answer.body, b"ok")).await;
    assert_eq!(summary.by_status, [(200, 3)].into());
}

#[tokio::test]
async fn who_is_told_to_come_back_comes_back_and_not_before() {
    let addr = serve(|mut stream, _| async move {
        for answer in [BUSY, BUSY, OK, OK] {
            if hear(&mut stream).await.is_some() {
                let _ = stream.write_all(answer).await;
            }
        }
    })
    .await;
    let patient = Options { retry: Some(Retry { patience: Duration::from_secs(10) }), ..options(1) };
    let summary = closed_loop(addr, &patient, requests(2), |answer| {
        assert_eq!((answer.status, answer.tries), (200, 2));
        assert!(answer.latency >= Duration::from_millis(50), "the wait is part of it");
    })
    .await;
    assert_eq!((summary.retries, summary.by_status), (2, [(200, 2)].into()));
    // The body's 50 ms are kept to, not the header's whole second.
    assert!(summary.elapsed < Duration::from_secs(1), "{:?}", summary.elapsed);
}

#[tokio::test]
async fn patience_ends() {
    let patient = Options { retry: Some(Retry { patience: Duration::from_secs(1) }), ..options(2) };
    let summary = closed_loop(parrot(BUSY).await, &patient, requests(4), |answer| assert!(answer.tries > 1)).await;
    assert_eq!((summary.by_status, summary.unanswered), ([(503, 4)].into(), 0));
    assert!((4..=80).contains(&summary.retries), "{}", summary.retries);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_loop_keeps_its_times_and_counts_latency_from_them() {
    let addr = parrot(OK).await;
    let summary = open_loop(addr, &options(8), requests(100), evenly(100, 500.0), |_| {}).await;
    assert_eq!((summary.answered, summary.unanswered), (100, 0));
    assert!(summary.elapsed >= Duration::from_millis(198), "the last is due at 198 ms: {:?}", summary.elapsed);

    // A server that takes 100 ms for its first answer, and one connection: the others wait their turn, and it shows.
    let slow = serve(|mut stream, _| async move {
        for number in 0.. {
            if hear(&mut stream).await.is_none() {
                return;
            }
            if number == 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let _ = stream.write_all(OK).await;
        }
    })
    .await;
    let summary = open_loop(slow, &options(1), requests(10), evenly(10, 1000.0), |_| {}).await;
    assert_eq!((summary.answered, summary.overflow), (10, 9));
    assert!(summary.histogram.quantile(0.1) >= Duration::from_millis(90), "{:?}", summary.histogram.quantile(0.1));
}

#[tokio::test]
async fn an_open_loop_ends_with_the_shorter_list() {
    let addr = parrot(OK).await;
    assert_eq!(open_loop(addr, &options(2), requests(5), vec![Duration::ZERO; 3], |_| {}).await.requests, 3);
    assert_eq!(open_loop(addr, &options(2), requests(3), vec![Duration::ZERO; 5], |_| {}).await.requests, 3);
    assert_eq!(closed_loop(addr, &options(0), requests(0), |_| {}).await.requests, 0);
}
