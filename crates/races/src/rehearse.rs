//! `POST /api/v1/admin/rehearsals`: a hidden race with its own marked people, to see the opening minute beforehand.

use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use garde::Validate;
use kernel::contracts::identity::{MintPeople, MintedTokens};
use kernel::{OfferId, RaceId, Role, UserId, Won};
use orderlog::{PoolCode, PoolRule};
use platform::http::auth::Company;
use platform::http::{Body, IdPath, Idempotency, Problem, Remembered, Result, codes};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::Races;
use crate::create::Plan;
use crate::model::{COURSE_GROUP, Course, CourseType, Race, SouvenirRule};
use crate::store::rehearsals::{self, Rehearsal};
use platform::http::once;

/// Tokens made and written at once.
const TOKENS_CHUNK: u32 = 1_000;

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct CreateRehearsal {
    #[garde(range(min = 1, max = 100_000))]
    #[schema(minimum = 1, maximum = 100_000)]
    pub people: u32,
    #[garde(range(min = 1, max = 10_000_000))]
    #[schema(minimum = 1, maximum = 10_000_000)]
    pub capacity: u32,
    /// When it is over, its race and its people are deleted.
    #[serde(default = "ttl_s_default")]
    #[garde(range(min = 60, max = 86_400))]
    #[schema(minimum = 60, maximum = 86_400, default = 3_600)]
    pub ttl_s: u32,
    /// What a place costs, so that paying can be rehearsed too.
    #[serde(default)]
    #[garde(range(min = 0, max = 10_000_000))]
    #[schema(minimum = 0, maximum = 10_000_000, default = 0)]
    pub fee_won: i64,
    /// How long a place is held; by default until the rehearsal is over.
    #[garde(range(min = 60, max = 86_400))]
    #[schema(minimum = 60, maximum = 86_400)]
    pub hold_s: Option<u32>,
}

fn ttl_s_default() -> u32 {
    3_600
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Rehearsal)]
pub struct RehearsalBody {
    pub rehearsal_id: Uuid,
    pub race_id: RaceId,
    /// Where the people's tokens are, relative to the yard's address.
    pub token_url: String,
}

/// Begin a rehearsal.
///
/// Its race is in no list and opens now; its people can claim there and nowhere else.
#[utoipa::path(post, path = "/api/v1/admin/rehearsals", operation_id = "begin_rehearsal",
    tag = "rehearsals", request_body = CreateRehearsal,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = RehearsalBody)), security(("bearer" = [])))]
pub async fn begin(
    State(races): State<Races>,
    Company(caller): Company,
    key: Idempotency,
    body: Body<CreateRehearsal>,
) -> Result<Remembered> {
    let now_ms = races.clock.now_ms();
    let expires_ms = now_ms + i64::from(body.value.ttl_s) * 1_000;
    let plan = races.rehearsal_plan(&body.value, caller.user, now_ms, expires_ms)?;
    let people = body.value.people;
    let rehearsal = Rehearsal {
        id: Uuid::now_v7(),
        race: plan.race.id,
        owner: caller.user,
        people,
        created_ms: now_ms,
        expires_ms,
    };
    let handles = races.clone();
    let answer = once(&races.db, key, caller.user, "rehearsals.create", body.sha, move |tx| {
        let (races, plan, rehearsal) = (handles.clone(), plan.clone(), rehearsal.clone());
        Box::pin(async move {
            races.publish(tx, &plan).await?;
            rehearsals::insert(tx, &rehearsal).await?;
            let body = RehearsalBody {
                rehearsal_id: rehearsal.id,
                race_id: rehearsal.race,
                token_url: format!("/api/v1/admin/rehearsals/{}/tokens", rehearsal.id),
            };
            Ok(Remembered::of(StatusCode::CREATED, &body))
        })
    })
    .await?;
    races.mint_people(&answer, people).await?;
    Ok(answer)
}

/// The people's access tokens, one JSON object `{user_id, token}` a line.
///
/// For whoever began the rehearsal, and admins.
#[utoipa::path(get, path = "/api/v1/admin/rehearsals/{id}/tokens", operation_id = "list_rehearsal_tokens",
    tag = "rehearsals", params(("id" = Uuid, Path)),
    responses((status = 200, body = String, content_type = "application/x-ndjson")), security(("bearer" = [])))]
