//! A PostgreSQL of a test's own, which it may stop, freeze and kill; gone when the test ends, however it ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

use super::process::signal;
use crate::support::wait::until_so;

pub struct Server {
    instance: String,
    /// Its data directory, from where its log lies.
    data: PathBuf,
}

impl Server {
    /// Installs and starts one.
    pub fn up() -> Server {
        let instance = format!("faults-{}", &Uuid::new_v4().simple().to_string()[..12]);
        let mut server = Server { instance, data: PathBuf::new() };
        let told = server.script(&["up"]);
        let log = told.split_once("log ").and_then(|(_, rest)| rest.split_once(')'));
        let (log, _) = log.unwrap_or_else(|| panic!("no log in {told:?}"));
        server.data = Path::new(log).with_file_name("data");
        server
    }

    /// Starts it where it is down, on the same port with the same data.
    pub fn start(&self) {
        self.script(&["up"]);
    }

    /// Ends it well: open transactions are rolled back, connections closed.
    pub fn stop(&self) {
        // Why not by the script alone: a burst is over before that has begun.
        signal(self.postmaster(), libc::SIGINT);
        self.script(&["down"]);
    }

    /// kill -9, the postmaster first so that it cannot tell its children anything.
    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    /// Nothing of it moves any more: connections stay open and silent.
    pub fn freeze(&self) {
        self.signal(libc::SIGSTOP);
    }

    pub fn thaw(&self) {
        self.signal(libc::SIGCONT);
    }

    pub fn url(&self) -> String {
        let env = self.script(&["env"]);
        let url = env.lines().find_map(|line| line.strip_prefix("MADANG__DB__URL="));
        url.unwrap_or_else(|| panic!("no address in {env:?}")).to_owned()
    }

    /// Changes a setting and waits until it holds.
    pub async fn set(&self, setting: &str, value: &str) {
        let mut owner = PgConnection::connect(&self.url()).await.unwrap();
        let change = format!("ALTER SYSTEM SET {setting} = {value}");
        owner.execute(AssertSqlSafe(change)).await.unwrap();
        owner.execute("SELECT pg_reload_conf()").await.unwrap();
        let holds = async || {
            let mut fresh = PgConnection::connect(&self.url()).await.unwrap();
            let now = "SELECT current_setting($1)";
            sqlx::query_scalar::<_, String>(now).bind(setting).fetch_one(&mut fresh).await.unwrap() == value
        };
        until_so("the setting holds", Duration::from_secs(20), holds).await;
    }

    fn signal(&self, number: libc::c_int) {
        for process in self.processes() {
            signal(process, number);
        }
    }

    /// The postmaster and then its children.
    fn processes(&self) -> Vec<libc::pid_t> {
        let postmaster = self.postmaster();
        let mut found = vec![postmaster];
        for entry in std::fs::read_dir("/proc").unwrap() {
            let Ok(process) = entry.unwrap().file_name().to_string_lossy().parse() else { continue };
            if parent(process) == Some(postmaster) {
                found.push(process);
            }
        }
        found
    }

    fn postmaster(&self) -> libc::pid_t {
        let lock = std::fs::read_to_string(self.data.join("postmaster.pid")).unwrap();
        lock.lines().next().unwrap().parse().unwrap()
    }

    fn script(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "scripts/servers {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/servers");
        let mut command = Command::new(script);
        command.args(args).args(["--instance", &self.instance]).stdin(Stdio::null());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let wiped = self.command(&["down", "--wipe"]).output();
        if !wiped.is_ok_and(|output| output.status.success()) {
            eprintln!("the PostgreSQL instance {} was not removed", self.instance);
        }
    }
}

fn parent(process: libc::pid_t) -> Option<libc::pid_t> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in brackets may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
