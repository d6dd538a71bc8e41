//! Comparing a day: our ledger, our payments, the provider's statement.
//!
//! The sums of the day are compared first; only where they differ is the provider asked for the whole payment, so that
//! a movement that each of us dates to another side of midnight is no difference.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Days, NaiveDate};
use garde::Validate;
use platform::db::DbError;
use platform::http::auth::Admin;
use platform::http::{Body, Problem, Result};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::list_reconciliations::ReconciliationBody;
use crate::provider::{Fault, Provider};
use crate::settle::{named, timed};
use crate::store::reconciliations::{self, Difference, Run};
use crate::{App, error, store};

/// Days that a stop of the yard may have missed.
const DAYS_BACK: u64 = 7;
const DAY_MS: i64 = 86_400_000;
/// More are counted, not listed: whoever has so many has one cause.
const DIFFERENCES_MAX: usize = 1_000;

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Day {
    #[garde(length(chars, max = 32))]
    #[schema(example = "sandbox")]
    provider: String,
    /// In the yard's time zone; yesterday where it is not given. A day that is not over can be compared too.
    #[garde(skip)]
    #[schema(example = "2026-11-24", format = Date)]
    day: Option<String>,
}

/// Compare a day with a provider (admins).
///
/// Our ledger, our payments and the provider's statement. A further run replaces the earlier one of that day.
#[utoipa::path(post, path = "/api/v1/admin/reconciliations", operation_id = "run_reconciliation", tag = "payments",
    request_body = Day, responses((status = 200, body = ReconciliationBody)), security(("bearer" = [])))]
pub async fn run(
    State(app): State<Arc<App>>,
    Admin(_caller): Admin,
    body: Body<Day>,
) -> Result<Json<ReconciliationBody>> {
    let Day { provider, day } = body.value;
    let provider = app.provider(&provider).ok_or_else(|| Problem::new(&error::PROVIDER))?;
    let today = app.today();
    let day = match day {
        None => today.pred_opt().unwrap_or(today),
        Some(text) => text.parse().map_err(|_| Problem::field("day", "date", "a day like 2026-11-24"))?,
    };
    if day > today {
        return Err(Problem::field("day", "range", "a day that has begun"));
    }
    let (run, differences) = reconcile(&app, provider.name(), day).await?;
    Ok(Json(ReconciliationBody::new(&run, &differences, app.config.offset_s)))
}

impl App {
    fn today(&self) -> NaiveDate {
        day_of(self.now_ms(), self.config.offset_s)
    }
}

/// The day of a moment in the yard's time zone.
pub fn day_of(at_ms: i64, offset_s: i32) -> NaiveDate {
    DateTime::from_timestamp_millis(at_ms + i64::from(offset_s) * 1_000).unwrap_or_default().date_naive()
}

fn begin_ms(day: NaiveDate, offset_s: i32) -> i64 {
    day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis() - i64::from(offset_s) * 1_000
}

/// Each provider's days of the last week that are over, had payments, and were not compared since.
pub async fn missing_days(app: &App) -> std::result::Result<Vec<(&'static str, NaiveDate)>, DbError> {
    let Some(first_ms) = reconciliations::first_payment_ms(&app.db).await? else { return Ok(Vec::new()) };
    let (today, offset_s) = (app.today(), app.config.offset_s);
    let earliest = today.checked_sub_days(Days::new(DAYS_BACK)).unwrap_or(today).max(day_of(first_ms, offset_s));
    let mut missing = Vec::new();
    for provider in &app.providers {
        let done = reconciliations::done_since(&app.db, provider.name(), begin_ms(earliest, offset_s)).await?;
        let over = earliest.iter_days().take_while(|day| *day < today);
        missing.extend(over.filter(|day| !done.contains(&begin_ms(*day, offset_s))).map(|day| (provider.name(), day)));
    }
    Ok(missing)
}

