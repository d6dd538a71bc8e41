use kernel::{Cursor, UserId};
use platform::db::{DbError, FromQueryResult, Query, Tx, args};
use uuid::Uuid;

use crate::model::{Application, ApplicationState};

const COLUMNS: &str =
    "SELECT c.id, c.user_id, a.username, c.name, c.description, c.state, c.reason, c.created_ms, c.decided_ms
    FROM company_application c JOIN account a ON a.id = c.user_id";

#[derive(FromQueryResult)]
struct ApplicationRow {
    id: Uuid,
    user_id: Uuid,
    username: String,
    name: String,
    description: String,
    state: String,
    reason: Option<String>,
    created_ms: i64,
    decided_ms: Option<i64>,
}
platform::rows!(ApplicationRow);

impl From<ApplicationRow> for Application {
    fn from(row: ApplicationRow) -> Application {
        Application {
            id: row.id,
            user: UserId(row.user_id),
            username: row.username,
            name: row.name,
            description: row.description,
            state: ApplicationState::parse(&row.state).unwrap_or(ApplicationState::Pending),
            reason: row.reason,
            created_ms: row.created_ms,
            decided_ms: row.decided_ms,
        }
    }
}

/// Whose application is it?
pub async fn applicant(tx: &Tx, id: Uuid) -> Result<Option<UserId>, DbError> {
    let row = tx.one::<(Uuid,)>("SELECT user_id FROM company_application WHERE id = $1", args![id]).await?;
    Ok(row.map(|row| UserId(row.0)))
}

/// An application as it stands; read it under its applicant's lock.
pub async fn application(tx: &Tx, id: Uuid) -> Result<Option<Application>, DbError> {
    let row = tx.one::<ApplicationRow>(&format!("{COLUMNS} WHERE c.id = $1"), args![id]).await?;
    Ok(row.map(Application::from))
}

/// The person's application that waits for its decision.
pub async fn open_application(tx: &Tx, user: UserId) -> Result<Option<Uuid>, DbError> {
    let sql = "SELECT id FROM company_application WHERE user_id = $1 AND state = 'pending'";
    Ok(tx.one::<(Uuid,)>(sql, args![user.0]).await?.map(|row| row.0))
}

pub async fn insert_application(tx: &Tx, application: &Application) -> Result<(), DbError> {
    let sql = "INSERT INTO company_application (id, user_id, name, description, state, created_ms) VALUES ($1, $2, $3, $4, $5, $6)";
    let args = args![
        application.id,
        application.user.0,
        application.name.as_str(),
        application.description.as_str(),
        application.state.as_str(),
        application.created_ms,
    ];
    tx.run(sql, args).await?;
    Ok(())
}

pub async fn decide_application(tx: &Tx, application: &Application, by: UserId) -> Result<(), DbError> {
    let sql = "UPDATE company_application SET state = $2, reason = $3, decided_ms = $4, decided_by = $5 WHERE id = $1";
    let args =
        args![application.id, application.state.as_str(), application.reason.clone(), application.decided_ms, by.0];
    tx.run(sql, args).await?;
    Ok(())
}

/// Applications, the newest first, one more than `limit`; of one person or of everybody, in one state or in any.
pub async fn applications_page(
    query: &impl Query,
    user: Option<UserId>,
    state: Option<ApplicationState>,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<Application>, DbError> {
    let mut filter = String::new();
    let mut args = args![after.map_or(Uuid::max(), |cursor| cursor.id), limit + 1];
    if let Some(user) = user {
        args.push(user.0.into());
        filter += &format!(" AND c.user_id = ${}", args.len());
    }
    if let Some(state) = state {
        args.push(state.as_str().into());
        filter += &format!(" AND c.state = ${}", args.len());
    }
    let sql = format!("{COLUMNS} WHERE c.id < $1{filter} ORDER BY c.id DESC LIMIT $2");
    Ok(query.all::<ApplicationRow>(&sql, args).await?.into_iter().map(Application::from).collect())
}
