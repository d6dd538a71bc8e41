//! The built program as real processes, each stopped by its own id when the test ends, however it ends.

use std::ffi::OsStr;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Once, OnceLock};
use std::time::Duration;

use platform::db::DbOptions;
use reqwest::{Client, RequestBuilder, Url};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::site::Site;
use crate::support::wait::until_so;

/// Tests another build of the program than the one beside the tests.
const PROGRAM: &str = "MADANG_TEST_PROGRAM";
const PASSWORD: &str = "rain on Tuesday";
const SECRET: &str = "a secret of the tests' own, long enough";
/// Generous: the machine may be compiling.
const READY_MAX: Duration = Duration::from_secs(60);
/// Longer than the yard lets its last answers take.
const END_MAX: Duration = Duration::from_secs(60);

/// Where a process of a yard lives: its directory and its settings.
pub struct Home {
    data: PathBuf,
    settings: Vec<(String, String)>,
    _own: Option<TempDir>,
}

impl Home {
    /// A yard on this site's database; on PostgreSQL each home is one more process of the same yard.
    pub fn on(site: &Site) -> Home {
        match site.options() {
            DbOptions::Sqlite { dir } => Home::at(dir.join("data")),
            DbOptions::Postgres { url } => Home::on_postgres(url),
        }
    }

    pub fn on_postgres(url: &str) -> Home {
        Home::new().with("MADANG__DB__URL", url).with("MADANG__SECRET", SECRET)
    }

    /// A yard in a directory of its own, gone with it.
    pub fn new() -> Home {
        let own = TempDir::new().unwrap();
        let mut home = Home::at(own.path().join("data"));
        home._own = Some(own);
        home
    }

    fn at(data: PathBuf) -> Home {
        Home { data, settings: Vec::new(), _own: None }
    }

    /// The same with one setting changed or added.
    pub fn with(mut self, name: &str, value: &str) -> Home {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What its processes say, beside its data.
    fn log(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    /// A command on this yard, not started yet. Of the environment only what is set here counts.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(program());
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("MADANG_")) {
                command.env_remove(name);
            }
        }
        command.args(args).env("MADANG_DATA_DIR", &self.data).env("RUST_BACKTRACE", "0");
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    pub async fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ended {
        ended(self.command(args)).await
    }

    pub async fn serve(&self) -> Serving {
        self.serve_by(self.command(SERVE)).await
    }

    /// Serves by this command and waits until the yard is ready.
    pub async fn serve_by(&self, command: Command) -> Serving {
        Serving::start(command, self.log()).await
    }

    /// Runs a sandbox for yards elsewhere, its file in this home's directory.
    pub async fn sandbox(&self) -> Beside {
        let (child, address) = listen(self.command(["sandbox", "--port", "0"]), &self.log()).await;
        Beside { _child: child, address }
    }

    /// Makes an administrator in a running yard and signs him in; answers his access token.
    pub async fn admin(&self, yard: &Serving, username: &str) -> String {
        let args = ["admin", "create", "--username", username, "--password", PASSWORD];
        self.run(args).await.must(0);
        yard.login(username).await
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the last the yards in {} said:\n{}", self.data.display(), tail(&self.log()));
        }
    }
}

pub const SERVE: [&str; 3] = ["serve", "--port", "0"];

