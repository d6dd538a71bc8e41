//! The built program as real processes, each stopped by its own id when the test ends, however it ends.

use std::ffi::OsStr;
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Once, OnceLock};
use std::time::{Duration, SystemTime};

use platform::db::DbOptions;
use reqwest::{Client, RequestBuilder, Url};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
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
const END_MAX: Duration = Duration::from_secs(30);

/// Where a yard lives: its directory and its settings.
pub struct Home {
    own: Option<TempDir>,
    data: PathBuf,
    settings: Vec<(String, String)>,
}

impl Home {
    /// A yard on this site's database; on PostgreSQL each home is one more process of the same yard.
    pub fn on(site: &Site) -> Home {
        let settings = match site.options() {
            DbOptions::Sqlite { .. } => Vec::new(),
            DbOptions::Postgres { url } => vec![
                ("MADANG__DB__URL".to_owned(), url.clone()),
                ("MADANG__SECRET".to_owned(), SECRET.to_owned()),
            ],
        };
        match &site.dir {
            Some(dir) => Home { own: None, data: dir.path().join("data"), settings },
            None => {
                let own = TempDir::new().unwrap();
                Home { data: own.path().join("data"), own: Some(own), settings }
            }
        }
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The same with one setting changed or added.
    pub fn with(mut self, name: &str, value: &str) -> Home {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A command on this yard, not started yet. Of the environment only what is set here counts.
    pub fn command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = program();
        command.args(args).env("MADANG_DATA_DIR", &self.data);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
        ended(self.command(args)).await
    }

    pub async fn serve(&self) -> Serving {
        Serving::start(self.command(["serve", "--port", "0"]), self).await
    }

    /// Makes an administrator of this name in a running yard and signs him in; answers his access token.
    pub async fn admin(&self, yard: &Serving, username: &str) -> String {
        let made = self.run(["admin", "create", "--username", username, "--password", PASSWORD]).await;
        assert!(made.status.success(), "{}", show(&made));
        yard.login(username).await
    }

    /// Its log lies beside its data: that a full disk spares.
    fn log(&self) -> PathBuf {
        let beside = self.own.as_ref().map_or(&self.data, |own| &own.path().to_path_buf()).clone();
        beside.with_extension("log")
    }
}
