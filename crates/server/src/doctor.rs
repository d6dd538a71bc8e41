//! What an operator should know before the opening minute: clock, disk, fsync, keys, settings.
//!
//! Invariant: looks only. A directory that is not there is not made, a database is not migrated.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use sqlx::{Connection, PgConnection, SqliteConnection};

use crate::config::Config;
use crate::directory::socket_of;

/// The log of a race of a million clicks needs some 300 MB.
const FREE_BYTES_MIN: u64 = 200 << 20;
const FREE_BYTES_WARN: u64 = 2 << 30;
const SYNCS: usize = 32;
/// A commit waits for a sync: slower ones are felt by everybody in the queue.
const SYNC_WARN: Duration = Duration::from_millis(20);
/// No disk is so fast; memory is, and forgets.
const SYNC_SUSPICIOUS: Duration = Duration::from_micros(5);
const CLOCK_OFF_MS_WARN: i64 = 250;
const CLOCK_OFF_MS_MAX: i64 = 5_000;
/// A clock before this is not set: 2025 in Unix milliseconds.
const CLOCK_MS_MIN: i64 = 1_735_689_600_000;
/// A connection needs a file descriptor.
const OPEN_FILES_WARN: u64 = 4_096;
const CONNECT_MAX: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    /// It works, but not as it should for people who rely on it.
    Warn,
    /// A promise cannot be kept.
    Fail,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    pub subject: &'static str,
    pub detail: String,
}

/// Looks at everything.
pub async fn examine(data_dir: &Path, config: &Config) -> Vec<Finding> {
    let mut report = Report::default();
    report.settings(config);
    report.open_files();
    if data_dir.is_dir() {
        report.disk(data_dir);
        report.socket(data_dir).await;
    } else {
        report.warn("data directory", format!("{} is not there yet; `madang serve` makes it", data_dir.display()));
    }
    match config.db.url() {
        Some(url) => {
            report.within("database", postgres(url)).await;
            report.sealed(config);
        }
        None => {
            report.process_clock();
            report.within("database", sqlite(data_dir)).await;
            report.key_files(data_dir);
        }
    }
    report.0
}

#[derive(Default)]
struct Report(Vec<Finding>);

impl Report {
    fn add(&mut self, level: Level, subject: &'static str, detail: impl Into<String>) {
        self.0.push(Finding { level, subject, detail: detail.into() });
    }

    fn ok(&mut self, subject: &'static str, detail: impl Into<String>) {
        self.add(Level::Ok, subject, detail);
    }

    fn warn(&mut self, subject: &'static str, detail: impl Into<String>) {
        self.add(Level::Warn, subject, detail);
    }

    fn fail(&mut self, subject: &'static str, detail: impl Into<String>) {
        self.add(Level::Fail, subject, detail);
    }

    /// Adds what a look at a database found, or that it failed.
    async fn within(&mut self, subject: &'static str, look: impl Future<Output = Result<Vec<Finding>>>) {
        match tokio::time::timeout(CONNECT_MAX, look).await {
            Ok(Ok(findings)) => self.0.extend(findings),
            Ok(Err(error)) => self.fail(subject, format!("{error:#}")),
            Err(_) => self.fail(subject, format!("no answer within {CONNECT_MAX:?}")),
        }
    }

    fn settings(&mut self, config: &Config) {
        self.ok("version", env!("CARGO_PKG_VERSION"));
        match (config.public_url.as_str(), config.http.bind.is_loopback()) {
            ("", true) => self.ok("public_url", "not set; the yard listens on this machine only"),
            ("", false) => self.warn("public_url", "not set: it names the yard in receipts from its first start on"),
            (url, _) if url.starts_with("https://") => self.ok("public_url", url),
            (url, _) => self.warn("public_url", format!("{url}: passwords and tokens travel in the clear; use https")),
        }
        if !config.http.bind.is_loopback() && config.http.trusted_proxies.is_empty() {
            self.warn("proxies", "http.trusted_proxies is empty: behind a balancer all people look like one address");
        }
    }

