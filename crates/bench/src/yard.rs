//! A yard under test: a child process with a data directory and a database of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use server::load::{self, Options, Request};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::Args;
use crate::database::{Database, Place};

/// Longest start. Only a machine that is far too busy needs it.
const START_MAX: Duration = Duration::from_secs(60);
/// Longest stop; afterwards the process is killed.
const STOP_MAX: Duration = Duration::from_secs(30);
/// Distance between two looks whether the yard answers, which is the error of a start's measurement.
const POLL: Duration = Duration::from_millis(1);

pub const ADMIN: &str = "bench";

/// Files of one yard, which outlive its process.
pub struct Ground {
    program: PathBuf,
    /// Whether the program is this one, which is a yard when it is told so.
    own: bool,
    data: TempDir,
    place: Place,
    password: String,
}

/// A running process on a ground.
pub struct Yard {
    child: Child,
    pub addr: SocketAddr,
    /// From the start of the process to its first answer.
    pub started: Duration,
}

impl Ground {
    /// An empty one. It lies beside this program: `/tmp` may be memory, where a commit costs nothing.
    pub async fn new(args: &Args, database: &Database) -> Result<Ground> {
        let own = std::env::current_exe().context("this program has no path")?;
        let beside = own.parent().context("this program has no directory")?;
        let data = tempfile::Builder::new().prefix("bench-").tempdir_in(beside)?;
        let (program, own) = match &args.yard {
            Some(program) => (program.clone(), false),
            None => (own, true),
        };
        let place = database.create(data.path()).await?;
        Ok(Ground { program, own, data, place, password: uuid::Uuid::new_v4().to_string() })
    }

    /// Starts the yard and waits until it is ready.
    pub async fn start(&self) -> Result<Yard> {
        let addr = free_address()?;
        let port = addr.port().to_string();
        let mut command = self.command();
        command.args(["serve", "--bind", "127.0.0.1", "--port", &port, "--data-dir"]).arg(self.data.path());
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        command.stdout(log.try_clone()?).stderr(log).stdin(Stdio::null()).kill_on_drop(true);
        let begun = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        let mut yard = Yard { child, addr, started: Duration::ZERO };
        if let Err(error) = yard.ready(begun).await {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(5).collect();
            return Err(error.context(format!("its last lines, latest first: {lines:#?}")));
        }
        Ok(yard)
    }

    /// Makes an admin and gives his access token.
    pub async fn admin(&self, yard: &Yard) -> Result<String> {
        let mut command = self.command();
        command.args(["admin", "create", "--username", ADMIN, "--password", &self.password, "--data-dir"]);
        let made = command.arg(self.data.path()).kill_on_drop(true).output().await?;
        let said = String::from_utf8_lossy(&made.stderr);
        ensure!(made.status.success(), "`admin create` failed: {said}");
        yard.login(&self.password).await
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// Removes everything.
    pub async fn remove(self) -> Result<()> {
        self.place.remove().await?;
        self.data.close().context("the data directory cannot be removed")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // Only this bench's own settings count, not the ones of the shell it was started in.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MADANG__") {
                command.env_remove(name);
            }
        }
        let (name, value) = self.place.env();
        command.env(name, value);
        // Why: the first refusals of a million people are all to be logged, and more after them.
        command.env("MADANG__RACES__REFUSALS_LOGGED_MAX", "10000000");
        if self.own {
            command.arg("yard");
        }
        command
    }

    fn log(&self) -> PathBuf {
        self.data.path().join("bench-yard.log")
    }
}

impl Yard {
    pub fn host(&self) -> String {
        self.addr.to_string()
    }

    /// Ends the process as an operator would and waits for its end.
    pub async fn stop(mut self) -> Result<()> {
        let id = self.child.id().context("the yard has ended by itself")?;
        let id = libc::pid_t::try_from(id)?;
        // SAFETY: a plain system call; the child was not waited for yet, so that its id is still its own.
        ensure!(unsafe { libc::kill(id, libc::SIGTERM) } == 0, "the yard cannot be told to stop");
        match tokio::time::timeout(STOP_MAX, self.child.wait()).await {
            Ok(status) => ensure!(status?.success(), "the yard did not end well"),
            Err(_) => bail!("the yard did not stop within {STOP_MAX:?}"),
        }
        Ok(())
    }

    /// Resident memory in bytes.
    pub fn memory_bytes(&self) -> Result<u64> {
        let id = self.child.id().context("the yard has ended by itself")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(kib.context("the system does not tell the resident memory")? * 1024)
    }

    async fn ready(&mut self, begun: Instant) -> Result<()> {
        let probe: Arc<[Request]> = [Request::get(&self.host(), "/health/ready", None)?].into();
        let options = Options { connections: 1, timeout: Duration::from_secs(1), retry: None };
        loop {
            let answered = load::closed_loop(self.addr, &options, probe.clone(), |_| {}).await;
            self.started = begun.elapsed();
            if answered.count(200) == 1 {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the yard ended at once: {status}");
            }
            ensure!(self.started < START_MAX, "the yard was not ready within {START_MAX:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    async fn login(&self, password: &str) -> Result<String> {
        #[derive(serde::Deserialize)]
        struct Session {
            access_token: String,
        }
        let url = format!("http://{}/api/v1/auth/login", self.addr);
        let body = serde_json::json!({ "username": ADMIN, "password": password });
        let answer = reqwest::Client::new().post(url).json(&body).send().await?.error_for_status()?;
        Ok(answer.json::<Session>().await?.access_token)
    }
}

/// An address nobody listens on at the moment.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
