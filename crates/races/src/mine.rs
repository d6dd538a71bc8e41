//! `GET /api/v1/registrations` and `GET /api/v1/registrations/{id}`: my places.

use axum::Json;
use axum::extract::State;
use kernel::{ClaimId, Cursor, Page, Role};
use platform::http::auth::Claimant;
use platform::http::{IdPath, ListQuery, Problem, Result, codes};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::Races;
use crate::registration::{RegistrationBody, RegistrationState};
use crate::store::registrations::{self, positions};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filters {
    state: Option<RegistrationState>,
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    cursor: Option<String>,
}

/// My registrations, newest first.
#[utoipa::path(get, path = "/api/v1/registrations", operation_id = "list_my_registrations",
    tag = "registrations", params(Filters),
    responses((status = 200, body = Page<RegistrationBody>)), security(("bearer" = [])))]
pub async fn list(
    State(races): State<Races>,
    Claimant(caller): Claimant,
    ListQuery(filters): ListQuery<Filters>,
) -> Result<Json<Page<RegistrationBody>>> {
    let limit = ListQuery::limit(filters.limit)?;
    let after = ListQuery::cursor(filters.cursor.as_deref())?;
    let rows = registrations::list_mine(&races.db, caller.user, filters.state.map(Into::into), after, limit).await?;
    let places = positions(&races.db, &rows).await?;
    let page = Page::cut(rows, limit, |row| Cursor { key: row.received_ms, id: row.id.0 });
    let body = |row: &registrations::Registration| {
        RegistrationBody::of_row(row, places.get(&row.id).copied()).for_owner(&races, row)
    };
    Ok(Json(Page { items: page.items.iter().map(body).collect(), next_cursor: page.next_cursor }))
}

/// One registration.
///
/// For its owner, the race's organiser and admins.
#[utoipa::path(get, path = "/api/v1/registrations/{id}", operation_id = "read_registration",
    tag = "registrations", params(("id" = Uuid, Path)),
    responses((status = 200, body = RegistrationBody)), security(("bearer" = [])))]
pub async fn read(
    State(races): State<Races>,
    Claimant(caller): Claimant,
    IdPath(id): IdPath,
) -> Result<Json<RegistrationBody>> {
    let found = registrations::find(&races.db, ClaimId(id)).await?;
    let row = found.ok_or_else(|| Problem::new(&codes::NOT_FOUND))?;
    let place = positions(&races.db, std::slice::from_ref(&row)).await?.remove(&row.id);
    let body = RegistrationBody::of_row(&row, place);
    if row.user == caller.user {
        return Ok(Json(body.for_owner(&races, &row)));
    }
    let organises = caller.rehearsal.is_none()
        && (caller.role == Role::Admin || (caller.role == Role::Company && row.race_owner == caller.user));
    if organises { Ok(Json(body)) } else { Err(Problem::new(&codes::NOT_FOUND)) }
}
