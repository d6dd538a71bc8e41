//! `<data>/madang.sock`: commands to a running yard, for whoever may open the file (mode 0600: its owner).
//!
//! The same routes answer without a running yard: the command line then takes the directory's lock, opens the yard
//! without listening, and calls the router itself.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::Value;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::config::Config;
use crate::directory::{DataDir, Taken, socket_of};
use crate::yard::Yard;

/// The system holds the path of a socket in 108 bytes.
const PATH_BYTES_MAX: usize = 100;
/// A yard that has its lock opens its socket within this time.
const START_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// Opens the directory's socket. What lies there is stale: the lock is ours.
pub fn bind(dir: &DataDir) -> Result<UnixListener> {
    // Why made elsewhere and moved: between `bind` and the change of its mode anybody could open it.
    let nursery = dir.path().join(".socket");
    if nursery.exists() {
        std::fs::remove_dir_all(&nursery)?;
    }
    DirBuilder::new().mode(0o700).create(&nursery)?;
    let (near, _directory) = near(&nursery, "new")?;
    let listener = UnixListener::bind(near).with_context(|| format!("cannot open {}", dir.socket().display()))?;
    let made = nursery.join("new");
    std::fs::set_permissions(&made, PermissionsExt::from_mode(0o600))?;
    std::fs::rename(&made, dir.socket())?;
    std::fs::remove_dir(&nursery)?;
    Ok(listener)
}

/// Takes commands until `stop`.
pub async fn serve(listener: UnixListener, commands: Router, stop: CancellationToken) {
    let served = axum::serve(listener, commands).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "commands are no longer taken");
    }
}

/// How a command gets to the yard of a directory.
pub enum Reach {
    /// Another process runs it.
    Running(PathBuf),
    /// Nobody runs it: it is opened here, without listening.
    Here(Box<Yard>),
}

impl Reach {
    pub async fn open(data_dir: &Path, config: Config) -> Result<Reach> {
        match DataDir::take(data_dir)? {
            Taken::Mine(dir) => Ok(Reach::Here(Box::new(Yard::open(dir, config.quiet(), None).await?))),
            Taken::Others(_) => Ok(Reach::Running(data_dir.to_owned())),
        }
    }

    /// Sends a command; a refusal is an error that says what the yard said.
    pub async fn send<B: Serialize>(&self, method: Method, path: &str, body: &B) -> Result<Value> {
        let mut request = Request::new(Body::from(serde_json::to_vec(body)?));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse()?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static("madang"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static("en"));
        match self {
            Reach::Here(yard) => match yard.commands().oneshot(request).await {
                Ok(response) => read(response).await,
                Err(never) => match never {},
            },
            Reach::Running(data_dir) => {
                let stream = connect(data_dir).await?;
                let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
                let connection = tokio::spawn(connection);
                let answer = read(sender.send_request(request).await.context("the running yard did not answer")?).await;
                connection.abort();
                answer
            }
        }
    }

    /// Ends what was opened for the command.
    pub async fn close(self) {
        if let Reach::Here(yard) = self {
            yard.stop().await;
        }
    }
}

async fn connect(data_dir: &Path) -> Result<UnixStream> {
    let (near, _directory) = near(data_dir, "madang.sock")?;
    let since = Instant::now();
    loop {
        match UnixStream::connect(&near).await {
            Ok(stream) => return Ok(stream),
            // It has its lock, but is still starting.
            Err(_) if since.elapsed() < START_MAX => tokio::time::sleep(POLL).await,
            Err(error) => {
                let socket = socket_of(data_dir);
                return Err(error).with_context(|| {
                    format!("a madang runs on this directory, but {} does not answer", socket.display())
                });
            }
        }
    }
}

async fn read<B>(response: Response<B>) -> Result<Value>
where
    B: axum::body::HttpBody,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let status = response.status();
    let bytes = response.into_body().collect().await.context("the answer broke off")?.to_bytes();
    let value = if bytes.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&bytes).context("the answer cannot be read")?
    };
    if status.is_success() { Ok(value) } else { Err(refusal(status, &value)) }
}

/// A problem as one line for people.
fn refusal(status: StatusCode, problem: &Value) -> anyhow::Error {
    let text = |name: &str| problem[name].as_str();
    let mut line = text("title").map_or_else(|| format!("the yard answered {status}"), str::to_owned);
    if let Some(detail) = text("detail") {
        line.push_str(": ");
        line.push_str(detail);
    }
    for error in problem["errors"].as_array().into_iter().flatten() {
        let part = |name: &str| error[name].as_str().unwrap_or_default();
        line.push_str(&format!("; {}: {}", part("field"), part("message")));
    }
    match text("code") {
        Some(code) => anyhow!("{line} ({code})"),
        None => anyhow!(line),
    }
}

/// A path to `name` in `directory` that is short enough for a socket, with what must stay open meanwhile.
fn near(directory: &Path, name: &str) -> Result<(PathBuf, Option<std::fs::File>)> {
    let path = directory.join(name);
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return Ok((path, None));
    }
    use std::os::fd::AsRawFd;
    let open = std::fs::File::open(directory).with_context(|| format!("cannot open {}", directory.display()))?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}/{name}", open.as_raw_fd())), Some(open)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_opens_anew_however_long_its_path_is() {
        let parent = tempfile::tempdir().expect("a directory");
        let path = parent.path().join("d".repeat(120));
        let dir = DataDir::take_or_refuse(&path).expect("taken");
        for _ in 0..2 {
            let listener = bind(&dir).expect("a socket, also over a stale one");
            let mode = std::fs::metadata(dir.socket()).expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let routes = Router::new().route("/echo", axum::routing::post(|body: String| async move { body }));
            let stop = CancellationToken::new();
            let served = tokio::spawn(serve(listener, routes, stop.clone()));
            let answer = Reach::Running(path.clone()).send(Method::POST, "/echo", &"hello").await.expect("an answer");
            assert_eq!(answer, "hello");
            stop.cancel();
            served.await.expect("ended");
        }
    }

    #[test]
    fn a_refusal_is_one_readable_line() {
        let problem = serde_json::json!({
            "title": "Some fields are not right", "code": "http/invalid",
            "errors": [{ "field": "username", "code": "pattern", "message": "4 to 20 letters" }],
        });
        let line = refusal(StatusCode::UNPROCESSABLE_ENTITY, &problem).to_string();
        assert_eq!(line, "Some fields are not right; username: 4 to 20 letters (http/invalid)");
        let bare = refusal(StatusCode::NOT_FOUND, &Value::Null).to_string();
        assert!(bare.contains("404"), "{bare}");
    }
}
