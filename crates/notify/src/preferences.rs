//! `/api/v1/notification-preferences`: what I want to hear of, and where.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use kernel::UserId;
use platform::db::{DbError, Query};
use platform::http::auth::Member;
use platform::http::{Body, Problem, Result, codes};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::kinds::{self, Channel, Kind};
use crate::store::deliveries;
use crate::{App, store};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NotificationPreferences)]
pub struct PreferencesBody {
    /// Where Slack messages go; null for nowhere.
    slack_user_id: Option<String>,
    items: Vec<PreferenceBody>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PreferenceBody {
    kind: &'static str,
    /// Whether the inbox can do without it.
    optional: bool,
    inbox: bool,
    email: bool,
    slack: bool,
}

/// Kinds and channels that are left out are as if nothing had been said.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct PreferencesChange {
    #[garde(length(max = 100), dive)]
    #[schema(max_items = 100)]
    items: Vec<PreferenceChange>,
    /// As Slack shows it in a profile, e.g. `U012AB3CD`.
    #[garde(inner(pattern(r"^[UW][A-Z0-9]{2,30}$")))]
    #[schema(pattern = "^[UW][A-Z0-9]{2,30}$")]
    slack_user_id: Option<String>,
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct PreferenceChange {
    kind: String,
    inbox: Option<bool>,
    email: Option<bool>,
    slack: Option<bool>,
}

impl PreferenceChange {
    fn of(&self, channel: Channel) -> Option<bool> {
        match channel {
            Channel::Inbox => self.inbox,
            Channel::Email => self.email,
            Channel::Slack => self.slack,
        }
    }
}

/// What I want to hear of, and where.
#[utoipa::path(get, path = "/api/v1/notification-preferences", operation_id = "read_notification_preferences",
    tag = "notices", responses((status = 200, body = PreferencesBody)), security(("bearer" = [])))]
pub async fn read(State(app): State<Arc<App>>, Member(caller): Member) -> Result<Json<PreferencesBody>> {
    Ok(Json(now(&app.db, caller.user).await?))
}

/// Say what I want to hear of, and where.
#[utoipa::path(put, path = "/api/v1/notification-preferences", operation_id = "change_notification_preferences",
    tag = "notices", request_body = PreferencesChange,
    responses((status = 200, body = PreferencesBody)), security(("bearer" = [])))]
pub async fn change(
    State(app): State<Arc<App>>,
    Member(caller): Member,
    body: Body<PreferencesChange>,
) -> Result<Json<PreferencesBody>> {
    let (user, chosen, slack) = (caller.user, chosen(&body.value)?, body.value.slack_user_id);
    app.db
        .write(move |tx| {
            Box::pin(async move {
                store::set_preferences(tx, user, &chosen).await?;
                deliveries::set_slack(tx, user, slack.as_deref()).await
            })
        })
        .await?;
    Ok(Json(now(&app.db, user).await?))
}

async fn now(query: &impl Query, user: UserId) -> std::result::Result<PreferencesBody, DbError> {
    let chosen = store::preferences(query, user).await?.into_iter();
    let chosen: HashMap<(String, String), bool> =
        chosen.map(|(kind, channel, wanted)| ((kind, channel), wanted != 0)).collect();
    let wants = |kind: &Kind, channel: Channel| {
        let said = chosen.get(&(kind.code.to_owned(), channel.as_str().to_owned())).copied();
        said.unwrap_or_else(|| kind.goes_to(channel))
    };
    let item = |kind: &&'static Kind| PreferenceBody {
        kind: kind.code,
        optional: kind.optional,
        inbox: wants(kind, Channel::Inbox),
        email: wants(kind, Channel::Email),
        slack: wants(kind, Channel::Slack),
    };
    let (_, slack_user_id, _) = deliveries::reached(query, user).await?;
    Ok(PreferencesBody { slack_user_id, items: kinds::ALL.iter().map(item).collect() })
}

/// What differs from the defaults.
fn chosen(change: &PreferencesChange) -> Result<Vec<(&'static str, Channel, bool)>> {
    let mut problem = Problem::new(&codes::INVALID);
    let (mut chosen, mut seen) = (Vec::new(), HashSet::new());
    for (at, item) in change.items.iter().enumerate() {
        let Some(kind) = kinds::find(&item.kind) else {
            problem = problem.and_field(&format!("items[{at}].kind"), "unknown", "there is no such kind of notice");
            continue;
        };
        if !seen.insert(kind.code) {
            problem = problem.and_field(&format!("items[{at}].kind"), "repeated", "this kind is there twice");
            continue;
        }
        if !kind.optional && item.inbox == Some(false) {
            problem = problem.and_field(&format!("items[{at}].inbox"), "needed", "this kind always is in the inbox");
        }
        for channel in Channel::ALL {
            if let Some(wanted) = item.of(channel).filter(|wanted| *wanted != kind.goes_to(channel)) {
                chosen.push((kind.code, channel, wanted));
            }
        }
    }
    if problem.errors.is_empty() { Ok(chosen) } else { Err(problem) }
}