/// Compares a day and writes what came of it.
pub async fn reconcile(app: &App, provider: &'static str, day: NaiveDate) -> Result<(Run, Vec<Difference>)> {
    let provider = app.provider(provider).ok_or_else(|| Problem::new(&error::PROVIDER))?;
    let from_ms = begin_ms(day, app.config.offset_s);
    let to_ms = from_ms + DAY_MS;
    let (theirs, entries) = statement(provider, from_ms, to_ms).await?;
    let ours: BTreeMap<String, i64> =
        reconciliations::moved(&app.db, provider.name(), from_ms, to_ms).await?.into_iter().collect();
    let sum = |won: &BTreeMap<String, i64>| won.values().sum();
    let mut run = Run {
        id: Uuid::now_v7(),
        provider: provider.name().to_owned(),
        from_ms,
        to_ms,
        entries,
        provider_won: sum(&theirs),
        ledger_won: sum(&ours),
        differences: 0,
        run_ms: app.now_ms(),
    };
    let won = |of: &BTreeMap<String, i64>, key: &String| of.get(key).copied().unwrap_or(0);
    let mut suspects: BTreeSet<String> =
        theirs.keys().chain(ours.keys()).filter(|key| won(&theirs, key) != won(&ours, key)).cloned().collect();
    suspects.extend(reconciliations::at_odds(&app.db, provider.name(), from_ms, to_ms).await?);
    let mut differences = Vec::new();
    for key in suspects {
        differences.extend(examine(app, provider, &key, won(&theirs, &key)).await?);
    }
    run.differences = i64::try_from(differences.len()).unwrap_or(i64::MAX);
    differences.truncate(DIFFERENCES_MAX);
    write(app, run, differences).await
}

async fn write(app: &App, run: Run, differences: Vec<Difference>) -> Result<(Run, Vec<Difference>)> {
    if run.differences > 0 {
        tracing::error!(provider = run.provider, differences = run.differences, "the books and a provider's differ");
    }
    metrics::gauge!("madang_reconciliation_differences", "provider" => run.provider.clone())
        .set(run.differences as f64);
    app.db
        .write(move |tx| {
            Box::pin(async move {
                let id = reconciliations::replace(tx, &run, &differences).await?;
                Ok((Run { id, ..run }, differences))
            })
        })
        .await
}

/// What the provider's statement says that each payment moved, and of how many entries.
async fn statement(provider: &dyn Provider, from_ms: i64, to_ms: i64) -> Result<(BTreeMap<String, i64>, i64)> {
    let (mut sums, mut entries, mut cursor) = (BTreeMap::<String, i64>::new(), 0, None::<String>);
    loop {
        let call = provider.statement(from_ms, to_ms, cursor.as_deref());
        let page = timed(provider.name(), "statement", call).await.map_err(|fault| away(&fault))?;
        for entry in page.entries {
            entries += 1;
            *sums.entry(entry.key).or_default() += entry.amount.0;
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok((sums, entries));
        }
    }
}

/// Compares one payment as a whole; `None` where all three agree.
async fn examine(app: &App, provider: &dyn Provider, key: &str, moved_won: i64) -> Result<Option<Difference>> {
    let difference = |kind: &str, payment_id, provider_won, ledger_won, intent_won| Difference {
        reconciliation_id: Uuid::nil(),
        provider_key: key.to_owned(),
        kind: kind.to_owned(),
        payment_id,
        provider_won,
        ledger_won,
        intent_won,
    };
    let Some(intent) = store::find_by_key(&app.db, provider.name(), key).await? else {
        return Ok((moved_won != 0).then(|| difference("unknown_here", None, moved_won, 0, 0)));
    };
    let provider_won = match timed(provider.name(), "fetch", provider.fetch(named(&intent))).await {
        Ok(said) => said.captured.0 - said.cancelled.0,
        Err(Fault::Declined(_)) => 0,
        Err(fault) => return Err(away(&fault)),
    };
    let (ledger_won, intent_won) = reconciliations::whole(&app.db, provider.name(), intent.id).await?;
    let kind = match (provider_won, ledger_won) {
        (theirs, ours) if theirs == ours && ours == intent_won => return Ok(None),
        (theirs, 0) if theirs != 0 => "missing_here",
        (0, ours) if ours != 0 => "missing_there",
        _ => "amount",
    };
    Ok(Some(difference(kind, Some(intent.id.0), provider_won, ledger_won, intent_won)))
}

fn away(fault: &Fault) -> Problem {
    tracing::warn!(%fault, "a provider did not give its statement");
    Problem::new(&error::PROVIDER_AWAY).retry_after_ms(5_000)
}
