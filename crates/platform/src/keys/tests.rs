use std::os::unix::fs::PermissionsExt;

use sqlx::Executor;

use super::*;
use crate::db::{Clock, DbOptions, Query, args, open};

const PUBLIC_URL: &str = "https://Run.Example.org:8443/somewhere";

fn all(keys: &Keys) -> [[u8; 32]; 6] {
    [keys.token, keys.log, keys.ticket, keys.webhook, keys.person, keys.web]
}

async fn from_files(dir: &Path) -> Result<Keys, KeysError> {
    Keys::open(KeyStore::Files(dir), "").await
}

#[tokio::test]
async fn files_are_made_once_and_private() {
    let dir = tempfile::tempdir().expect("make a directory");
    let first = from_files(dir.path()).await.expect("make keys");
    let again = from_files(dir.path()).await.expect("read keys");
    assert_eq!(all(&first), all(&again));
    for (i, key) in all(&first).iter().enumerate() {
        assert!(!all(&first)[..i].contains(key), "two uses share a key");
    }
    let keys = dir.path().join("keys");
    let mode = |path: &Path| std::fs::metadata(path).expect("look at a file").permissions().mode() & 0o777;
    assert_eq!(mode(&keys), 0o700);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&keys).expect("list the keys") {
        let entry = entry.expect("list the keys");
        assert_eq!(mode(&entry.path()), 0o600);
        names.push(entry.file_name().into_string().expect("a plain name"));
    }
    names.sort();
    assert_eq!(names, ["log", "person", "ticket", "token", "web", "webhook"], "nothing else stays behind");
}

#[test]
fn processes_that_make_the_same_files_at_once_agree() {
    let dir = tempfile::tempdir().expect("make a directory");
    let start = std::sync::Barrier::new(8);
    let made: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    let keys = files::open(dir.path(), "").expect("open keys");
                    (all(&keys), keys.yard_name)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    });
    assert!(made.iter().all(|keys| *keys == made[0]));
}

#[tokio::test]
async fn a_damaged_file_is_named_and_left_alone() {
    let dir = tempfile::tempdir().expect("make a directory");
    from_files(dir.path()).await.expect("make keys");
    let file = dir.path().join("keys/log");
    std::fs::write(&file, b"short").expect("damage a key");
    let error = from_files(dir.path()).await.err().expect("a damaged key is refused").to_string();
    assert!(error.contains("keys/log"), "{error}");
    assert_eq!(std::fs::read(&file).expect("read"), b"short");
}

#[tokio::test]
async fn the_name_is_the_address_or_the_log_key_and_stays() {
    let dir = tempfile::tempdir().expect("make a directory");
    let keys = Keys::open(KeyStore::Files(dir.path()), PUBLIC_URL).await.expect("make keys");
    assert_eq!(keys.yard_name, "run.example.org:8443");
    let later = Keys::open(KeyStore::Files(dir.path()), "https://other.example").await.expect("read keys");
    assert_eq!(later.yard_name, "run.example.org:8443");

    // SHA-256 of RFC 8032's first public key, by another tool.
    let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").expect("hex");
    let name = fresh_name("", &seed.try_into().expect("32 bytes"));
    assert_eq!(name, "yard-21fe31dfa154a261");
    assert_eq!(fresh_name("https://run.example", &[1; 32]), "run.example");

    std::fs::write(dir.path().join("yard-name"), "two words\n").expect("damage the name");
    assert!(matches!(from_files(dir.path()).await.err(), Some(KeysError::DamagedName(_))));
}

