//! A server for one rehearsal: this very program in a temporary directory, with an administrator, gone afterwards.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use axum::http::Method;
use reqwest::Url;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::crowd::login;
use crate::socket::Reach;

const DB_URL: &str = "MADANG__DB__URL";
const USERNAME: &str = "rehearsal";
const READY_MAX: Duration = Duration::from_secs(60);
/// Longer than the yard lets its last answers take.
const STOP_MAX: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// A yard that exists for one rehearsal.
pub struct ThrowAway {
    pub url: Url,
    /// The access token of its administrator.
    pub token: String,
    child: Child,
    data: TempDir,
    database: Option<Database>,
}

/// A database made for it on the server that the environment names.
struct Database {
    server: Url,
    name: String,
}

impl ThrowAway {
    /// Starts it and waits until it is ready.
    pub async fn start() -> Result<ThrowAway> {
        let data = tempfile::Builder::new().prefix("madang-rehearsal-").tempdir()?;
        let database = match std::env::var(DB_URL) {
            Ok(server) if !server.is_empty() => Some(Database::create(&server).await?),
            _ => None,
        };
        let mut command = Command::new(std::env::current_exe().context("this program has no path")?);
        command.args(["serve", "--bind", "127.0.0.1", "--port", "0", "--data-dir"]).arg(data.path());
        if let Some(database) = &database {
            command.env(DB_URL, database.address());
        }
        end_with_this_process(&mut command);
        let log = std::fs::File::create(log_of(&data))?;
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true).spawn()?;
        let started = match prepare(&mut child, &data).await {
            Ok((url, token)) => Ok((url, token)),
            Err(error) => {
                let text = std::fs::read_to_string(log_of(&data)).unwrap_or_default();
                let last: Vec<&str> = text.lines().rev().take(3).collect();
                Err(error.context(format!("its last lines, latest first: {last:#?}")))
            }
        };
        match started {
            Ok((url, token)) => Ok(ThrowAway { url, token, child, data, database }),
            Err(error) => {
                child.kill().await.ok();
                if let Some(database) = database {
                    database.drop().await?;
                }
                Err(error)
            }
        }
    }

    /// Ends the process as an operator would, and removes what it left.
    pub async fn stop(mut self) -> Result<()> {
        let ended = self.end().await;
        if let Some(database) = self.database {
            database.drop().await?;
        }
        self.data.close().context("the rehearsal's directory cannot be removed")?;
        ended
    }

    async fn end(&mut self) -> Result<()> {
        let id = self.child.id().context("the server of the rehearsal has ended by itself")?;
        // SAFETY: a plain system call; the child was not waited for yet, so that its id is still its own.
        let told = unsafe { libc::kill(libc::pid_t::try_from(id)?, libc::SIGTERM) };
        ensure!(told == 0, "the server of the rehearsal cannot be told to stop");
        match tokio::time::timeout(STOP_MAX, self.child.wait()).await {
            Ok(status) => ensure!(status?.success(), "the server of the rehearsal did not end well"),
            Err(_) => {
                self.child.kill().await.ok();
                bail!("the server of the rehearsal did not stop");
            }
        }
        Ok(())
    }
}

/// Whatever ends this process, also a kill -9, ends the server.
fn end_with_this_process(command: &mut Command) {
    #[cfg(target_os = "linux")]
    // SAFETY: between fork and exec only this system call is made, which allocates nothing.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

/// Where its log lies while it runs.
fn log_of(data: &TempDir) -> PathBuf {
    data.path().join("log")
}

/// Reads where it listens, makes the administrator and signs him in.
async fn prepare(child: &mut Child, data: &TempDir) -> Result<(Url, String)> {
    let out = child.stdout.take().context("the server has no output")?;
    let mut lines = BufReader::new(out).lines();
    let line = tokio::time::timeout(READY_MAX, lines.next_line()).await.context("the server does not start")??;
    let url = line.as_deref().and_then(|line| line.rsplit(' ').next()?.parse::<Url>().ok());
    let url = url.context("the server ended at once")?;
    let since = Instant::now();
    let client = reqwest::Client::new();
    while !matches!(client.get(url.join("/health/ready")?).send().await, Ok(answer) if answer.status().is_success()) {
        ensure!(since.elapsed() < READY_MAX, "the server does not get ready");
        tokio::time::sleep(POLL).await;
    }
    let password = uuid::Uuid::new_v4().to_string();
    let body = serde_json::json!({ "username": USERNAME, "password": password });
    Reach::Running(data.path().to_owned()).send(Method::POST, "/identity/admin", &body).await?;
    let token = login(&url, USERNAME, &password).await?;
    Ok((url, token))
}

impl Database {
    async fn create(server: &str) -> Result<Database> {
        let server: Url = server.parse().with_context(|| format!("{DB_URL} is not an address"))?;
        let database = Database { server, name: format!("rehearsal_{}", uuid::Uuid::now_v7().simple()) };
        database.command(format!("CREATE DATABASE {}", database.name)).await?;
        Ok(database)
    }

    fn address(&self) -> String {
        let mut url = self.server.clone();
        url.set_path(&self.name);
        url.into()
    }

    async fn drop(self) -> Result<()> {
        self.command(format!("DROP DATABASE {} WITH (FORCE)", self.name)).await
    }

    async fn command(&self, sql: String) -> Result<()> {
        let mut connection = PgConnection::connect(self.server.as_str()).await.context("PostgreSQL does not answer")?;
        // Invariant: the only name in it was made here.
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }
}