    fn open_files(&mut self) {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: a plain system call that writes to the struct it is given.
        if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
            return;
        }
        let files = limit.rlim_cur;
        let level = if files < OPEN_FILES_WARN { Level::Warn } else { Level::Ok };
        self.add(level, "open files", format!("{files} at once, one for each connection"));
    }

    fn disk(&mut self, data_dir: &Path) {
        match fs4::available_space(data_dir) {
            Ok(free) => {
                let level = match free {
                    ..FREE_BYTES_MIN => Level::Fail,
                    FREE_BYTES_MIN..FREE_BYTES_WARN => Level::Warn,
                    _ => Level::Ok,
                };
                self.add(level, "disk", format!("{} MB free", free >> 20));
            }
            Err(error) => self.fail("disk", error.to_string()),
        }
        match sync_time(data_dir) {
            Ok(took) => {
                let level = if took > SYNC_WARN || took < SYNC_SUSPICIOUS { Level::Warn } else { Level::Ok };
                let why = if took < SYNC_SUSPICIOUS {
                    ": does this disk keep anything? (memory, or sync turned off)"
                } else {
                    ""
                };
                self.add(level, "fsync", format!("{:.2} ms (median of {SYNCS}){why}", took.as_secs_f64() * 1e3));
            }
            Err(error) => self.fail("fsync", format!("{error:#}")),
        }
    }

    async fn socket(&mut self, data_dir: &Path) {
        let socket = socket_of(data_dir);
        match tokio::net::UnixStream::connect(&socket).await {
            Ok(_) => self.ok("running", "a yard runs on this directory"),
            Err(_) if socket.exists() => self.ok("running", "no; a socket is left of a yard that did not end well"),
            Err(_) => self.ok("running", "no"),
        }
    }

    fn process_clock(&mut self) {
        let now_ms = now_ms();
        if now_ms < CLOCK_MS_MIN {
            self.fail("clock", "it is not set: sales would open at the wrong time");
        } else {
            self.ok("clock", format!("{}; this yard decides by it, so keep it right (NTP)", kernel::UtcTime(now_ms)));
        }
    }

    fn key_files(&mut self, data_dir: &Path) {
        let dir = data_dir.join("keys");
        let Ok(entries) = std::fs::read_dir(&dir) else {
            return self.ok("keys", "none yet; the first start makes them");
        };
        let mut open = Vec::new();
        let mut count = 0;
        for path in entries.flatten().map(|entry| entry.path()).chain([dir.clone()]) {
            let Ok(about) = std::fs::metadata(&path) else {
                continue;
            };
            count += usize::from(about.is_file());
            if about.permissions().mode() & 0o077 != 0 {
                open.push(path.display().to_string());
            }
        }
        if open.is_empty() {
            self.ok("keys", format!("{count} files, readable by their owner only"));
        } else {
            self.fail("keys", format!("others can get at {}; set modes 0600 and 0700", open.join(", ")));
        }
    }

    fn sealed(&mut self, config: &Config) {
        if config.secret.expose().is_empty() {
            self.warn("keys", "MADANG__SECRET is not set: whoever reads the database reads the keys");
        } else {
            self.ok("keys", "in the database, sealed with MADANG__SECRET");
        }
    }
}

/// The settings our promises rest on, read back from PostgreSQL, and its clock.
async fn postgres(url: &str) -> Result<Vec<Finding>> {
    let mut report = Report::default();
    let mut connection = PgConnection::connect(url).await.context("PostgreSQL cannot be reached")?;
    let setting =
        "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit'),
                   current_setting('full_page_writes'), current_setting('max_connections')";
    let (version, fsync, commit, pages, connections): (String, String, String, String, String) =
        sqlx::query_as(setting).fetch_one(&mut connection).await?;
    report.ok("database", format!("PostgreSQL {version}, {connections} connections"));
    let durable = fsync == "on" && commit != "off" && pages == "on";
    let level = if durable { Level::Ok } else { Level::Fail };
    report.add(level, "durability", format!("fsync={fsync}, synchronous_commit={commit}, full_page_writes={pages}"));
    let asked = now_ms();
    let clock = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let (theirs,): (i64,) = sqlx::query_as(clock).fetch_one(&mut connection).await?;
    // The reading is from about the middle of the question and its answer.
    let off_ms = theirs - asked.midpoint(now_ms());
    let level = match off_ms.abs() {
        off_ms if off_ms > CLOCK_OFF_MS_MAX => Level::Fail,
        off_ms if off_ms > CLOCK_OFF_MS_WARN => Level::Warn,
        _ => Level::Ok,
    };
    report.add(level, "clock", format!("the database, which decides, is {off_ms:+} ms from this machine"));
    connection.close().await?;
    Ok(report.0)
}

