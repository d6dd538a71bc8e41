//! Sagas as operators and contexts read them.

use ::saga::State;
use kernel::{Cursor, UtcTime};
use sea_orm::FromQueryResult;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Sagas, store};
use crate::db::{DbError, Query, args};

/// A saga as it stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Saga)]
pub struct SagaBody {
    pub id: Uuid,
    pub name: String,
    pub version: i64,
    /// What it is about.
    pub subject: String,
    /// What it was started with.
    #[schema(value_type = Object)]
    pub data: Value,
    /// `running`, `undoing`, `completed`, `compensated` or `stuck`.
    pub state: String,
    /// The step at hand; empty at the end.
    pub step: String,
    /// Is somebody working on it right now?
    pub at_work: bool,
    /// How often it was taken up.
    pub attempt: i64,
    /// Tries of the step in a row without an outcome.
    pub tries: i64,
    /// Its next try; null when it waits for nobody but an operator, or is over.
    pub due_at: Option<UtcTime>,
    pub created_at: UtcTime,
    pub ended_at: Option<UtcTime>,
    pub last_error: Option<String>,
}

impl SagaBody {
    pub fn state(&self) -> Option<State> {
        State::parse(&self.state)
    }
}

#[derive(FromQueryResult)]
pub(super) struct SagaRow {
    id: Uuid,
    name: String,
    version: i64,
    subject: String,
    data: String,
    state: String,
    step: String,
    owner: Option<Uuid>,
    attempt: i64,
    due_ms: i64,
    tries: i64,
    created_ms: i64,
    ended_ms: Option<i64>,
    last_error: Option<String>,
}

#[derive(FromQueryResult)]
struct LineRow {
    at_ms: i64,
    attempt: i64,
    step: String,
    event: String,
    detail: String,
    took_ms: Option<i64>,
}
crate::rows!(SagaRow, LineRow);

impl From<SagaRow> for SagaBody {
    fn from(row: SagaRow) -> Self {
        let open = matches!(State::parse(&row.state), Some(State::Running | State::Undoing));
        SagaBody {
            id: row.id,
            name: row.name,
            version: row.version,
            subject: row.subject,
            data: serde_json::from_str(&row.data).unwrap_or_default(),
            state: row.state,
            step: row.step,
            at_work: row.owner.is_some(),
            attempt: row.attempt,
            tries: row.tries,
            due_at: open.then_some(UtcTime(row.due_ms)),
            created_at: UtcTime(row.created_ms),
            ended_at: row.ended_ms.map(UtcTime),
            last_error: row.last_error,
        }
    }
}

/// One line of a saga's log.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SagaLogLine)]
pub struct LogLine {
    pub at: UtcTime,
    pub attempt: i64,
    pub step: String,
    /// `begun`, `done`, `refused`, `unknown`, `stuck`, `undo_begun`, `undone`, `not_yet`, `ordered` or `retried`.
    pub event: String,
    /// The step's result as JSON, or the reason.
    pub detail: String,
    /// Of an outcome: milliseconds since the step was begun.
    pub took_ms: Option<i64>,
}

/// Which sagas a list shows.
#[derive(Clone, Debug, Default)]
pub struct SagaFilter {
    pub state: Option<State>,
    pub name: Option<String>,
}

/// The three rates of a saga, and how long its steps take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SagaRates)]
pub struct Rates {
    pub started: i64,
    pub completed: i64,
    pub compensated: i64,
    pub stuck: i64,
    pub steps: Vec<StepRates>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SagaStepRates)]
pub struct StepRates {
    pub step: String,
    pub done: i64,
    pub p50_ms: i64,
    pub p95_ms: i64,
    pub p99_ms: i64,
}

const COLUMNS: &str = "SELECT id, name, version, subject, data, state, step, owner, attempt, due_ms, tries, created_ms, ended_ms, last_error FROM saga";

/// More of one subject would be a mistake of its context.
const SUBJECT_MAX: i64 = 100;

impl Sagas {
    pub async fn find(&self, id: Uuid) -> Result<Option<SagaBody>, DbError> {
        find(&self.0.db, id, "").await
    }

    /// The sagas about a subject, the newest first.
    pub async fn by_subject(&self, subject: &str) -> Result<Vec<SagaBody>, DbError> {
        let sql = format!("{COLUMNS} WHERE subject = $1 ORDER BY created_ms DESC, id DESC LIMIT {SUBJECT_MAX}");
        let rows = self.0.db.all::<SagaRow>(&sql, args![subject]).await?;
        Ok(rows.into_iter().map(SagaBody::from).collect())
    }

