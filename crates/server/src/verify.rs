//! Where `madang verify` reads a log from, and how its verdict is told.
//!
//! Invariant: what is verified comes from here alone, never from the deciding code or a database.

use std::cell::RefCell;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use orderlog::check::{Report, verify};
use reqwest::{Client, StatusCode, Url, header::RETRY_AFTER};

/// Longest wait for one file of a log.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// A server that is busy, or counts our requests, is asked so often before we give up.
const TRIES_MAX: u32 = 20;
/// Connections that may break for one file.
const BROKEN_MAX: u32 = 3;
const BROKEN_WAIT: Duration = Duration::from_millis(200);
/// Longest wait between two tries, whatever the server says.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Where a log lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The prefix of the published paths, with a slash at its end.
    Web(Url),
    Directory(PathBuf),
}

impl Place {
    /// Understands the offer's prefix, the address of the race itself, and a directory of saved files.
    pub fn parse(text: &str) -> Result<Place> {
        if !text.contains("://") {
            let path = PathBuf::from(text);
            return if path.is_dir() {
                Ok(Place::Directory(path))
            } else {
                bail!("{text} is neither an address nor a directory")
            };
        }
        let mut url: Url = text.parse().with_context(|| format!("{text} is not an address"))?;
        if !matches!(url.scheme(), "http" | "https") {
            bail!("{text}: only http and https addresses can be read");
        }
        let path = url.path().trim_end_matches('/').to_owned();
        // `…/races/<id>` is what people have at hand; its log is below `offer`.
        let path = match path.rsplit('/').next() {
            Some(last) if uuid::Uuid::try_parse(last).is_ok() => format!("{path}/offer/"),
            _ => format!("{path}/"),
        };
        url.set_path(&path);
        url.set_query(None);
        url.set_fragment(None);
        Ok(Place::Web(url))
    }

    /// Reads everything and checks it, with these receipts. What is read is also written below `save`, in the layout
    /// a [`Place::Directory`] has.
    pub async fn verify(self, receipts: Vec<String>, save: Option<PathBuf>) -> Result<Report> {
        let handle = tokio::runtime::Handle::current();
        let client = Client::builder().timeout(FETCH_TIMEOUT).build()?;
        // Why a blocking thread: the checker is pure and waits for each file it asks for.
        let checked = tokio::task::spawn_blocking(move || {
            let unreadable = RefCell::new(None);
            let source = |path: &str| {
                let read = match &self {
                    Place::Web(prefix) => handle.block_on(fetch(&client, prefix, path)),
                    Place::Directory(directory) => read(directory, path),
                };
                if let (Ok(Some(bytes)), Some(save)) = (&read, &save) {
                    write(save, path, bytes).map_err(|error| format!("it cannot be saved: {error}"))?;
                }
                if let Err(why) = &read {
                    unreadable.borrow_mut().get_or_insert(format!("{path}: {why}"));
                }
                read
            };
            let report = verify(&source, &receipts);
            (report, unreadable.into_inner())
        });
        let (report, unreadable) = checked.await.context("the checker broke off")?;
        match unreadable {
            None => Ok(report),
            // A log that could not be read is neither true nor false.
            Some(why) => bail!("the log cannot be read: {why}"),
        }
    }
}

async fn fetch(client: &Client, prefix: &Url, path: &str) -> Result<Option<Vec<u8>>, String> {
    let url = prefix.join(path).map_err(|error| error.to_string())?;
    let mut broken = 0;
    for _ in 0..TRIES_MAX {
        match fetch_once(client, &url).await {
            Ok(Fetched::All(bytes)) => return Ok(bytes),
            Ok(Fetched::Later(wait)) => tokio::time::sleep(wait.min(WAIT_MAX)).await,
            // A connection that broke says nothing about the log.
            Err(error) if broken < BROKEN_MAX && error.status().is_none() => {
                broken += 1;
                tokio::time::sleep(BROKEN_WAIT).await;
            }
            Err(error) => return Err(format!("{:#}", anyhow::Error::from(error.without_url()))),
        }
    }
    Err("the server stays busy".to_owned())
}

enum Fetched {
    /// What is there; `None` where nothing is.
    All(Option<Vec<u8>>),
    /// Not now.
    Later(Duration),
}

