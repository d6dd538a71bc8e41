//! What a statement can end in, the same on both databases.

use sea_orm::{DbErr, RuntimeErr, SqlErr};

#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database is away, full, locked for too long or read-only: nothing was changed, a later try may do.
    #[error("the database did not answer")]
    Unavailable(#[source] anyhow::Error),
    #[error("a unique key is taken: {0}")]
    Unique(String),
    /// A CHECK, NOT NULL or foreign key refused the row, or a value cannot be stored at all.
    #[error("a constraint refused a row: {0}")]
    Constraint(String),
    /// The row a transaction was about is not there.
    #[error("there is no such row")]
    Missing,
    #[error("the clock jumped by {0} ms")]
    ClockJump(i64),
    #[error("a statement failed")]
    Failed(#[source] anyhow::Error),
}

impl DbError {
    /// Is the unique key of these columns taken? SQLite names `table.column`, PostgreSQL the constraint.
    pub fn is_unique_on(&self, names: &[&str]) -> bool {
        matches!(self, DbError::Unique(text) if names.iter().any(|name| text.contains(name)))
    }

    /// Did one of the rows itself offend, so that the others would have gone through?
    pub fn is_row_fault(&self) -> bool {
        matches!(self, DbError::Unique(_) | DbError::Constraint(_))
    }
}

impl From<DbErr> for DbError {
    fn from(error: DbErr) -> Self {
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(text)) => return DbError::Unique(text),
            Some(SqlErr::ForeignKeyConstraintViolation(text)) => return DbError::Constraint(text),
            _ => {}
        }
        match error {
            DbErr::ConnectionAcquire(_) => DbError::Unavailable(error.into()),
            DbErr::Conn(RuntimeErr::SqlxError(inner))
            | DbErr::Exec(RuntimeErr::SqlxError(inner))
            | DbErr::Query(RuntimeErr::SqlxError(inner)) => from_sqlx(&inner),
            other => DbError::Failed(other.into()),
        }
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        from_sqlx(&error)
    }
}

fn from_sqlx(error: &sqlx::Error) -> DbError {
    let told = || anyhow::anyhow!("{error}");
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_)
        | sqlx::Error::BeginFailed => DbError::Unavailable(told()),
        sqlx::Error::Database(inner) => {
            let code = inner.code().unwrap_or_default().into_owned();
            match inner.kind() {
                sqlx::error::ErrorKind::UniqueViolation => {
                    DbError::Unique(format!("{} {}", inner.constraint().unwrap_or_default(), inner.message()))
                }
                sqlx::error::ErrorKind::Other if is_outage(&code) => DbError::Unavailable(told()),
                sqlx::error::ErrorKind::Other if is_bad_value(&code) => DbError::Constraint(inner.message().to_owned()),
                sqlx::error::ErrorKind::Other => DbError::Failed(told()),
                _ => DbError::Constraint(inner.message().to_owned()),
            }
        }
        _ => DbError::Failed(told()),
    }
}

/// PostgreSQL's data exceptions, e.g. text with a NUL character. SQLite's codes are numbers below 100 or above 255.
fn is_bad_value(code: &str) -> bool {
    code.len() == 5 && code.starts_with("22")
}

/// SQLite primary codes (low byte of the extended code) and PostgreSQL classes that pass by themselves.
fn is_outage(code: &str) -> bool {
    if let (Ok(extended), true) = (code.parse::<u32>(), code.len() <= 4) {
        // BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL
        return matches!(extended & 0xff, 5 | 6 | 7 | 8 | 9 | 10 | 13 | 14 | 15);
    }
    // Connection exception, let in no more, database gone, insufficient resources, operator intervention, system
    // error; lock and read-only.
    ["08", "28", "3D", "53", "57", "58"].iter().any(|class| code.starts_with(class))
        || matches!(code, "55P03" | "25006" | "40P01" | "40001")
}