/// How SQLite keeps its files here, read back from one of them.
async fn sqlite(data_dir: &Path) -> Result<Vec<Finding>> {
    let mut report = Report::default();
    let files = database_files(data_dir);
    if files.is_empty() {
        report.ok("database", "SQLite; no files yet");
        return Ok(report.0);
    }
    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).read_only(true);
        let mut connection = SqliteConnection::connect_with(&options).await.with_context(|| name.clone())?;
        let (mode,): (String,) = sqlx::query_as("PRAGMA journal_mode").fetch_one(&mut connection).await?;
        let (sound,): (String,) = sqlx::query_as("PRAGMA quick_check(1)").fetch_one(&mut connection).await?;
        connection.close().await?;
        let well = mode == "wal" && sound == "ok";
        let level = if well { Level::Ok } else { Level::Fail };
        report.add(level, "database", format!("{name}: journal_mode={mode}, quick_check={sound}"));
    }
    Ok(report.0)
}

fn database_files(data_dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(data_dir).into_iter().flatten().flatten();
    let mut files: Vec<_> =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "db")).collect();
    files.sort();
    files
}

/// The median time of a small write with its sync.
fn sync_time(data_dir: &Path) -> Result<Duration> {
    let mut file = tempfile::tempfile_in(data_dir).context("a file cannot be made")?;
    let block = [0x5A; 4_096];
    let mut took = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    ensure!(!took.is_empty(), "nothing was measured");
    Ok(took[SYNCS / 2])
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use platform::config::Sources;

    use super::*;

    fn config(variables: &[(&str, &str)]) -> Config {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(&Sources::default().env(variables)).expect("settings").settings
    }

    fn find<'a>(findings: &'a [Finding], subject: &str) -> &'a Finding {
        findings.iter().find(|finding| finding.subject == subject).unwrap_or_else(|| panic!("{subject}: {findings:?}"))
    }

    #[tokio::test]
    async fn nothing_is_made_where_there_is_nothing() {
        let parent = tempfile::tempdir().expect("a directory");
        let data = parent.path().join("data");
        let findings = examine(&data, &config(&[])).await;
        assert_eq!(find(&findings, "data directory").level, Level::Warn);
        assert!(findings.iter().all(|finding| finding.level != Level::Fail), "{findings:?}");
        assert!(!data.exists());
    }

    #[tokio::test]
    async fn keys_open_to_others_and_broken_files_are_failures() {
        let data = tempfile::tempdir().expect("a directory");
        let keys = data.path().join("keys");
        std::fs::create_dir(&keys).expect("made");
        std::fs::set_permissions(&keys, PermissionsExt::from_mode(0o700)).expect("set");
        std::fs::write(keys.join("log"), [7; 32]).expect("written");
        std::fs::set_permissions(keys.join("log"), PermissionsExt::from_mode(0o640)).expect("set");
        std::fs::write(data.path().join("races.db"), "this is no database, but long enough to be read as one")
            .expect("written");
        let findings = examine(data.path(), &config(&[])).await;
        let found = find(&findings, "keys");
        assert!(found.level == Level::Fail && found.detail.contains("keys/log"), "{found:?}");
        assert_eq!(find(&findings, "database").level, Level::Fail);
        std::fs::set_permissions(keys.join("log"), PermissionsExt::from_mode(0o600)).expect("set");
        assert_eq!(find(&examine(data.path(), &config(&[])).await, "keys").level, Level::Ok);
    }

    #[tokio::test]
    async fn a_database_that_is_away_is_a_failure_and_an_open_yard_a_warning() {
        let data = tempfile::tempdir().expect("a directory");
        let settings = [("MADANG__DB__URL", "postgres://nobody@127.0.0.1:1/none"), ("MADANG__HTTP__BIND", "0.0.0.0")];
        let findings = examine(data.path(), &config(&settings)).await;
        assert_eq!(find(&findings, "database").level, Level::Fail);
        for subject in ["public_url", "proxies", "keys"] {
            assert_eq!(find(&findings, subject).level, Level::Warn, "{subject}");
        }
    }
}
