//! `/api/v1/admin/notice-kinds`: the texts of each kind, changed and previewed by admins.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use garde::Validate;
use kernel::{UserId, UtcTime};
use platform::audit;
use platform::db::{DbError, Query};
use platform::http::auth::Admin;
use platform::http::{Body, Language, Problem, Result, codes};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::kinds::{self, Channel, Kind, Text};
use crate::model::{Style, Values, check_template, render};
use crate::{App, store};

/// What admins wrote in place of the built-in texts.
pub struct Texts(HashMap<(String, &'static str), store::TextRow>);

impl Texts {
    pub async fn read(query: &impl Query) -> std::result::Result<Self, DbError> {
        let rows = store::texts(query).await?.into_iter();
        let language = |row: &store::TextRow| if row.language == "en" { "en" } else { "ko" };
        Ok(Self(rows.map(|row| ((row.kind.clone(), language(&row)), row)).collect()))
    }

    fn own(&self, kind: &Kind, language: Language) -> Option<&store::TextRow> {
        self.0.get(&(kind.code.to_owned(), language.as_str()))
    }

    /// The text that counts.
    pub fn of(&self, kind: &Kind, language: Language) -> Text<&str> {
        match (self.own(kind, language), language) {
            (Some(row), _) => Text { title: &row.title, body: &row.body },
            (None, Language::Ko) => kind.ko,
            (None, Language::En) => kind.en,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct TextBody {
    #[garde(length(chars, min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    title: String,
    #[garde(length(chars, max = 2_000))]
    #[schema(max_length = 2_000)]
    body: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = NoticeKind)]
pub struct KindBody {
    code: &'static str,
    /// The names its texts may use in braces: `{race}`.
    values: &'static [&'static str],
    link: &'static str,
    /// Whether people may do without it in their inbox.
    optional: bool,
    /// Where it goes when its reader said nothing.
    channels: Vec<Channel>,
    ko: KindTextBody,
    en: KindTextBody,
}

#[derive(Serialize, ToSchema)]
pub struct KindTextBody {
    title: String,
    body: String,
    /// When an admin changed it; null for the built-in text.
    changed_at: Option<UtcTime>,
}

impl KindBody {
    fn new(kind: &'static Kind, texts: &Texts) -> Self {
        let text = |language| {
            let text = texts.of(kind, language);
            let changed_at = texts.own(kind, language).map(|row| UtcTime(row.changed_ms));
            KindTextBody { title: text.title.to_owned(), body: text.body.to_owned(), changed_at }
        };
        Self {
            code: kind.code,
            values: kind.values,
            link: kind.link,
            optional: kind.optional,
            channels: Channel::ALL.into_iter().filter(|channel| kind.goes_to(*channel)).collect(),
            ko: text(Language::Ko),
            en: text(Language::En),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub struct KindList {
    items: Vec<KindBody>,
}

/// The kinds of notices with their texts (admins).
#[utoipa::path(get, path = "/api/v1/admin/notice-kinds", operation_id = "list_notice_kinds", tag = "notices",
    responses((status = 200, body = KindList)), security(("bearer" = [])))]
pub async fn list(State(app): State<Arc<App>>, Admin(_caller): Admin) -> Result<Json<KindList>> {
    let texts = Texts::read(&app.db).await?;
    Ok(Json(KindList { items: kinds::ALL.iter().map(|kind| KindBody::new(kind, &texts)).collect() }))
}

/// New texts; a language that is null goes back to the built-in one.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct KindChange {
    #[garde(dive)]
    ko: Option<TextBody>,
    #[garde(dive)]
    en: Option<TextBody>,
}

impl KindChange {
    fn of(&self, language: Language) -> Option<&TextBody> {
        match language {
            Language::Ko => self.ko.as_ref(),
            Language::En => self.en.as_ref(),
        }
    }
}

const LANGUAGES: [Language; 2] = [Language::Ko, Language::En];

/// Change the texts of a kind (admins).
///
/// Notices that were sent before show the new text too.
#[utoipa::path(put, path = "/api/v1/admin/notice-kinds/{code}", operation_id = "change_notice_kind", tag = "notices",
    params(("code" = String, Path)), request_body = KindChange,
    responses((status = 200, body = KindBody)), security(("bearer" = [])))]
pub async fn change(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(code): Path<String>,
    body: Body<KindChange>,
) -> Result<Json<KindBody>> {
    let kind = kinds::find(&code).ok_or_else(|| Problem::new(&codes::NOT_FOUND))?;
    let change = body.value;
    check(kind, &change)?;
    let by = caller.user;
    app.db.write(move |tx| Box::pin(async move { save(tx, kind, &change, by).await })).await?;
    Ok(Json(KindBody::new(kind, &Texts::read(&app.db).await?)))
}

async fn save(tx: &platform::db::Tx, kind: &'static Kind, change: &KindChange, by: UserId) -> Result<()> {
    let now_ms = tx.now_ms().await?;
    let before = Texts::read(tx).await?;
    let told = |text: Text<&str>| json!({ "title": text.title, "body": text.body });
    let before = json!({ "ko": told(before.of(kind, Language::Ko)), "en": told(before.of(kind, Language::En)) });
    for language in LANGUAGES {
        let text = change.of(language).map(|text| Text { title: text.title.clone(), body: text.body.clone() });
        store::set_text(tx, kind.code, language, text.as_ref(), by, now_ms).await?;
    }
    let entry = audit::Entry {
        actor: Some(by),
        action: "notice_kind.texts",
        subject: kind.code.to_owned(),
        reason: None,
        before,
        after: json!({ "ko": change.ko, "en": change.en }),
    };
    audit::record(tx, entry).await?;
    Ok(())
}

fn check(kind: &Kind, change: &KindChange) -> Result<()> {
    let mut problem = Problem::new(&codes::INVALID);
    for language in LANGUAGES {
        let Some(text) = change.of(language) else { continue };
        for (part, template) in [("title", &text.title), ("body", &text.body)] {
            if let Err(message) = check_template(template, kind.values) {
                problem = problem.and_field(&format!("{}.{part}", language.as_str()), "placeholder", message);
            }
        }
    }
    if problem.errors.is_empty() { Ok(()) } else { Err(problem) }
}

#[derive(Serialize, ToSchema)]
#[schema(as = NoticeKindPreview)]
pub struct Preview {
    #[schema(inline)]
    ko: TextBody,
    #[schema(inline)]
    en: TextBody,
}

/// See texts as people would (admins).
///
/// Texts that are left out are those that count now; the values are examples. Nothing is changed.
#[utoipa::path(post, path = "/api/v1/admin/notice-kinds/{code}/preview", operation_id = "preview_notice_kind",
    tag = "notices", params(("code" = String, Path)), request_body = KindChange,
    responses((status = 200, body = Preview)), security(("bearer" = [])))]
pub async fn preview(
    State(app): State<Arc<App>>,
    Admin(_caller): Admin,
    Path(code): Path<String>,
    body: Body<KindChange>,
) -> Result<Json<Preview>> {
    let kind = kinds::find(&code).ok_or_else(|| Problem::new(&codes::NOT_FOUND))?;
    check(kind, &body.value)?;
    let texts = Texts::read(&app.db).await?;
    let values = examples(app.db.clock().now_ms());
    let shown = |language| {
        let now = texts.of(kind, language);
        let (title, text) = match body.value.of(language) {
            Some(given) => (given.title.as_str(), given.body.as_str()),
            None => (now.title, now.body),
        };
        let style = Style { language, offset_s: app.config.offset_s };
        TextBody { title: render(title, &values, style), body: render(text, &values, style) }
    };
    Ok(Json(Preview { ko: shown(Language::Ko), en: shown(Language::En) }))
}

fn examples(now_ms: i64) -> Values {
    crate::events::values(json!({
        "race": "한강 달빛 마라톤", "course": "km10", "bib": 1024, "amount": 30_000, "until": now_ms + 600_000,
        "reason": "…", "part": "races", "saga": "registration", "step": "payment",
    }))
}
