//! `GET /api/v1/races`: the public races, newest first.

use axum::Json;
use axum::extract::State;
use kernel::{Cursor, Page, UserId, UtcTime};
use platform::http::{ListQuery, Problem, Result};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::Races;
use crate::model::CourseType;
use crate::read::RaceBody;
use crate::store::{RaceFilter, RaceState, list_races};
use crate::terms::Reception;

/// Longer questions are nobody's.
const TEXT_CHARS_MAX: usize = 100;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filters {
    /// Words that title or place contain, parts of words too.
    #[param(max_length = 100)]
    q: Option<String>,
    /// Races with a course of this type.
    #[serde(rename = "type")]
    kind: Option<CourseType>,
    reception: Option<Reception>,
    state: Option<RaceState>,
    /// Run at this moment or later.
    from: Option<UtcTime>,
    /// Run before this moment.
    to: Option<UtcTime>,
    /// Races of this organiser.
    owner: Option<uuid::Uuid>,
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    cursor: Option<String>,
}

/// List and search races.
#[utoipa::path(get, path = "/api/v1/races", operation_id = "list_races",
    tag = "races", params(Filters),
    responses((status = 200, body = Page<RaceBody>)), security(()))]
pub async fn list(State(races): State<Races>, ListQuery(filters): ListQuery<Filters>) -> Result<Json<Page<RaceBody>>> {
    check_query(filters.q.as_deref())?;
    let limit = ListQuery::limit(filters.limit)?;
    let filter = RaceFilter {
        text: filters.q.as_deref(),
        kind: filters.kind,
        state: filters.state,
        from_ms: filters.from.map(|time| time.0),
        to_ms: filters.to.map(|time| time.0),
        owner: filters.owner.map(UserId),
        after: ListQuery::cursor(filters.cursor.as_deref())?,
        limit,
    };
    let found = match filters.reception {
        // No race is drawn yet.
        Some(Reception::Lottery) => Vec::new(),
        Some(Reception::FirstCome) | None => list_races(&races.db, &filter, races.clock.now_ms()).await?,
    };
    let bodies = races.bodies(&races.db, found).await?;
    Ok(Json(Page::cut(bodies, limit, |race| Cursor { key: race.created_at.0, id: race.id.0 })))
}

/// Refuses a search text that is too long.
pub fn check_query(text: Option<&str>) -> Result<()> {
    match text {
        Some(text) if text.chars().count() > TEXT_CHARS_MAX => {
            Err(Problem::field("q", "length", format!("a search has at most {TEXT_CHARS_MAX} characters")))
        }
        _ => Ok(()),
    }
}
