//! A yard is backed up, also under load, and lives on elsewhere: what was said before the cut stands, exactly N get a
//! place, and the logs say where they continue.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use server::verify::Place;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;

use super::crowd::Crowd;
use super::disk::spare_signal;
use super::process::{Home, SERVE, Serving, ended};
use crate::support::site::{Site, postgres};

/// About what a start takes.
const START_US_MAX: u64 = 300_000;

async fn back_up(home: &Home, to: &Path) -> Value {
    home.run(["backup", to.to_str().unwrap(), "--json"]).await.must(0).json()
}

async fn restore(backup: &Path, home: &Home) {
    home.run(["restore", backup.to_str().unwrap()]).await.must(0);
}

/// The receipt that this person gets for a click.
async fn receipt(yard: &Serving, crowd: &Crowd, person: usize) -> String {
    let path = format!("/api/v1/races/{}/registrations", crowd.race());
    let answer = yard.post(&path, &json!({})).bearer_auth(crowd.token(person)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "he has a place");
    let body: Value = answer.json().await.unwrap();
    body["receipt"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_one_cut_and_the_restored_yard_goes_on() {
    let files = TempDir::new().unwrap();
    let (backup, said, seen) = (files.path().join("backup"), files.path().join("said"), files.path().join("seen"));
    let home = Home::new();
    let yard = home.serve().await;
    let admin = home.admin(&yard, "boss").await;
    let (people, capacity) = (700, 500);
    let mut crowd = Crowd::gather(&yard, &admin, people, capacity).await;

    let mut burst = crowd.burst(&yard, 0..400);
    burst.answered(60).await;
    let before_the_cut = burst.so_far();
    let made = back_up(&home, &backup).await;
    eprintln!("writers were held for {} ms, {} answered before", made["held_ms"], before_the_cut.len());
    let mut restored = crowd.clone();
    restored.remember(before_the_cut);
    crowd.remember(burst.end().await);
    // The old yard goes on and says more, which is lost with it.
    crowd.ask(&yard, 380..420).await;
    let old = crowd.verify_with(&yard, Vec::new(), Some(said.clone())).await;
    yard.kill().await;

    let elsewhere = Home::new();
    restore(&backup, &elsewhere).await;
    let yard = elsewhere.serve().await;
    restored.continued();
    let report = restored.check(&yard).await;
    let kept = report.logs[0].size;
    assert!(kept < old.logs[0].size, "the cut was after everything");
    assert_eq!((report.logs[1].size, report.claims), (2, kept - 1), "nothing is new but the log");
    assert_eq!(report.logs[1].origin, format!("{}/2", report.logs[0].origin));

    // Whoever was answered before the cut hears the same; the others fill the race to its last place.
    restored.ask(&yard, 0..people as usize).await;
    let report = restored.check(&yard).await;
    let (people, capacity) = (u64::from(people), u64::from(capacity));
    assert_eq!((restored.placed(), report.open.held), (capacity, capacity));
    assert_eq!((report.claims, report.counts.refused), (people, people - capacity));

    // A receipt is of the log its claim was made in.
    let receipts = vec![receipt(&yard, &restored, 0).await, receipt(&yard, &restored, 450).await];
    let report = restored.verify_with(&yard, receipts, Some(seen.clone())).await;
    assert_eq!(report.receipts.len(), 2);

    // Who kept the old log sees what became of it: both are true, and they meet where the second one says.
    copy_files(&said, &seen.join("logs/1"));
    let whole = Place::Directory(seen).verify(Vec::new(), None).await.unwrap();
    assert!(whole.verified, "{:#?}", whole.violations);
    assert_eq!((whole.logs[0].size, whole.logs.len()), (old.logs[0].size, 2));

    // Once only.
    assert!(yard.terminate().await.success());
    restored.check(&elsewhere.serve().await).await;
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_files(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// A yard that once ran and was killed, so that its files have logs to fold in.
async fn stopped() -> Home {
    let home = Home::new();
    let yard = home.serve().await;
    let admin = home.admin(&yard, "boss").await;
    Crowd::gather(&yard, &admin, 20, 10).await.settle(&yard).await;
    yard.kill().await;
    home
}

#[tokio::test]
async fn a_stopped_yard_is_backed_up_the_same() {
    let files = TempDir::new().unwrap();
    let home = stopped().await;
    let made = back_up(&home, &files.path().join("stopped")).await;
    let yard = home.serve().await;
    let running = back_up(&home, &files.path().join("running")).await;
    let names = |made: &Value| -> Vec<String> {
        made["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect()
    };
    let mut sorted = names(&running);
    sorted.sort();
    let mut expected = names(&made);
    expected.sort();
    assert_eq!(sorted, expected, "whether it runs or not");
    for name in ["identity.db", "races.db", "payments.db", "sandbox.db", "keys/log", "yard-name"] {
        assert!(sorted.iter().any(|known| known == name), "{name} in {sorted:?}");
    }
    drop(yard);
    for backup in ["stopped", "running"].map(|name| files.path().join(name)) {
        only_for_its_owner(&backup);
        let elsewhere = Home::new();
        restore(&backup, &elsewhere).await;
        only_for_its_owner(elsewhere.data());
        elsewhere.serve().await.login("boss").await;
    }
}

fn only_for_its_owner(path: &Path) {
    let about = std::fs::metadata(path).unwrap();
    let mode = about.permissions().mode() & 0o777;
    assert_eq!(mode, if about.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    if about.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| only_for_its_owner(&entry.unwrap().path()));
    }
}

/// The names in a directory.
fn list(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn nothing_is_overwritten_and_what_cannot_be_done_is_told() {
    let files = TempDir::new().unwrap();
    let path = |name: &str| files.path().join(name);
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let home = stopped().await;
    let target = text(&path("backup"));
    back_up(&home, &path("backup")).await;
    home.run(["backup", &target]).await.refused(1, &["backup is there already"]);
    let yard = home.serve().await;
    home.run(["backup", &target]).await.refused(1, &["backup is there already"]);
    home.run(["backup", "/nonexistent/backup"]).await.refused(1, &["/nonexistent/"]);
    assert!(yard.terminate().await.success());
    // A limit on the size of files stands for a full disk.
    let mut command = home.command(["backup", &text(&path("too-large"))]);
    spare_signal(&mut command);
    let limit = libc::rlimit { rlim_cur: 65_536, rlim_max: 65_536 };
    // SAFETY: between fork and exec only `setrlimit` is called, which is a plain system call.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_FSIZE, &limit) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    ended(command).await.refused(1, &["no backup was made", ".db cannot be copied"]);
    assert_eq!(list(files.path()), ["backup"], "nothing is left of it");

    let nothing = Home::new();
    nothing.run(["backup", &target]).await.refused(1, &["is not the data directory of a yard on SQLite"]);
    nothing.run(["restored"]).await.refused(1, &["is not the data directory of a yard on SQLite"]);
    assert!(!nothing.data().exists(), "nothing was made");
    home.run(["restore", &target]).await.refused(1, &["is not empty"]);
    nothing.run(["restore", "/nonexistent"]).await.refused(1, &["/nonexistent is no backup"]);
    let on_postgres = Home::on_postgres("postgres://nobody@127.0.0.1:1/none");
    on_postgres.run(["backup", &target]).await.refused(1, &["pg_dump"]);
}

#[tokio::test]
async fn a_damaged_backup_is_refused() {
    let files = TempDir::new().unwrap();
    let backup = files.path().join("backup");
    let home = stopped().await;
    back_up(&home, &backup).await;
    let elsewhere = Home::new();
    let refused = async |words: &[&str]| {
        elsewhere.run(["restore", backup.to_str().unwrap()]).await.refused(1, words);
        let parent = elsewhere.data().parent().unwrap();
        assert_eq!(list(parent), Vec::<String>::new(), "nothing is left of it");
    };
    for name in ["races.db", "keys/person", "yard-name"] {
        let file = backup.join(name);
        let whole = std::fs::read(&file).unwrap();
        let mut changed = whole.clone();
        changed[whole.len() / 2] ^= 1;
        for damaged in [&changed[..], &whole[..whole.len() - 1], &[&whole[..], b"x"].concat()] {
            std::fs::write(&file, damaged).unwrap();
            refused(&["the backup is damaged", name]).await;
        }
        std::fs::remove_file(&file).unwrap();
        refused(&[name]).await;
        std::fs::write(&file, whole).unwrap();
    }
    let manifest = backup.join("backup.json");
    let whole = std::fs::read_to_string(&manifest).unwrap();
    for (damaged, words) in [
        (whole[..whole.len() / 2].to_owned(), "is damaged"),
        (whole.replace("\"format\": 1", "\"format\": 2"), "has format 2"),
        (whole.replace("keys/log", "../escaped"), "no file of a backup"),
        (whole.replace("keys/log", "/tmp/escaped"), "no file of a backup"),
    ] {
        std::fs::write(&manifest, damaged).unwrap();
        refused(&[words]).await;
    }
    std::fs::write(&manifest, whole).unwrap();
    // An empty directory gives way.
    std::fs::create_dir(elsewhere.data()).unwrap();
    restore(&backup, &elsewhere).await;
    elsewhere.serve().await.login("boss").await;
}

#[tokio::test]
async fn killed_while_logs_begin_anew_each_begins_once() {
    let files = TempDir::new().unwrap();
    let backup = files.path().join("backup");
    let home = Home::new();
    let yard = home.serve().await;
    let admin = home.admin(&yard, "boss").await;
    let mut crowds = Vec::new();
    for _ in 0..5 {
        let mut crowd = Crowd::gather(&yard, &admin, 4, 2).await;
        crowd.settle(&yard).await;
        crowd.continued();
        crowds.push(crowd);
    }
    yard.kill().await;
    back_up(&home, &backup).await;
    let elsewhere = Home::new();
    restore(&backup, &elsewhere).await;
    for _ in 0..8 {
        let mut starting = elsewhere.command(SERVE).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..START_US_MAX))).await;
        starting.kill().await.unwrap();
    }
    let yard = elsewhere.serve().await;
    for crowd in crowds {
        crowd.check(&yard).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_it_is_told_that_it_was_restored() {
    postgres(told).await;
}

async fn told(site: &Site) {
    let home = Home::on(site);
    let yard = home.serve().await;
    let admin = home.admin(&yard, "boss").await;
    let mut crowd = Crowd::gather(&yard, &admin, 60, 40).await;
    crowd.ask(&yard, 0..30).await;
    home.run(["backup", "anywhere"]).await.refused(1, &["pg_dump"]);
    // While it runs, by its socket.
    let told = home.run(["restored", "--json"]).await.must(0).json();
    assert_eq!(told, json!({ "logs": 1 }));
    crowd.continued();
    crowd.check(&yard).await;
    assert!(yard.terminate().await.success());
    // And without it.
    home.run(["restored"]).await.must(0);
    crowd.continued();
    let yard = home.serve().await;
    crowd.ask(&yard, 0..60).await;
    let report = crowd.check(&yard).await;
    assert_eq!((report.open.held, report.claims), (40, 60));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copied_postgres_shows_by_itself_that_it_is_another() {
    postgres(copied).await;
}

async fn copied(site: &Site) {
    let home = Home::on(site);
    let yard = home.serve().await;
    let admin = home.admin(&yard, "boss").await;
    let mut crowd = Crowd::gather(&yard, &admin, 60, 40).await;
    crowd.ask(&yard, 0..30).await;
    assert!(yard.terminate().await.success());
    let yard = home.serve().await;
    crowd.check(&yard).await;
    assert!(yard.terminate().await.success());

    // What pg_dump and pg_restore would make of it.
    let (server, name) = site.url().rsplit_once('/').unwrap();
    let copy = format!("{name}_copy");
    let mut owner = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    owner.execute(AssertSqlSafe(format!("CREATE DATABASE {copy} TEMPLATE {name}"))).await.unwrap();
    let elsewhere = Home::on_postgres(&format!("{server}/{copy}"));
    crowd.continued();
    // Said as well: once is enough.
    let told = elsewhere.run(["restored", "--json"]).await.must(0).json();
    assert_eq!(told, json!({ "logs": 1 }));
    for _ in 0..2 {
        let yard = elsewhere.serve().await;
        crowd.check(&yard).await;
        assert!(yard.terminate().await.success());
    }
    let yard = elsewhere.serve().await;
    crowd.ask(&yard, 0..60).await;
    assert_eq!(crowd.check(&yard).await.open.held, 40);
    drop(yard);
    owner.execute(AssertSqlSafe(format!("DROP DATABASE {copy} WITH (FORCE)"))).await.unwrap();
}