    /// One more than `limit`, the newest first, for [`kernel::Page::cut`].
    pub async fn list(&self, filter: &SagaFilter, after: Option<Cursor>, limit: i64) -> Result<Vec<SagaBody>, DbError> {
        let after = after.unwrap_or(Cursor { key: i64::MAX, id: Uuid::max() });
        let (mut conditions, mut args) = (String::new(), args![after.key, after.id, limit + 1]);
        if let Some(name) = &filter.name {
            args.push(name.as_str().into());
            conditions += &format!(" AND name = ${}", args.len());
        }
        if let Some(state) = filter.state {
            // Invariant: one of our own five words. As text the partial index of the stuck ones is found.
            conditions += &format!(" AND state = '{}'", state.as_str());
        }
        let sql = format!(
            "{COLUMNS} WHERE (created_ms, id) < ($1, $2){conditions} ORDER BY created_ms DESC, id DESC LIMIT $3"
        );
        Ok(self.0.db.all::<SagaRow>(&sql, args).await?.into_iter().map(SagaBody::from).collect())
    }

    pub async fn log(&self, id: Uuid) -> Result<Vec<LogLine>, DbError> {
        let sql = "SELECT at_ms, attempt, step, event, detail, took_ms FROM saga_log WHERE saga_id = $1 ORDER BY seq";
        let line = |row: LineRow| LogLine {
            at: UtcTime(row.at_ms),
            attempt: row.attempt,
            step: row.step,
            event: row.event,
            detail: row.detail,
            took_ms: row.took_ms,
        };
        Ok(self.0.db.all::<LineRow>(sql, args![id]).await?.into_iter().map(line).collect())
    }

    /// What became of the sagas of a name that were started since then.
    pub async fn rates(&self, name: &str, since_ms: i64) -> Result<Rates, DbError> {
        let sql = "SELECT state, count(*) FROM saga WHERE name = $1 AND created_ms >= $2 GROUP BY state";
        let counts = self.0.db.all::<(String, i64)>(sql, args![name, since_ms]).await?;
        let of = |state: State| counts.iter().find(|(found, _)| found == state.as_str()).map_or(0, |(_, count)| *count);
        Ok(Rates {
            started: counts.iter().map(|(_, count)| count).sum(),
            completed: of(State::Completed),
            compensated: of(State::Compensated),
            stuck: of(State::Stuck),
            steps: self.step_rates(name, since_ms).await?,
        })
    }

    async fn step_rates(&self, name: &str, since_ms: i64) -> Result<Vec<StepRates>, DbError> {
        // The rows at the three ranks of each step, by the nearest-rank method.
        let sql = "SELECT step, total, n, took_ms FROM (
                SELECT l.step, l.took_ms, row_number() OVER (PARTITION BY l.step ORDER BY l.took_ms) AS n,
                    count(*) OVER (PARTITION BY l.step) AS total
                FROM saga s JOIN saga_log l ON l.saga_id = s.id AND l.event = 'done'
                WHERE s.name = $1 AND s.created_ms >= $2) ranked
            WHERE n IN ((total * 50 + 99) / 100, (total * 95 + 99) / 100, (total * 99 + 99) / 100)
            ORDER BY step, n";
        let rows = self.0.db.all::<(String, i64, i64, i64)>(sql, args![name, since_ms]).await?;
        let mut steps: Vec<StepRates> = Vec::new();
        for (step, total, n, took_ms) in rows {
            if steps.last().is_none_or(|last| last.step != step) {
                steps.push(StepRates { step, done: total, p50_ms: 0, p95_ms: 0, p99_ms: 0 });
            }
            let Some(last) = steps.last_mut() else { continue };
            let is_rank = |percent: i64| n == (total * percent + 99) / 100;
            for (percent, place) in [(50, &mut last.p50_ms), (95, &mut last.p95_ms), (99, &mut last.p99_ms)] {
                if is_rank(percent) {
                    *place = took_ms;
                }
            }
        }
        Ok(steps)
    }
}

/// One saga; `lock` may be [`store::locked`].
pub(super) async fn find(query: &impl Query, id: Uuid, lock: &str) -> Result<Option<SagaBody>, DbError> {
    let sql = format!("{COLUMNS} WHERE id = $1 {lock}");
    Ok(query.one::<SagaRow>(&sql, args![id]).await?.map(SagaBody::from))
}

pub(super) async fn find_locked(tx: &crate::db::Tx, id: Uuid) -> Result<Option<SagaBody>, DbError> {
    find(tx, id, store::locked(tx.db().kind())).await
}