async fn fetch_once(client: &Client, url: &Url) -> reqwest::Result<Fetched> {
    let response = client.get(url.clone()).send().await?;
    match response.status() {
        StatusCode::NOT_FOUND => Ok(Fetched::All(None)),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let told_s = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            Ok(Fetched::Later(Duration::from_secs(told_s.unwrap_or(1))))
        }
        _ => Ok(Fetched::All(Some(response.error_for_status()?.bytes().await?.into()))),
    }
}

fn read(directory: &Path, path: &str) -> Result<Option<Vec<u8>>, String> {
    match std::fs::read(directory.join(path)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn write(directory: &Path, path: &str, bytes: &[u8]) -> std::io::Result<()> {
    let file = directory.join(path);
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(file, bytes)
}

/// A report for people.
pub fn tell(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |line: std::fmt::Arguments<'_>| _ = writeln!(text, "{line}");
    if let Some(offer) = report.offer {
        line(format_args!("offer     {offer}"));
    }
    for log in &report.logs {
        line(format_args!("log {}     {}: {} leaves, root {}", log.log_no, log.origin, log.size, log.root));
    }
    let (counts, open) = (&report.counts, &report.open);
    line(format_args!("claims    {} numbers given", report.claims));
    line(format_args!(
        "  at first  {} held, {} confirmed, {} wait-listed, {} refused, {} assigned",
        counts.held, counts.confirmed_at_once, counts.waitlisted, counts.refused, counts.assigned
    ));
    line(format_args!(
        "  later     {} granted from the line, {} assigned from it",
        counts.granted, counts.assigned_from_line
    ));
    line(format_args!(
        "  ended     {} expired, {} released, {} cancelled, {} failed",
        counts.expired, counts.released, counts.cancelled, counts.failed
    ));
    line(format_args!(
        "  now       {} waiting, {} held, {} paying, {} confirmed",
        open.waitlisted, open.held, open.paying, open.confirmed
    ));
    for pool in &report.pools {
        line(format_args!(
            "pool      {} ({}): {} of {} taken, {} held back",
            pool.code, pool.label, pool.taken, pool.capacity, pool.held_back
        ));
    }
    for receipt in &report.receipts {
        line(format_args!("receipt   leaf {} holds: {}", receipt.index, receipt.leaf));
    }
    for violation in &report.violations {
        line(format_args!("VIOLATION {violation}"));
    }
    let shown = report.violations.len() as u64;
    if report.violations_total > shown {
        line(format_args!("          and {} more", report.violations_total - shown));
    }
    line(format_args!(
        "{}",
        if report.verified { "VERIFIED: every answer follows from the published rules" } else { "NOT TRUE" }
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web(text: &str) -> String {
        match Place::parse(text).expect("a place") {
            Place::Web(url) => url.into(),
            Place::Directory(_) => panic!("not an address"),
        }
    }

    #[test]
    fn addresses_of_a_race_and_of_its_offer_lead_to_the_log() {
        let id = "0197a3e0-0000-7000-8000-000000000001";
        let prefix = format!("http://yard:8080/api/v1/races/{id}/offer/");
        assert_eq!(web(&format!("http://yard:8080/api/v1/races/{id}")), prefix);
        assert_eq!(web(&format!("http://yard:8080/api/v1/races/{id}/offer/?x=1#top")), prefix);
        assert_eq!(web("https://yard/saved/log"), "https://yard/saved/log/");
        for wrong in ["ftp://yard/x", "http://", "no/such/directory"] {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
        let here = tempfile::tempdir().expect("a directory");
        let text = here.path().to_str().expect("a name");
        assert_eq!(Place::parse(text).expect("a place"), Place::Directory(here.path().to_owned()));
    }

    #[tokio::test]
    async fn an_empty_directory_is_no_log() {
        let here = tempfile::tempdir().expect("a directory");
        let report = Place::Directory(here.path().to_owned()).verify(Vec::new(), None).await.expect("a report");
        assert!(!report.verified && report.violations_total > 0);
        let text = tell(&report);
        assert!(text.contains("VIOLATION") && text.ends_with("NOT TRUE\n"), "{text}");
    }
}
