//! A connection to PostgreSQL that breaks exactly at a COMMIT.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The simple query with which the driver commits.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// What becomes of the next COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing special.
    No = 0,
    /// It never reaches the database.
    Before = 1,
    /// The database commits, its answer never comes.
    After = 2,
}

/// A proxy in front of a PostgreSQL server, for as long as it lives.
pub struct Proxy {
    /// Where it listens, `host:port`.
    pub authority: String,
    next: Arc<AtomicU8>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// `server` is a `postgres://` address.
    pub async fn start(server: &str) -> Proxy {
        let authority = server.split_once('@').unwrap().1.split('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().to_string();
        let next = Arc::new(AtomicU8::new(Cut::No as u8));
        let cut = next.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&authority).await.unwrap();
                tokio::spawn(carry(client, server, cut.clone()));
            }
        });
        Proxy { authority: own, next, accepting }
    }

    /// Breaks the connection at the next COMMIT.
    pub fn cut_next(&self, cut: Cut) {
        self.next.store(cut as u8, Ordering::SeqCst);
    }

    /// Was the cut made that was asked for?
    pub fn was_cut(&self) -> bool {
        self.next.load(Ordering::SeqCst) == Cut::No as u8
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Carries bytes both ways until one side ends or the cut comes. Dropping the halves closes both connections.
async fn carry(client: TcpStream, server: TcpStream, next: Arc<AtomicU8>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let back = tokio::spawn(answers(from_server, to_client, stopped));
    requests(from_client, to_server, &next, &stop).await;
    drop(stop);
    back.await.ok();
}

async fn requests(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    next: &AtomicU8,
    stop: &tokio::sync::watch::Sender<bool>,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = client.read(&mut bytes).await {
        if bytes[..count].ends_with(COMMIT) {
            match next.swap(Cut::No as u8, Ordering::SeqCst) {
                cut if cut == Cut::Before as u8 => return,
                cut if cut == Cut::After as u8 => {
                    stop.send(true).ok();
                    server.write_all(&bytes[..count]).await.ok();
                    // The database closes once it has done what it was sent, COMMIT included.
                    server.shutdown().await.ok();
                    return stop.closed().await;
                }
                _ => {}
            }
        }
        if server.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// Passes the answers on; once stopped it reads them to their end and keeps them.
async fn answers(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    mut stopped: tokio::sync::watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        tokio::select! {
            biased;
            changed = stopped.changed() => {
                if changed.is_ok() {
                    while let Ok(1..) = server.read(&mut bytes).await {}
                }
                return;
            }
            read = server.read(&mut bytes) => match read {
                Ok(count @ 1..) if client.write_all(&bytes[..count]).await.is_ok() => {}
                _ => return,
            },
        }
    }
}