pub async fn tokens(State(races): State<Races>, Company(caller): Company, IdPath(id): IdPath) -> Result<Response> {
    let found = rehearsals::find(&races.db, id).await?;
    let found = found.filter(|one| one.owner == caller.user || caller.role == Role::Admin);
    let rehearsal = found.filter(|one| one.expires_ms > races.clock.now_ms());
    let rehearsal = rehearsal.ok_or_else(|| Problem::new(&codes::NOT_FOUND))?;
    // The first chunk is made before the answer begins, so that a failure is a problem and not a broken stream.
    let first = races.token_chunk(rehearsal.id, None).await?;
    let rest = stream::try_unfold(first.next, move |after| {
        let races = races.clone();
        async move {
            let Some(after) = after else { return Ok::<_, std::io::Error>(None) };
            let chunk = races.token_chunk(rehearsal.id, Some(after)).await;
            let chunk = chunk.map_err(|problem| std::io::Error::other(problem.code.code))?;
            Ok(Some((chunk.lines, chunk.next)))
        }
    });
    let lines = futures::StreamExt::chain(stream::once(std::future::ready(Ok(first.lines))), rest);
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))];
    Ok((kind, HttpBody::from_stream(lines)).into_response())
}

struct TokenChunk {
    lines: Vec<u8>,
    /// The last person of a full chunk: more may follow.
    next: Option<UserId>,
}

impl Races {
    fn rehearsal_plan(&self, wish: &CreateRehearsal, owner: UserId, now_ms: i64, expires_ms: i64) -> Result<Plan> {
        let kind = CourseType::Km10;
        let code = PoolCode::new(kind.as_str()).map_err(|_| Problem::new(&codes::INTERNAL))?;
        let course = Course { code, kind, distance_m: kind.distance_m().unwrap_or(10_000), fee: Won(wish.fee_won) };
        let pool = PoolRule {
            code,
            label: course.label(),
            group: COURSE_GROUP.to_owned(),
            capacity: wish.capacity,
            held_back: 0,
        };
        let race = Race {
            id: RaceId::fresh(),
            owner,
            offer: OfferId::fresh(),
            title: "Rehearsal".to_owned(),
            description: String::new(),
            place: "-".to_owned(),
            race_at_ms: expires_ms,
            terms: String::new(),
            terms_version: 1,
            souvenir_rule: SouvenirRule::Optional,
            souvenirs: Vec::new(),
            refund_rules: Vec::new(),
            courses: vec![course],
            rules_edit: None,
            hidden: true,
            version: 1,
            created_ms: now_ms,
            cancelled_ms: None,
            deleted_ms: None,
        };
        let mut rules = self.rules(race.offer, now_ms, expires_ms, vec![pool]);
        // Why so long: a hold that ended during the rehearsal would sell a place twice over.
        rules.hold_s = wish.hold_s.unwrap_or(wish.ttl_s);
        Ok(Plan { race, rules })
    }

    /// Has identity make the people of a rehearsal; again is harmless, so a repeat completes what broke off.
    async fn mint_people(&self, answer: &Remembered, people: u32) -> Result<()> {
        let begun: RehearsalBody = serde_json::from_str(&answer.body).map_err(|_| Problem::new(&codes::INTERNAL))?;
        let Some(rehearsal) = rehearsals::find(&self.db, begun.rehearsal_id).await? else { return Ok(()) };
        let (race_id, expires_ms) = (rehearsal.race, rehearsal.expires_ms);
        self.peers.call(&MintPeople { rehearsal_id: rehearsal.id, race_id, people, expires_ms }).await
    }

    async fn token_chunk(&self, rehearsal_id: Uuid, after: Option<UserId>) -> Result<TokenChunk> {
        let made = self.peers.call(&MintedTokens { rehearsal_id, after, limit: TOKENS_CHUNK }).await?;
        let mut lines = Vec::with_capacity(made.len() * 512);
        for one in &made {
            serde_json::to_writer(&mut lines, one).map_err(|_| Problem::new(&codes::INTERNAL))?;
            lines.push(b'\n');
        }
        let next = made.last().filter(|_| made.len() == TOKENS_CHUNK as usize).map(|one| one.user_id);
        Ok(TokenChunk { lines, next })
    }
}