/// Runs a command to its end.
pub async fn ended(mut command: Command) -> Ended {
    let output = tokio::time::timeout(END_MAX, command.output()).await;
    Ended::of(output.expect("the command ends").unwrap())
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Ended {
    fn of(output: Output) -> Ended {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { status: output.status, out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    pub fn must(self, code: i32) -> Ended {
        assert_eq!(self.status.code(), Some(code), "{self:#?}");
        self
    }

    /// It must have failed, and told these words on standard error.
    #[track_caller]
    pub fn refused(self, code: i32, words: &[&str]) -> Ended {
        let ended = self.must(code);
        // After the log's lines.
        let message = ended.err.rfind("madang: ").map(|at| &ended.err[at..]);
        let message = message.unwrap_or_else(|| panic!("no message for people: {ended:#?}"));
        assert!(words.iter().all(|word| message.contains(word)), "{words:?} in {ended:#?}");
        ended
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// A running yard.
pub struct Serving {
    child: Child,
    address: SocketAddr,
    client: Client,
    log: PathBuf,
}

impl Serving {
    async fn start(command: Command, log: PathBuf) -> Serving {
        let (child, address) = listen(command, &log).await;
        let yard = Serving { child, address, client: client(), log };
        let ready = async || {
            let answer = yard.get("/health/ready").send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        };
        until_so("the yard is ready", READY_MAX, ready).await;
        yard
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self, path: &str) -> Url {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(self.url(path)).json(body)
    }

    /// The body of an answer that must be a success.
    pub async fn read(&self, path: &str) -> Value {
        let answer = self.get(path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}: {}", tail(&self.log));
        answer.json().await.unwrap()
    }

    pub async fn login(&self, username: &str) -> String {
        let body = json!({ "username": username, "password": PASSWORD });
        let answer = self.post("/api/v1/auth/login", &body).send().await.unwrap();
        let tokens: Value = answer.error_for_status().unwrap().json().await.unwrap();
        tokens["access_token"].as_str().unwrap().to_owned()
    }

    /// A request to sign somebody up.
    pub fn sign_up(&self, username: &str) -> RequestBuilder {
        let body = json!({
            "username": username, "password": PASSWORD, "name": "김하늘", "nickname": username,
            "email": format!("{username}@example.com"),
        });
        self.post("/api/v1/users", &body)
    }

    pub fn id(&self) -> libc::pid_t {
        self.child.id().expect("it still runs").try_into().unwrap()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends it as a power switch would end the process.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub async fn terminate(mut self) -> ExitStatus {
        signal(self.id(), libc::SIGTERM);
        let ended = tokio::time::timeout(END_MAX, self.child.wait()).await;
        ended.expect("it ends when it is asked to").unwrap()
    }
}

/// A process beside the yards, killed with its test.
pub struct Beside {
    _child: Child,
    address: SocketAddr,
}

impl Beside {
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Starts a command that says where it listens.
async fn listen(mut command: Command, log: &Path) -> (Child, SocketAddr) {
    let errors = File::options().create(true).append(true).open(log).unwrap();
    let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(READY_MAX, lines.next_line()).await;
    let line = line.expect("it starts in time").unwrap();
    let address = line.as_deref().and_then(|line| line.rsplit('/').next()?.parse().ok());
    (child, address.unwrap_or_else(|| panic!("it did not start: {}", tail(log))))
}

pub fn signal(process: libc::pid_t, signal: libc::c_int) {
    // SAFETY: a plain system call without pointers.
    let sent = unsafe { libc::kill(process, signal) };
    assert_eq!(sent, 0, "signal {signal} to {process}: {}", std::io::Error::last_os_error());
}

/// A plain client.
pub fn client() -> Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    Client::builder().timeout(READY_MAX).build().unwrap()
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// The program; fails where it is missing or older than what it is made of.
fn program() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        if let Some(chosen) = std::env::var_os(PROGRAM) {
            return chosen.into();
        }
        let tests = std::env::current_exe().unwrap();
        let program = tests.ancestors().nth(2).unwrap().join("madang");
        let made = std::fs::metadata(&program).and_then(|file| file.modified());
        let made = made.unwrap_or_else(|error| panic!("{}: {error}: run `cargo build` first", program.display()));
        // Written by cargo: `program: source source …`, spaces in names escaped.
        let sources = std::fs::read_to_string(program.with_extension("d")).unwrap();
        let sources = sources.split_once(": ").unwrap().1.trim_end().replace("\\ ", "\0");
        for source in sources.split(' ').map(|source| source.replace('\0', " ")) {
            let changed = std::fs::metadata(&source).and_then(|file| file.modified());
            let older = changed.map_or(true, |changed| made < changed);
            assert!(!older, "{} is older than {source}: run `cargo build` first", program.display());
        }
        program
    })
}
