//! How a yard starts, or says why it does not, and how it ends when it is asked to.

use std::os::unix::fs::PermissionsExt;

use sqlx::{AssertSqlSafe, Executor};

use super::crowd::Crowd;
use super::process::{Home, SERVE};
use super::server::Server;
use crate::support::site::{Site, databases, has_postgres, postgres};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_end_in_a_burst_it_ends_well() {
    databases(ends_well).await;
}

async fn ends_well(site: &Site) {
    let home = Home::on(site);
    let mut yard = home.serve().await;
    let admin = home.admin(&yard, "boss").await;
    let mut crowd = Crowd::gather(&yard, &admin, 1_500, 700).await;
    for those in [0..500, 500..1_000, 1_000..1_500] {
        let mut burst = crowd.burst(&yard, those.clone());
        burst.answered(100).await;
        assert_eq!(yard.terminate().await.code(), Some(0));
        let answers = burst.end().await;
        assert!(answers.len() < those.len(), "it ended after everybody was served");
        crowd.remember(answers);
        assert!(!home.data().join("madang.sock").exists(), "nothing takes commands any more");
        yard = home.serve().await;
        crowd.check(&yard).await;
        crowd.ask(&yard, those).await;
    }
    crowd.settle(&yard).await;
}

#[tokio::test]
async fn a_directory_serves_one_at_a_time() {
    let home = Home::new();
    let yard = home.serve().await;
    let id = yard.id().to_string();
    let data = home.data().to_str().unwrap();
    home.run(SERVE).await.refused(1, &["another madang", &id, data]);
    home.run(["migrate"]).await.refused(1, &["another madang", &id]);
    assert_eq!(yard.read("/health/ready").await["status"], "ready", "the first one does not notice");
    yard.kill().await;
    home.serve().await;
}

#[tokio::test]
async fn a_taken_port_is_told() {
    let yard_home = Home::new();
    let yard = yard_home.serve().await;
    let port = yard.address().port().to_string();
    Home::new().run(["serve", "--port", &port]).await.refused(1, &["cannot listen", &port]);
}

#[tokio::test]
async fn settings_that_are_not_right_are_told() {
    let home = Home::new();
    home.run(["serve", "--config", "/nonexistent/madang.toml"]).await.refused(2, &["/nonexistent/madang.toml"]);
    std::fs::create_dir_all(home.data()).unwrap();
    let file = home.data().join("madang.toml");
    std::fs::write(&file, "db = \"half a line").unwrap();
    home.run(SERVE).await.refused(2, &["madang.toml"]);
    std::fs::write(&file, [0xff, 0xfe, 0x00]).unwrap();
    home.run(SERVE).await.refused(2, &["madang.toml"]);
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    home.run(SERVE).await.refused(2, &["madang.toml"]);
}

#[tokio::test]
async fn a_directory_that_is_no_directory_is_told() {
    let home = Home::new();
    std::fs::write(home.data(), "a file").unwrap();
    home.run(SERVE).await.refused(2, &[home.data().to_str().unwrap()]);
}

#[tokio::test]
async fn damaged_files_are_told() {
    let home = Home::new();
    assert!(home.serve().await.terminate().await.success());
    let key = home.data().join("keys/token");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o077, 0, "others cannot read it");
    let whole = std::fs::read(&key).unwrap();
    std::fs::write(&key, &whole[..whole.len() / 2]).unwrap();
    home.run(SERVE).await.refused(1, &[key.to_str().unwrap()]);
    std::fs::write(&key, whole).unwrap();
    std::fs::write(home.data().join("races.db"), "this is no database, however long one looks at it").unwrap();
    home.run(SERVE).await.refused(1, &["races"]);
}

#[tokio::test]
async fn a_postgres_that_is_not_there_is_told() {
    let home = Home::on_postgres("postgres://nobody:secret@127.0.0.1:1/none");
    let ended = home.run(SERVE).await.refused(1, &["database"]);
    assert!(!ended.err.contains("secret"), "{}", ended.err);
}

#[tokio::test]
async fn another_secret_does_not_open_the_keys() {
    postgres(another_secret).await;
}

async fn another_secret(site: &Site) {
    assert!(Home::on(site).serve().await.terminate().await.success());
    let other = Home::on(site).with("MADANG__SECRET", "not the secret the keys were sealed with");
    other.run(SERVE).await.refused(1, &["MADANG__SECRET"]);
    Home::on(site).with("MADANG__SECRET", "").run(SERVE).await.refused(1, &["MADANG__SECRET"]);
    Home::on(site).serve().await;
}

#[tokio::test]
async fn a_postgres_that_would_lose_a_yes_is_refused() {
    postgres(asynchronous).await;
    if has_postgres() {
        without_fsync().await;
    }
}

async fn asynchronous(site: &Site) {
    let database = site.url().rsplit_once('/').unwrap().1;
    let turn_off = format!("ALTER DATABASE {database} SET synchronous_commit = off");
    site.stranger().await.execute(AssertSqlSafe(turn_off)).await.unwrap();
    Home::on(site).run(SERVE).await.refused(1, &["synchronous_commit=off"]);
}

async fn without_fsync() {
    let server = Server::up();
    let home = Home::on_postgres(&server.url());
    assert!(home.serve().await.terminate().await.success());
    server.set("fsync", "off").await;
    home.run(SERVE).await.refused(1, &["fsync=off"]);
    server.set("fsync", "on").await;
    home.serve().await;
}
