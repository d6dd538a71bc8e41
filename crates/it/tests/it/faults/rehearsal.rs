//! `madang rehearse` and `madang verify` as an operator and a stranger run them.

use std::path::Path;

use reqwest::Url;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Ended, Home, Serving};
use crate::support::site::{Site, databases, postgres};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throw_away_yard_is_rehearsed_at() {
    databases(throw_away).await;
}

async fn throw_away(site: &Site) {
    let home = Home::on(site);
    let outcome = home.run(["rehearse", "--people", "300", "--capacity", "20", "--json"]).await.must(0).json();
    is_fair(&outcome, 300, 20, 300);
    let five = ["rehearse", "--people", "100", "--capacity", "20", "--clicks", "5", "--json"];
    is_fair(&home.run(five).await.must(0).json(), 100, 20, 500);

    let plot = home.data().with_extension("svg");
    let few = ["rehearse", "--people", "5", "--capacity", "50", "--plot", plot.to_str().unwrap()];
    let text = home.run(few).await.must(0).out;
    assert!(text.contains("granted     5 of 50 places") && text.contains("verified"), "{text}");
    assert!(std::fs::read_to_string(&plot).unwrap().starts_with("<svg"));
    assert!(!home.data().exists(), "it has a directory of its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_are_rehearsed_at_as_one() {
    postgres(at_both).await;
}

async fn at_both(site: &Site) {
    let (home, other) = (Home::on(site), Home::on(site));
    let (a, b) = tokio::join!(home.serve(), other.serve());
    let urls = format!("{},{}", a.url("/"), b.url("/"));
    let outcome = rehearse_at(&home, &a, &urls, 300, 20).await.must(0).json();
    is_fair(&outcome, 300, 20, 600);
}

/// What every rehearsal says that went well.
#[track_caller]
fn is_fair(outcome: &Value, people: u64, capacity: u64, clicks: u64) {
    let refused = people - capacity;
    let must_be = json!({
        "people": people, "capacity": capacity, "granted": capacity, "refused": refused, "numbered": refused,
        "unanswered": 0, "errors": 0, "clicks": clicks, "verified": true, "faults": [],
    });
    for (name, value) in must_be.as_object().unwrap() {
        assert_eq!(&outcome[name], value, "{name} in {outcome}");
    }
    let [p50_ms, p99_ms] = ["p50_ms", "p99_ms"].map(|name| outcome[name].as_f64().unwrap());
    assert!(p50_ms > 0.0 && p50_ms <= p99_ms, "{outcome}");
    assert!(outcome["race_id"].is_string(), "{outcome}");
}

/// Rehearses at running yards, with the token of an administrator.
async fn rehearse_at(home: &Home, yard: &Serving, urls: &str, people: u32, capacity: u32) -> Ended {
    let file = home.data().join("admin.token");
    std::fs::write(&file, home.admin(yard, "boss").await).unwrap();
    let (people, capacity) = (people.to_string(), capacity.to_string());
    let token = file.to_str().unwrap();
    let args = ["--people", &people, "--capacity", &capacity, "--url", urls, "--token-file", token, "--json"];
    home.run(["rehearse"].iter().chain(&args)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_verifies_a_sale_and_finds_what_was_tampered_with() {
    databases(verified).await;
}

async fn verified(site: &Site) {
    let home = Home::on(site);
    let yard = home.serve().await;
    let outcome = rehearse_at(&home, &yard, yard.url("/").as_str(), 300, 20).await.must(0).json();
    let race = yard.url(&format!("/api/v1/races/{}", outcome["race_id"].as_str().unwrap()));
    let saved = TempDir::new().unwrap();
    let log = saved.path().join("log");
    let at = |path: &Path| path.to_str().unwrap().to_owned();

    let report = home.run(["verify", race.as_str(), "--save", &at(&log), "--json"]).await.must(0).json();
    assert_eq!(report["verified"], true);
    assert_eq!((&report["claims"], &report["open"]["held"]), (&json!(300), &json!(20)), "{report}");
    let text = home.run(["verify", race.as_str()]).await.must(0).out;
    assert!(text.trim_end().ends_with("VERIFIED: every answer follows from the published rules"), "{text}");

    let receipt = saved.path().join("receipt");
    std::fs::write(&receipt, text_of(&race, "offer/receipts/7").await).unwrap();
    let keys = text_of(&race, "offer/keys").await;
    assert_eq!(keys.lines().count(), 1, "{keys}");
    assert!(yard.terminate().await.success());

    // From here on nobody serves: a stranger has the files.
    home.run(["verify", &at(&log), "--receipt", &at(&receipt)]).await.must(0);
    home.run(["verify", "--receipt", &at(&receipt), "--receipt", &at(&receipt)]).await.must(0);
    home.run(["verify", race.as_str()]).await.must(1);
    for file in files(&log) {
        tampered(&home, &log, &file).await;
    }
    let forged = std::fs::read_to_string(&receipt).unwrap().replacen("index 7", "index 8", 1);
    std::fs::write(&receipt, forged).unwrap();
    home.run(["verify", &at(&log), "--receipt", &at(&receipt)]).await.must(1);
    home.run(["verify", &at(&log)]).await.must(0);
}

/// With one byte of the file changed, and with the file gone, the log is not true.
async fn tampered(home: &Home, log: &Path, file: &Path) {
    let whole = std::fs::read(file).unwrap();
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    std::fs::write(file, changed).unwrap();
    let ended = home.run(["verify", log.to_str().unwrap(), "--json"]).await.must(1);
    assert_eq!(ended.json()["verified"], false, "{}", file.display());
    assert_ne!(ended.json()["violations"], json!([]), "{}", file.display());
    std::fs::remove_file(file).unwrap();
    let gone = home.run(["verify", log.to_str().unwrap()]).await.must(1);
    assert!(gone.out.trim_end().ends_with("NOT TRUE"), "{}: {gone:?}", file.display());
    std::fs::write(file, whole).unwrap();
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

async fn text_of(race: &Url, path: &str) -> String {
    let url = format!("{race}/{path}");
    let answer = super::process::client().get(url).send().await.unwrap();
    answer.error_for_status().unwrap().text().await.unwrap()
}

#[tokio::test]
async fn what_is_asked_wrongly_ends_with_two() {
    let home = Home::new();
    for args in [
        &["rehearse", "--people", "10"][..],
        &["rehearse", "--people", "ten", "--capacity", "1"],
        &["rehearse", "--people", "10", "--capacity", "1", "--clicks", "21"],
        &["rehearse", "--people", "10", "--capacity", "1", "--url", "http://127.0.0.1:1"],
        &["verify"],
        &["verify", "ftp://127.0.0.1/races"],
        &["verify", "no/such/directory"],
        &["verify", "--receipt", "no/such/receipt"],
        &["nonsense"],
    ] {
        let ended = home.run(args).await.must(2);
        assert!(!ended.err.is_empty() && ended.out.is_empty(), "{args:?}: {ended:#?}");
    }
}

#[tokio::test]
async fn a_yard_that_is_not_there_or_lets_nobody_in_ends_with_one() {
    let home = Home::new();
    let yard = home.serve().await;
    let token = home.data().join("token");
    std::fs::write(&token, "no token").unwrap();
    for (url, words) in [("http://127.0.0.1:1/", &[][..]), (yard.url("/").as_str(), &["401", "auth/invalid"])] {
        let args = ["--people", "5", "--capacity", "1", "--url", url, "--token-file", token.to_str().unwrap()];
        home.run(["rehearse"].iter().chain(&args)).await.refused(1, words);
    }
}
