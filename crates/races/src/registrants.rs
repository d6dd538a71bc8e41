//! `GET /api/v1/races/{id}/registrations`: who registered, for the organiser; as a page of JSON or all of it as CSV.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use kernel::{Cursor, OfferId, Page, RaceId, UserId};
use platform::http::auth::Company;
use platform::http::{IdPath, ListQuery, Problem, Result, codes};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::list::check_query;
use crate::model::{Address, NextStep};
use crate::registration::{RegistrationBody, RegistrationState};
use crate::store::registrations::{RegistrantFilter, Registration, list_registrants, positions};
use crate::{Races, access};

/// Rows of the CSV read at once; no connection is held in between.
const CSV_CHUNK: i64 = 1_000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filters {
    /// Words that username, name or nickname contain, parts of words too.
    #[param(max_length = 100)]
    q: Option<String>,
    state: Option<RegistrationState>,
    /// A course's code.
    course: Option<String>,
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    cursor: Option<String>,
}

/// A registration with its person; what is not known of him yet is null.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Registrant)]
pub struct RegistrantBody {
    #[serde(flatten)]
    pub registration: RegistrationBody,
    pub user_id: UserId,
    pub username: Option<String>,
    pub name: Option<String>,
    pub nickname: Option<String>,
}

/// A race's registrations in the order of their numbers.
///
/// For its organiser and admins. With `Accept: text/csv` all that match come as one CSV file.
#[utoipa::path(get, path = "/api/v1/races/{id}/registrations", operation_id = "list_registrants",
    tag = "races", params(("id" = Uuid, Path), Filters),
    responses((status = 200, content((Page<RegistrantBody> = "application/json"), (String = "text/csv")))),
    security(("bearer" = [])))]
pub async fn list(
    State(races): State<Races>,
    Company(caller): Company,
    IdPath(id): IdPath,
    ListQuery(filters): ListQuery<Filters>,
    headers: HeaderMap,
) -> Result<Response> {
    let race = access::race(&races.db, RaceId(id)).await?;
    if !access::manages(&race, &caller) {
        // Whoever registered is not public, so for others the list is not there.
        return Err(Problem::new(&codes::NOT_FOUND));
    }
    check_query(filters.q.as_deref())?;
    let known = filters.course.as_ref().is_none_or(|code| race.courses.iter().any(|course| *course.code == **code));
    if !known {
        return Err(Problem::field("course", "unknown", "this race has no such course"));
    }
    let limit = ListQuery::limit(filters.limit)?;
    let after = ListQuery::cursor(filters.cursor.as_deref())?;
    let mut filter = RegistrantFilter {
        text: filters.q,
        state: filters.state.map(Into::into),
        course: filters.course,
        after_seq: 0,
    };
    if wants_csv(&headers) {
        return Ok(csv_of(races, race.offer, filter));
    }
    filter.after_seq = after.map_or(0, |cursor| cursor.key);
    let rows = list_registrants(&races.db, race.offer, &filter, limit + 1).await?;
    let places = positions(&races.db, &rows).await?;
    let page = Page::cut(rows, limit, |row| Cursor { key: row.seq, id: row.id.0 });
    let body = |row: Registration| RegistrantBody {
        registration: RegistrationBody::of_row(&row, places.get(&row.id).copied()),
        user_id: row.user,
        username: row.profile.as_ref().map(|(username, ..)| username.clone()),
        name: row.profile.as_ref().map(|(_, name, _)| name.clone()),
        nickname: row.profile.map(|(.., nickname)| nickname),
    };
    let items = page.items.into_iter().map(body).collect();
    Ok(Json(Page { items, next_cursor: page.next_cursor }).into_response())
}

fn wants_csv(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|range| range.split(';').next().is_some_and(|kind| kind.trim() == "text/csv"))
}