/// The databases to try: SQLite always, PostgreSQL where the environment names one.
async fn with_each_database(test: impl AsyncFn(&DbOptions)) {
    let dir = tempfile::tempdir().expect("make a directory");
    test(&DbOptions::Sqlite { dir: dir.path().to_owned() }).await;
    let Ok(url) = std::env::var("MADANG_TEST_POSTGRES_URL") else {
        return;
    };
    let pool = sqlx::PgPool::connect(&url).await.expect("reach PostgreSQL");
    let name = format!("keys_{}", uuid::Uuid::now_v7().simple());
    pool.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.expect("create a database");
    let (server, _) = url.rsplit_once('/').expect("an address with a database");
    test(&DbOptions::Postgres { url: format!("{server}/{name}") }).await;
    pool.execute(sqlx::AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.expect("drop it");
}

/// As a process of its own does it: with its own connections.
async fn from_rows(options: &DbOptions, secret: Option<&str>) -> Result<Keys, KeysError> {
    let db = open("yard", options, &Clock::default()).await.expect("open the yard's database");
    Keys::open(KeyStore::Rows { db: &db, secret }, PUBLIC_URL).await
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_make_the_same_rows_at_once_agree() {
    with_each_database(async |options| {
        let opened = futures::future::join_all((0..4).map(|_| {
            let options = options.clone();
            tokio::spawn(async move { from_rows(&options, Some("secret")).await })
        }))
        .await;
        let opened: Vec<Keys> = opened.into_iter().map(|keys| keys.expect("a task").expect("open keys")).collect();
        assert!(opened.iter().all(|keys| all(keys) == all(&opened[0])));
        assert!(opened.iter().all(|keys| keys.yard_name == "run.example.org:8443"));
    })
    .await;
}

#[tokio::test]
async fn sealed_rows_open_with_their_secret_only() {
    with_each_database(async |options| {
        let sealed = from_rows(options, Some("first")).await.expect("make keys");
        let again = from_rows(options, Some("first")).await.expect("read keys");
        assert_eq!(all(&sealed), all(&again));
        for secret in [Some("second"), None, Some("")] {
            let error = from_rows(options, secret).await.err().expect("the secret does not fit").to_string();
            assert!(error.contains("MADANG__SECRET"), "{error}");
        }
        assert!(holds_no_plain_key(options, &sealed).await);
    })
    .await;
}

#[tokio::test]
async fn rows_made_without_a_secret_are_sealed_once_there_is_one() {
    with_each_database(async |options| {
        let plain = from_rows(options, None).await.expect("make keys");
        assert!(!holds_no_plain_key(options, &plain).await);
        let sealed = from_rows(options, Some("late")).await.expect("seal keys");
        assert_eq!(all(&plain), all(&sealed));
        assert!(holds_no_plain_key(options, &plain).await);
        assert!(matches!(from_rows(options, None).await.err(), Some(KeysError::SecretMissing(_))));
    })
    .await;
}

async fn holds_no_plain_key(options: &DbOptions, keys: &Keys) -> bool {
    let db = open("yard", options, &Clock::default()).await.expect("open the yard's database");
    let rows = db.all::<(Vec<u8>,)>("SELECT value FROM secret", args![]).await.expect("read the rows");
    assert_eq!(rows.len(), 6);
    rows.iter().all(|(value,)| all(keys).iter().all(|key| !value.windows(32).any(|part| part == key)))
}

#[test]
fn a_sealed_key_opens_under_its_own_name_and_unchanged_only() {
    let sealer = seal::Sealer::new("secret");
    let sealed = sealer.seal(TOKEN, &[9; 32]).expect("seal");
    assert_eq!(sealer.open(TOKEN, &sealed), Some([9; 32]));
    assert_ne!(sealer.seal(TOKEN, &[9; 32]).expect("seal"), sealed, "a nonce is used once");
    assert_eq!(sealer.open(LOG, &sealed), None);
    assert_eq!(seal::Sealer::new("Secret").open(TOKEN, &sealed), None);
    assert_eq!(sealer.open(TOKEN, &sealed[..20]), None);
    for at in [0, 24, sealed.len() - 1] {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert_eq!(sealer.open(TOKEN, &changed), None);
    }
}
