//! The server loop: HTTP/1.1 on a socket, slow clients cut off, answers under way finished at shutdown.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::Service;

/// A crowd that connects in the same instant waits here instead of being refused.
const BACKLOG: u32 = 4_096;
/// Slow headers would hold a connection for nothing.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that reads nothing for so long has gone, whatever its socket says.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Beyond this the next ones wait in the backlog: the files of the databases need descriptors too.
const CONNECTIONS_MAX: usize = 16_384;
/// What is under way at shutdown gets so long.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Told to a request's handler: when the server stops, answers that never end by themselves end.
#[derive(Clone, Default)]
pub struct Stopping(Arc<CancellationToken>);

impl Stopping {
    /// Waits for the stop; for ever where no server serves, as inside a process.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Stopping {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// Serves until `stop` is cancelled. Handlers see the peer as `ConnectInfo<SocketAddr>`.
pub async fn serve(listener: TcpListener, app: Router, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let stopping = Stopping(Arc::new(stop.clone()));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).pipeline_flush(true);
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(connection) => connection,
            Err(error) => {
                // Out of file descriptors, most likely: wait for some to come free.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Why: without it small answers wait for the peer's delayed acknowledgement.
        stream.set_nodelay(true).ok();
        let (app, stopping) = (app.clone(), stopping.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(stopping.clone());
            request.extensions_mut().insert(ConnectInfo(peer));
            app.clone().call(request)
        });
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_TIMEOUT));
        let connection = graceful.watch(http.serve_connection(TokioIo::new(Box::pin(stream)), service));
        tokio::spawn(async move {
            // A client that went away is its own affair.
            connection.await.ok();
            drop(place);
        });
    }
    tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.ok();
}