/// The whole list, chunk by chunk, as the client takes it.
fn csv_of(races: Races, offer: OfferId, filter: RegistrantFilter) -> Response {
    let start = Some((races, filter, true));
    let chunks = stream::try_unfold(start, move |state| async move {
        let Some((races, mut filter, first)) = state else { return Ok::<_, std::io::Error>(None) };
        let rows = list_registrants(&races.db, offer, &filter, CSV_CHUNK).await.map_err(std::io::Error::other)?;
        let text = csv_rows(&rows, first)?;
        let last = rows.last().filter(|_| rows.len() as i64 == CSV_CHUNK);
        let next = last.map(|row| row.seq).map(|seq| {
            filter.after_seq = seq;
            (races, filter, false)
        });
        Ok(Some((text, next)))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"registrations.csv\"")),
    ];
    (headers, Body::from_stream(chunks)).into_response()
}

const CSV_HEAD: [&str; 23] = [
    "sequence",
    "registration_id",
    "username",
    "name",
    "nickname",
    "course",
    "souvenir",
    "size",
    "state",
    "bib",
    "next_step",
    "payment",
    "amount_won",
    "refunded_won",
    "recipient",
    "phone",
    "postcode",
    "line1",
    "line2",
    "hold_expires_at",
    "received_at",
    "decided_at",
    "user_id",
];

/// Some lines; the first ones follow a byte order mark, which makes spreadsheets read UTF-8.
fn csv_rows(rows: &[Registration], first: bool) -> std::io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(if first { "\u{feff}".as_bytes().to_vec() } else { Vec::new() });
    if first {
        writer.write_record(CSV_HEAD)?;
    }
    for row in rows {
        let body = RegistrationBody::of_row(row, None);
        let (username, name, nickname) = row.profile.clone().unwrap_or_default();
        let souvenir = body.souvenir.as_ref();
        let payment = row.progress.payment.as_ref();
        let address = row.progress.address.clone();
        let sent = |part: fn(Address) -> String| address.clone().map(part).unwrap_or_default();
        let named = souvenir.and_then(|choice| row.souvenirs.iter().find(|souvenir| souvenir.id == choice.id));
        let cells = [
            body.sequence.to_string(),
            body.id.to_string(),
            username,
            name,
            nickname,
            body.course,
            named.map(|souvenir| souvenir.name.clone()).unwrap_or_default(),
            souvenir.map(|choice| choice.size.clone()).unwrap_or_default(),
            row.state.as_str().to_owned(),
            body.bib.map(|bib| bib.to_string()).unwrap_or_default(),
            body.next_step.map(NextStep::as_str).unwrap_or_default().to_owned(),
            payment.map(|had| had.state.clone()).unwrap_or_default(),
            payment.map(|had| had.amount.0.to_string()).unwrap_or_default(),
            payment.map(|had| had.refunded.0.to_string()).unwrap_or_default(),
            sent(|address| address.recipient),
            sent(|address| address.phone),
            sent(|address| address.postcode),
            sent(|address| address.line1),
            sent(|address| address.line2),
            body.hold_expires_at.map(|time| time.to_string()).unwrap_or_default(),
            body.received_at.to_string(),
            body.decided_at.to_string(),
            row.user.to_string(),
        ];
        writer.write_record(cells.map(plain_cell))?;
    }
    writer.into_inner().map_err(|error| error.into_error())
}

/// A cell that no spreadsheet takes for a formula (OWASP, CSV Injection).
fn plain_cell(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']) {
        format!("'{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_never_a_formula() {
        for bad in ["=1+1", "+82", "-2", "@SUM(A1)", "\tx", "\rx", "＝1"] {
            assert_eq!(plain_cell(bad.to_owned()), format!("'{bad}"));
        }
        for good in ["", "홍길동", "a=b", "1-2", "'quoted'"] {
            assert_eq!(plain_cell(good.to_owned()), good);
        }
    }

    #[test]
    fn csv_is_asked_for_by_its_media_type() {
        let asks = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            wants_csv(&headers)
        };
        assert!(asks("text/csv"));
        assert!(asks("text/html, text/csv;q=0.9"));
        assert!(!asks("application/json"));
        assert!(!asks("*/*"));
        assert!(!wants_csv(&HeaderMap::new()));
    }

    #[test]
    fn the_first_chunk_has_the_mark_and_the_head() {
        let text = String::from_utf8(csv_rows(&[], true).expect("it is written")).expect("it is UTF-8");
        assert!(text.starts_with("\u{feff}sequence,registration_id,"));
        assert!(csv_rows(&[], false).expect("it is written").is_empty());
    }
}
