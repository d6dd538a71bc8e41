//! `POST /api/v1/races/{id}/messages`: the organiser writes to those who registered.

use axum::extract::State;
use axum::http::StatusCode;
use garde::Validate;
use kernel::contracts::races::{RECIPIENTS_MAX, RaceMessageSent};
use kernel::{MessageId, RaceId, UserId, UtcTime};
use platform::audit;
use platform::db::Tx;
use platform::events::publish_all;
use platform::http::auth::Company;
use platform::http::{Body, IdPath, Idempotency, Problem, Remembered, Result, once};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::error::TOO_MANY_MESSAGES;
use crate::model::Race;
use crate::registration::RegistrationState;
use crate::store::messages::{self, Message};
use crate::terms::{Faults, check_text};
use crate::{Races, access};

/// Messages of a race in any 24 hours. Who starves without it: its registrants, of their peace.
const A_DAY_MAX: i64 = 10;
const DAY_MS: i64 = 24 * 3_600_000;
/// Who has a place or waits for one.
const OPEN: [RegistrationState; 4] =
    [RegistrationState::Waitlisted, RegistrationState::Held, RegistrationState::Paying, RegistrationState::Confirmed];

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct SendMessage {
    #[garde(length(chars, min = 1, max = 100))]
    #[schema(min_length = 1, max_length = 100)]
    pub title: String,
    #[garde(length(chars, min = 1, max = 2_000))]
    #[schema(min_length = 1, max_length = 2_000)]
    pub body: String,
    /// To whose registration is in one of these states; all open ones when left out.
    #[garde(length(min = 1, max = 7))]
    #[schema(min_items = 1, max_items = 7)]
    pub states: Option<Vec<RegistrationState>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SentMessage {
    pub id: MessageId,
    /// People it goes to, each once.
    pub recipients: i64,
    pub created_at: UtcTime,
}

/// Write to those who registered.
///
/// 429 `races/too-many-messages`: a race sends ten in 24 hours. A rehearsal's people are not written to.
#[utoipa::path(post, path = "/api/v1/races/{id}/messages", operation_id = "send_race_message",
    tag = "races", request_body = SendMessage,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = SentMessage)), security(("bearer" = [])))]
pub async fn send(
    State(races): State<Races>,
    Company(caller): Company,
    IdPath(id): IdPath,
    key: Idempotency,
    body: Body<SendMessage>,
) -> Result<Remembered> {
    let race = access::managed(&races.db, RaceId(id), &caller).await?;
    let mut faults = Faults::none();
    check_text(&mut faults, "title", &body.value.title);
    check_text(&mut faults, "body", &body.value.body);
    faults.finish()?;
    let (sender, wish) = (caller.user, body.value);
    // Why the race is in it: the same key with the same words may come to another race.
    let sha = Sha256::new().chain_update(id).chain_update(body.sha).finalize().into();
    once(&races.db, key, sender, "races.send-message", sha, move |tx| {
        let (race, wish) = (race.clone(), wish.clone());
        Box::pin(async move { write(tx, &race, sender, wish).await })
    })
    .await
}

/// Message, audit entry and what is told of it, in one transaction.
async fn write(tx: &Tx, race: &Race, sender: UserId, wish: SendMessage) -> Result<Remembered> {
    messages::lock_race(tx, race.id).await?;
    let now_ms = tx.now_ms().await?;
    if let Some(earlier_ms) = messages::nth_newest_ms(tx, race.id, A_DAY_MAX - 1).await?
        && earlier_ms > now_ms - DAY_MS
    {
        let wait_ms = u64::try_from(earlier_ms + DAY_MS - now_ms).unwrap_or(0);
        return Err(Problem::new(&TOO_MANY_MESSAGES).retry_after_ms(wait_ms));
    }
    let mut states = wish.states.unwrap_or(OPEN.to_vec());
    states.sort_unstable();
    states.dedup();
    let states: Vec<_> = states.into_iter().map(Into::into).collect();
    let to = if race.hidden { Vec::new() } else { messages::recipients(tx, race.offer, &states).await? };
    let message = Message {
        id: MessageId::fresh(),
        race: race.id,
        sent_by: sender,
        title: wish.title.trim().to_owned(),
        body: wish.body.trim().to_owned(),
        states,
        recipients: i64::try_from(to.len()).unwrap_or(i64::MAX),
        created_ms: now_ms,
    };
    messages::insert(tx, &message).await?;
    let entry = audit::Entry {
        actor: Some(sender),
        action: "race.message",
        subject: race.id.to_string(),
        reason: None,
        before: json!(null),
        after: json!({ "message": message.id, "title": message.title, "recipients": message.recipients }),
    };
    audit::record(tx, entry).await?;
    let told = to.chunks(RECIPIENTS_MAX).map(|recipients| RaceMessageSent {
        message_id: message.id,
        race_id: race.id,
        race_title: race.title.clone(),
        owner_id: race.owner,
        title: message.title.clone(),
        body: message.body.clone(),
        recipients: recipients.to_vec(),
    });
    publish_all(tx, &told.collect::<Vec<_>>(), Some(sender)).await?;
    let sent = SentMessage { id: message.id, recipients: message.recipients, created_at: UtcTime(now_ms) };
    Ok(Remembered::of(StatusCode::CREATED, &sent))
}
