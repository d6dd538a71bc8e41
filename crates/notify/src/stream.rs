//! `GET /api/v1/notifications/stream`: notices as they come, and how many are unread.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt, stream};
use kernel::UserId;
use platform::db::{Db, DbError};
use platform::http::auth::Member;
use platform::http::{self, Caller, Language, Stopping};
use platform::live::{self, Live};
use platform::revocation::Revocations;
use tokio::sync::{Mutex, watch};
use uuid::Uuid;

use crate::App;
use crate::list::NotificationBody;
use crate::model::Style;
use crate::store::{self, NoticeRow, Seen};
use crate::texts::Texts;
use crate::unread::UnreadCount;

/// Notices an inbox keeps rendered; who is further behind reads them himself.
const RECENT_MAX: usize = 50;
/// Notices read at once by who resumes.
const RESUMED_AT_ONCE: i64 = 100;
/// How soon the end of a sign-in ends its streams.
const LOOK_FOR_END: Duration = Duration::from_secs(1);
/// Another process's revocation is known here so much later.
const REVOCATION_LAG_MS: i64 = 2_000;
/// Nobody looked for so long: what changed meanwhile concerns nobody who is there now.
const IDLE: Duration = Duration::from_secs(2);

/// Who watches his inbox, and the language of those who set none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reader {
    user: UserId,
    asked: Language,
}

pub type Watched = Live<Reader, Inbox>;

/// An inbox as streams tell it, made once for all of its owner's windows.
#[derive(Clone, Debug)]
pub struct Inbox(Arc<Told>);

#[derive(Debug)]
struct Told {
    /// Notices up to here are in it.
    upto: i64,
    /// `recent` has all after this one.
    since: i64,
    recent: VecDeque<(i64, Bytes)>,
    unread: Bytes,
}

impl PartialEq for Inbox {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Watch my inbox.
///
/// Server-sent events: `notification` for each notice, and `unread` with the count after every change, at most four times a
/// second. Their id is that of the newest notice; with it as `Last-Event-ID` the stream goes on where it broke off.
#[utoipa::path(get, path = "/api/v1/notifications/stream", operation_id = "watch_notifications", tag = "notices",
    params(("Last-Event-ID" = Option<String>, Header)),
    responses((status = 200, body = UnreadCount, content_type = "text/event-stream")), security(("bearer" = [])))]
pub async fn watch(
    State(app): State<Arc<App>>,
    Member(caller): Member,
    stopping: Stopping,
    headers: HeaderMap,
) -> http::Result<Response> {
    let style = app.style(&app.db, caller.user, &headers).await?;
    let (mut sent, mut missed) = (resumed_after(&app, caller.user, &headers).await?, Vec::new());
    if let Some(no) = sent {
        sent = Some(resume(&app, caller.user, style, no, &mut missed).await?);
    }
    let inbox = app.watched.watch(Reader { user: caller.user, asked: style.language });
    let revocations = app.revocations.clone();
    let since_ms = app.db.clock().now_ms() - REVOCATION_LAG_MS;
    let coming = events(Follower { app, user: caller.user, style, sent, inbox });
    let end = async move {
        tokio::select! {
            () = stopping.wait() => {}
            () = signed_out(revocations, &caller, since_ms) => {}
        }
    };
    Ok(live::respond("notifications", stream::iter(missed).chain(coming), end))
}

/// Where the client's last notice stands; `None` for who begins, or whose last notice is long gone.
async fn resumed_after(app: &App, user: UserId, headers: &HeaderMap) -> Result<Option<i64>, DbError> {
    let given = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    match given.and_then(|text| Uuid::try_parse(text).ok()) {
        None => Ok(None),
        // Said by who had none yet.
        Some(id) if id.is_nil() => Ok(Some(0)),
        Some(id) => store::no_of(&app.db, user, id).await,
    }
}

async fn signed_out(revocations: Revocations, caller: &Caller, since_ms: i64) {
    while !revocations.has_ended(caller.session, caller.user, since_ms) {
        tokio::time::sleep(LOOK_FOR_END).await;
    }
}

/// One open stream.
struct Follower {
    app: Arc<App>,
    user: UserId,
    style: Style,
    /// The last notice it was sent.
    sent: Option<i64>,
    inbox: watch::Receiver<Option<Inbox>>,
}

