//! A database for each yard, and what lies in it.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use platform::db::DbOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};

use crate::Db;

/// Rows by table.
pub type Rows = BTreeMap<String, i64>;

const URL: &str = "MADANG__DB__URL";
const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Where yards find a database of their own.
pub enum Database {
    /// In each yard's data directory.
    Sqlite,
    /// On this server; a database is made for each yard.
    Postgres { server: reqwest::Url },
}

/// One yard's database.
pub enum Place {
    Sqlite { data: PathBuf },
    Postgres { server: reqwest::Url, name: String },
}

impl Database {
    pub fn new(db: Db) -> Result<Database> {
        match db {
            Db::Sqlite => Ok(Database::Sqlite),
            Db::Postgres => {
                let url = std::env::var(URL).with_context(|| format!("--db postgres needs {URL}"))?;
                Ok(Database::Postgres { server: url.parse().with_context(|| format!("{URL} is not an address"))? })
            }
        }
    }

    /// An empty database for the yard that keeps its files in `data`.
    pub async fn create(&self, data: &Path) -> Result<Place> {
        match self {
            Database::Sqlite => Ok(Place::Sqlite { data: data.to_owned() }),
            Database::Postgres { server } => {
                let name = format!("bench_{}", uuid::Uuid::now_v7().simple());
                command(server, format!("CREATE DATABASE {name}")).await?;
                Ok(Place::Postgres { server: server.clone(), name })
            }
        }
    }
}

impl Place {
    /// The environment that leads a yard there. Empty for SQLite, whatever this process's own environment says.
    pub fn env(&self) -> (&'static str, String) {
        match self {
            Place::Sqlite { .. } => (URL, String::new()),
            Place::Postgres { server, name } => (URL, address(server, name)),
        }
    }

    /// The same for the product's own database code.
    pub fn options(&self) -> DbOptions {
        match self {
            Place::Sqlite { data } => DbOptions::Sqlite { dir: data.clone() },
            Place::Postgres { server, name } => DbOptions::Postgres { url: address(server, name) },
        }
    }

    /// Counts the rows of every table.
    pub async fn rows(&self) -> Result<Rows> {
        match self {
            Place::Sqlite { data } => {
                let mut rows = Rows::new();
                for file in sqlite_files(data)? {
                    sqlite_rows(&file, &mut rows).await.with_context(|| format!("cannot read {}", file.display()))?;
                }
                Ok(rows)
            }
            Place::Postgres { server, name } => postgres_rows(&address(server, name)).await,
        }
    }

    /// Removes what is not in the data directory.
    pub async fn remove(self) -> Result<()> {
        match self {
            Place::Sqlite { .. } => Ok(()),
            Place::Postgres { server, name } => command(&server, format!("DROP DATABASE {name} WITH (FORCE)")).await,
        }
    }
}

fn address(server: &reqwest::Url, name: &str) -> String {
    let mut url = server.clone();
    url.set_path(name);
    url.into()
}

async fn command(server: &reqwest::Url, sql: String) -> Result<()> {
    let mut connection = PgConnection::connect(server.as_str()).await.context("PostgreSQL does not answer")?;
    // The only name in it is one made here.
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

async fn postgres_rows(url: &str) -> Result<Rows> {
    let mut connection = PgConnection::connect(url).await?;
    let tables = sqlx::query(
        "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables \
         WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')",
    );
    let mut rows = Rows::new();
    for table in tables.fetch_all(&mut connection).await? {
        let table: String = table.get(0);
        let count = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let count: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await?;
        rows.insert(table, count);
    }
    connection.close().await?;
    Ok(rows)
}

async fn sqlite_rows(file: &Path, rows: &mut Rows) -> Result<()> {
    let context = file.file_stem().unwrap_or_default().to_string_lossy();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let tables =
        sqlx::query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'");
    for table in tables.fetch_all(&mut connection).await? {
        let table: String = table.get(0);
        let count = AssertSqlSafe(format!("SELECT count(*) FROM \"{}\"", table.replace('"', "\"\"")));
        let count: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await?;
        rows.insert(format!("{context}.{table}"), count);
    }
    connection.close().await?;
    Ok(())
}

/// Every SQLite file below `dir`, known by its first bytes.
fn sqlite_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            files.extend(sqlite_files(&entry.path())?);
        } else if kind.is_file() {
            let mut magic = [0; 16];
            let whole = std::fs::File::open(entry.path())?.read_exact(&mut magic);
            if whole.is_ok() && magic == *SQLITE_MAGIC {
                files.push(entry.path());
            }
        }
    }
    if files.is_empty() && dir.join("madang.sock").exists() {
        bail!("no SQLite file in {}", dir.display());
    }
    files.sort();
    Ok(files)
}

/// Rows that came in per unit of `done`, table by table; tables that grew by less than one in ten thousand are left out.
pub fn growth(before: &Rows, after: &Rows, done: usize) -> Vec<(String, f64)> {
    let per = |table: &String, count: i64| (count - before.get(table).unwrap_or(&0)) as f64 / done.max(1) as f64;
    after.iter().map(|(table, count)| (table.clone(), per(table, *count))).filter(|(_, per)| *per > 0.000_1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rows_are_counted_in_every_file() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("deep")).expect("a directory");
        std::fs::write(dir.path().join("note.txt"), "not a database").expect("a file");
        for (file, rows) in [("a.db", 2), ("deep/b.db", 3)] {
            let options =
                sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join(file)).create_if_missing(true);
            let mut connection = SqliteConnection::connect_with(&options).await.expect("a database");
            sqlx::raw_sql("CREATE TABLE t (x)").execute(&mut connection).await.expect("a table");
            for _ in 0..rows {
                sqlx::raw_sql("INSERT INTO t VALUES (1)").execute(&mut connection).await.expect("a row");
            }
        }
        let place = Place::Sqlite { data: dir.path().to_owned() };
        let rows = place.rows().await.expect("counts");
        assert_eq!(rows, [("a.t".to_owned(), 2), ("b.t".to_owned(), 3)].into());
    }

    #[test]
    fn growth_is_per_unit_and_leaves_out_what_stood_still() {
        let rows =
            |list: &[(&str, i64)]| list.iter().map(|(table, count)| ((*table).to_owned(), *count)).collect::<Rows>();
        let grown = growth(&rows(&[("claim", 10), ("user", 5)]), &rows(&[("claim", 30), ("user", 5), ("blob", 2)]), 20);
        assert_eq!(grown, [("blob".to_owned(), 0.1), ("claim".to_owned(), 1.0)]);
    }
}
