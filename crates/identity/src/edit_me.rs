//! Editing my own profile. Role, username and what was verified are not mine to edit.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use platform::db::Tx;
use platform::http::auth::Member;
use platform::http::{Body, IfMatch, Language, Problem, ProblemBody, Result, codes};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use crate::events::publish_saved;
use crate::model::{Account, BirthDate, Email, Nickname, PersonName, Phone};
use crate::read_me::Me;
use crate::{App, store};

/// What is absent stays as it is; `null` removes what can be removed.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MeChange {
    #[garde(dive)]
    #[schema(inline)]
    name: Option<PersonName>,
    #[garde(dive)]
    #[schema(inline)]
    nickname: Option<Nickname>,
    #[garde(dive)]
    #[schema(inline)]
    email: Option<Email>,
    #[serde(default, deserialize_with = "given")]
    #[garde(dive)]
    #[schema(inline, value_type = Option<Phone>)]
    phone: Option<Option<Phone>>,
    #[serde(default, deserialize_with = "given")]
    #[garde(dive)]
    #[schema(inline, value_type = Option<BirthDate>)]
    birth_date: Option<Option<BirthDate>>,
    #[garde(skip)]
    language: Option<Language>,
}

#[utoipa::path(
    patch, path = "/api/v1/users/me", tag = "identity", summary = "Edit my profile", request_body = MeChange,
    params(("If-Match" = Option<String>, Header, description = "The version the edit was made from")),
    security(("bearer" = [])),
    responses(
        (status = 200, body = Me),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "The nickname is taken"),
    )
)]
pub async fn edit_me(
    State(app): State<Arc<App>>,
    Member(caller): Member,
    if_match: IfMatch,
    body: Body<MeChange>,
) -> Result<Json<Me>> {
    let account = app
        .db
        .write(move |tx| {
            Box::pin(async move {
                let gone = || Problem::new(&codes::AUTH_REVOKED);
                let account = store::account_locked(tx, caller.user).await?.ok_or_else(gone)?;
                if_match.check(account.version)?;
                edit(tx, account, body.value).await
            })
        })
        .await?;
    Ok(Json(Me::from(account)))
}

async fn edit(tx: &Tx, mut account: Account, change: MeChange) -> Result<Account> {
    let now_ms = tx.now_ms().await?;
    if !change.is_anything() {
        return Ok(account);
    }
    change.apply(&mut account, now_ms)?;
    let by = account.id;
    store::update_account(tx, &mut account, by, now_ms).await?;
    publish_saved(tx, &account, Some(by)).await?;
    Ok(account)
}

impl MeChange {
    fn is_anything(&self) -> bool {
        self.name.is_some()
            || self.nickname.is_some()
            || self.email.is_some()
            || self.phone.is_some()
            || self.birth_date.is_some()
            || self.language.is_some()
    }

    fn apply(self, account: &mut Account, now_ms: i64) -> Result<()> {
        if let Some(name) = self.name {
            account.name = name.into();
        }
        if let Some(nickname) = self.nickname {
            account.nickname = nickname.into();
        }
        if let Some(email) = self.email {
            let email = Some(String::from(email));
            // What was proved about the old address says nothing about the new one.
            account.email_verified &= email == account.email;
            account.email = email;
        }
        if let Some(phone) = self.phone {
            let phone = phone.map(String::from);
            account.phone_verified &= phone == account.phone;
            account.phone = phone;
        }
        if let Some(birth_date) = self.birth_date {
            let birth_date = birth_date.map(String::from);
            // ISO dates compare as text.
            if birth_date.as_deref().is_some_and(|date| date > today(now_ms).as_str()) {
                return Err(Problem::field("birth_date", "future", "nobody is born in the future"));
            }
            account.birth_date = birth_date;
        }
        if let Some(language) = self.language {
            account.language = language;
        }
        Ok(())
    }
}

/// The calendar date where it is latest in the world (UTC+14), so that nobody's birthday is refused.
fn today(now_ms: i64) -> String {
    let latest = chrono::DateTime::from_timestamp_millis(now_ms + 14 * 3_600_000).unwrap_or_default();
    latest.date_naive().to_string()
}

/// Tells a field that is `null` from one that is absent.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> std::result::Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