fn events(follower: Follower) -> impl Stream<Item = Bytes> + Send {
    let Follower { app, user, style, sent, inbox } = follower;
    let states = Box::pin(live::states(inbox));
    stream::unfold((states, sent, app), move |(mut states, sent, app)| async move {
        let now = states.next().await?.0;
        let mut frames = Vec::new();
        let mut upto = sent.unwrap_or(now.upto);
        if now.upto < upto {
            // Read before what its client has; the next one is not.
            return Some((stream::iter(frames), (states, Some(upto), app)));
        }
        if upto < now.since {
            // On an error its client comes back and goes on from what it was sent.
            upto = resume(&app, user, style, upto, &mut frames).await.ok()?;
        }
        frames.extend(now.recent.iter().filter(|(no, _)| *no > upto).map(|(_, frame)| frame.clone()));
        frames.push(now.unread.clone());
        Some((stream::iter(frames), (states, Some(upto.max(now.upto)), app)))
    })
    .flatten()
}

/// Reads what came after a notice; answers up to where.
async fn resume(app: &App, user: UserId, style: Style, mut upto: i64, frames: &mut Vec<Bytes>) -> Result<i64, DbError> {
    let texts = Texts::read(&app.db).await?;
    loop {
        let rows = store::after(&app.db, user, upto, RESUMED_AT_ONCE).await?;
        frames.extend(rows.iter().map(|row| frame(row, &texts, style)));
        upto = rows.last().map_or(upto, |row| row.no);
        if rows.len() < RESUMED_AT_ONCE as usize {
            return Ok(upto);
        }
    }
}

fn frame(row: &NoticeRow, texts: &Texts, style: Style) -> Bytes {
    live::event("notification", Some(&row.id.to_string()), &NotificationBody::new(row, texts, style))
}

/// The inboxes that are watched in this process.
pub fn watched(db: Db, offset_s: i32) -> Watched {
    let looked = Arc::new(Mutex::new(None));
    Live::new(move |known| {
        let (db, looked) = (db.clone(), looked.clone());
        async move {
            let mut looked = looked.lock().await;
            let outcome = look(&db, offset_s, &mut looked, known).await;
            if let Some(looked) = looked.as_mut() {
                looked.at = Instant::now();
            }
            outcome
        }
        .boxed()
    })
}

/// How far this process has looked, and when.
struct Looked {
    seen: Seen,
    at: Instant,
}

/// The inboxes that are new or changed since the last look; the others' states are as they were.
async fn look(
    db: &Db,
    offset_s: i32,
    looked: &mut Option<Looked>,
    known: Vec<(Reader, Option<Inbox>)>,
) -> Result<Vec<(Reader, Inbox)>, DbError> {
    // Invariant: read before the inboxes, so that what is written meanwhile is seen by the next look.
    let newest = store::newest(db).await?;
    let begins = known.iter().all(|(_, state)| state.is_none());
    let idle = looked.as_ref().is_none_or(|looked| looked.at.elapsed() > IDLE);
    let seen = match looked.as_ref() {
        // A look for newcomers alone leaves the others' changes to the next.
        Some(looked) if begins && !idle => looked.seen,
        _ => newest,
    };
    let changed: HashSet<Uuid> = match looked.as_ref() {
        Some(looked) if !begins => store::changed(db, looked.seen, newest).await?.into_iter().collect(),
        _ => HashSet::new(),
    };
    let mut states = Vec::new();
    let mut texts = None;
    for (reader, before) in known {
        if before.is_some() && !changed.contains(&reader.user.0) {
            continue;
        }
        if texts.is_none() {
            texts = Some(Texts::read(db).await?);
        }
        let Some(texts) = &texts else { continue };
        states.push((reader, inbox(db, offset_s, reader, before, newest.notice, texts).await?));
    }
    *looked = Some(Looked { seen, at: Instant::now() });
    Ok(states)
}

async fn inbox(
    db: &Db,
    offset_s: i32,
    reader: Reader,
    before: Option<Inbox>,
    newest: i64,
    texts: &Texts,
) -> Result<Inbox, DbError> {
    let (unread, last, language) = store::standing(db, reader.user).await?;
    let language = language.as_deref().and_then(Language::parse).unwrap_or(reader.asked);
    let style = Style { language, offset_s };
    let (mut recent, mut since, mut upto) = match &before {
        Some(before) => (before.0.recent.clone(), before.0.since, before.0.upto),
        None => (VecDeque::new(), newest, newest),
    };
    loop {
        let rows = store::after(db, reader.user, upto, RECENT_MAX as i64).await?;
        for row in &rows {
            upto = row.no;
            recent.push_back((row.no, frame(row, texts, style)));
        }
        if rows.len() < RECENT_MAX {
            break;
        }
    }
    while recent.len() > RECENT_MAX {
        since = recent.pop_front().map_or(since, |(no, _)| no);
    }
    let unread = live::event("unread", Some(&last.unwrap_or_default().to_string()), &UnreadCount { unread });
    Ok(Inbox(Arc::new(Told { upto, since, recent, unread })))
}
