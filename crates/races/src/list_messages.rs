//! `GET /api/v1/races/{id}/messages`: what the organiser wrote to those who registered.

use axum::Json;
use axum::extract::State;
use kernel::{Cursor, MessageId, Page, RaceId, UserId, UtcTime};
use platform::http::auth::Company;
use platform::http::{IdPath, ListQuery, Result};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::registration::RegistrationState;
use crate::store::messages::{self, Message};
use crate::{Races, access};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct RaceMessage {
    pub id: MessageId,
    /// The organiser, or an admin in his place.
    pub sent_by: UserId,
    pub title: String,
    pub body: String,
    /// It went to whose registration was in one of these states.
    pub states: Vec<RegistrationState>,
    /// How many people they were.
    pub recipients: i64,
    pub created_at: UtcTime,
}

/// List the messages of a race, newest first.
#[utoipa::path(get, path = "/api/v1/races/{id}/messages", operation_id = "list_race_messages",
    tag = "races", params(("id" = Uuid, Path), Paging),
    responses((status = 200, body = Page<RaceMessage>)), security(("bearer" = [])))]
pub async fn list(
    State(races): State<Races>,
    Company(caller): Company,
    IdPath(id): IdPath,
    ListQuery(paging): ListQuery<Paging>,
) -> Result<Json<Page<RaceMessage>>> {
    let race = access::managed(&races.db, RaceId(id), &caller).await?;
    let limit = ListQuery::limit(paging.limit)?;
    let after = ListQuery::cursor(paging.cursor.as_deref())?;
    let found = messages::list(&races.db, race.id, after, limit).await?;
    let bodies = found.into_iter().map(RaceMessage::from).collect();
    Ok(Json(Page::cut(bodies, limit, |message: &RaceMessage| Cursor { key: message.created_at.0, id: message.id.0 })))
}

impl From<Message> for RaceMessage {
    fn from(message: Message) -> Self {
        Self {
            id: message.id,
            sent_by: message.sent_by,
            title: message.title,
            body: message.body,
            states: message.states.into_iter().map(Into::into).collect(),
            recipients: message.recipients,
            created_at: UtcTime(message.created_ms),
        }
    }
}
