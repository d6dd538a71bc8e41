//! Where a test runs: a fresh database each time, on SQLite and on PostgreSQL.

use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::sync::Once;

use futures::FutureExt;
use platform::db::{Clock, Db, DbOptions, open};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

const POSTGRES: &str = "MADANG_TEST_POSTGRES_URL";

/// A database of the test's own.
pub struct Site {
    options: DbOptions,
    /// Its file lies here; none on PostgreSQL.
    pub dir: Option<TempDir>,
}

impl Site {
    /// An empty directory for SQLite.
    pub fn sqlite() -> Site {
        let dir = TempDir::new().unwrap();
        Site { options: DbOptions::Sqlite { dir: dir.path().to_owned() }, dir: Some(dir) }
    }

    /// Opens it as one more process would: connections and a clock of its own.
    pub async fn open(&self, context: &'static str) -> Db {
        open(context, &self.options, &Clock::default()).await.unwrap()
    }

    pub fn options(&self) -> &DbOptions {
        &self.options
    }

    /// The address of a PostgreSQL site.
    pub fn url(&self) -> &str {
        match &self.options {
            DbOptions::Postgres { url } => url,
            DbOptions::Sqlite { .. } => panic!("this site is no PostgreSQL"),
        }
    }

    /// A PostgreSQL site as seen through another address, e.g. a proxy's.
    pub fn at(&self, authority: &str) -> Site {
        let (scheme, rest) = self.url().split_once("://").unwrap();
        let (user, rest) = rest.split_once('@').unwrap();
        let (_, path) = rest.split_once('/').unwrap();
        let url = format!("{scheme}://{user}@{authority}/{path}");
        Site { options: DbOptions::Postgres { url }, dir: None }
    }

    /// A connection that is none of the product's.
    pub async fn stranger(&self) -> PgConnection {
        let options: sqlx::postgres::PgConnectOptions = self.url().parse().unwrap();
        options.connect().await.unwrap()
    }
}

/// Runs the test on both databases, each time on a fresh one.
pub async fn databases(test: impl AsyncFn(&Site)) {
    sqlite(&test).await;
    postgres(&test).await;
}

/// Runs the test on SQLite.
pub async fn sqlite(test: impl AsyncFn(&Site)) {
    eprintln!("-- on SQLite");
    Box::pin(test(&Site::sqlite())).await;
}

/// Is there a PostgreSQL to test on? Says loudly where there is none.
pub fn has_postgres() -> bool {
    let there = std::env::var_os(POSTGRES).is_some();
    if !there {
        say_skipped();
    }
    there
}

/// Runs the test on PostgreSQL; says loudly that it does not where there is none.
pub async fn postgres(test: impl AsyncFn(&Site)) {
    eprintln!("-- on PostgreSQL");
    let Ok(server) = std::env::var(POSTGRES) else { return say_skipped() };
    let name = format!("test_{}", Uuid::now_v7().simple());
    run_as_owner(&server, &format!("CREATE DATABASE {name}")).await;
    let (address, _) = server.rsplit_once('/').unwrap();
    let site = Site { options: DbOptions::Postgres { url: format!("{address}/{name}") }, dir: None };
    let outcome = AssertUnwindSafe(Box::pin(test(&site))).catch_unwind().await;
    run_as_owner(&server, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

async fn run_as_owner(server: &str, sql: &str) {
    let mut connection = PgConnection::connect(server).await.unwrap();
    sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn say_skipped() {
    static ONCE: Once = Once::new();
    // Why not eprintln: the test harness swallows that of a test that passes.
    let text = format!("\n!!!! {POSTGRES} is not set: NOTHING IS TESTED ON POSTGRESQL (scripts/test sets it) !!!!\n\n");
    ONCE.call_once(|| std::io::stderr().write_all(text.as_bytes()).unwrap());
}
