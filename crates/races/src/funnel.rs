//! `GET /api/v1/races/{id}/funnel`: how far registrations came, how fast, and when they came in.

use axum::Json;
use axum::extract::State;
use kernel::{RaceId, UtcTime};
use platform::http::auth::Company;
use platform::http::{IdPath, ListQuery, Problem, Result, codes};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::store::funnel::{self, Counts, Times};
use crate::{Races, access};

const HOUR_MS: i64 = 3_600_000;
/// Points of the intake curve, at most.
const POINTS: i64 = 60;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Window {
    /// Registrations of the last so many hours; 24 by default, a year at most.
    #[param(minimum = 1, maximum = 8_760)]
    hours: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Funnel {
    pub from: UtcTime,
    pub to: UtcTime,
    pub started: i64,
    /// In their order; a step that nobody has to take is reached by nobody.
    pub steps: Vec<StepRate>,
    pub cancelled: i64,
    pub expired: i64,
    pub failed: i64,
    /// Confirmed of those that started, later cancelled ones too; null where nobody started.
    pub overall_rate: Option<f64>,
    pub intake: Vec<Intake>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct StepRate {
    /// `terms`, `souvenir`, `address`, `payment` (opened), `paid`, `confirmed`.
    pub step: &'static str,
    pub reached: i64,
    /// Of those that reached the last step before it that anybody reached; null where nobody did.
    pub rate: Option<f64>,
    /// From that step to this one, in milliseconds; null where nobody took it.
    pub p50_ms: Option<i64>,
    pub p95_ms: Option<i64>,
    pub p99_ms: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Intake {
    /// The beginning of the interval; they are of equal length.
    pub at: UtcTime,
    pub started: i64,
    pub confirmed: i64,
}

/// A race's funnel.
///
/// For its organiser and admins. Rates are 0 to 1.
#[utoipa::path(get, path = "/api/v1/races/{id}/funnel", operation_id = "read_funnel",
    tag = "races", params(("id" = Uuid, Path), Window),
    responses((status = 200, body = Funnel)), security(("bearer" = [])))]
pub async fn read(
    State(races): State<Races>,
    Company(caller): Company,
    IdPath(id): IdPath,
    ListQuery(window): ListQuery<Window>,
) -> Result<Json<Funnel>> {
    let race = access::race(&races.db, RaceId(id)).await?;
    if !access::manages(&race, &caller) {
        return Err(Problem::new(&codes::NOT_FOUND));
    }
    let hours = window.hours.unwrap_or(24);
    if !(1..=8_760).contains(&hours) {
        return Err(Problem::field("hours", "range", "1 to 8760"));
    }
    let to_ms = races.clock.now_ms();
    let from_ms = to_ms - hours * HOUR_MS;
    let counts = funnel::counts(&races.db, race.offer, from_ms).await?;
    let times = funnel::times(&races.db, race.offer, from_ms).await?;
    let width_ms = (hours * HOUR_MS / POINTS).max(1);
    let intake = funnel::intake(&races.db, race.offer, from_ms, width_ms).await?;
    let point = |(nth, started, confirmed): (i64, i64, i64)| Intake {
        at: UtcTime(from_ms + nth * width_ms),
        started,
        confirmed,
    };
    Ok(Json(Funnel {
        from: UtcTime(from_ms),
        to: UtcTime(to_ms),
        started: counts.started,
        steps: steps(&counts, &times),
        cancelled: counts.cancelled,
        expired: counts.expired,
        failed: counts.failed,
        overall_rate: rate(counts.confirmed, counts.started),
        intake: intake.into_iter().map(point).collect(),
    }))
}

fn rate(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Each step against the last one before it that anybody reached: not every race has every step.
fn steps(counts: &Counts, times: &[Times]) -> Vec<StepRate> {
    const NAMES: [&str; 6] = ["terms", "souvenir", "address", "payment", "paid", "confirmed"];
    let mut before = counts.started;
    let mut rates = Vec::with_capacity(NAMES.len());
    for (nth, step) in NAMES.into_iter().enumerate() {
        let mut took: Vec<i64> = times.iter().filter_map(|one| one.took_ms(nth)).collect();
        took.sort_unstable();
        let reached = times.iter().filter(|one| one.at_ms[nth + 1].is_some()).count() as i64;
        rates.push(StepRate {
            step,
            reached,
            rate: rate(reached, before),
            p50_ms: percentile(&took, 50),
            p95_ms: percentile(&took, 95),
            p99_ms: percentile(&took, 99),
        });
        if reached > 0 {
            before = reached;
        }
    }
    rates
}

/// The nearest rank.
fn percentile(sorted: &[i64], percent: usize) -> Option<i64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_measured_against_the_last_that_was_reached() {
        let whole = Times { at_ms: [Some(0), Some(10), None, Some(30), Some(40), Some(60), Some(61)] };
        let half = Times { at_ms: [Some(0), Some(20), None, None, None, None, None] };
        let counts = Counts { started: 4, confirmed: 1, ..Counts::default() };
        let rates = steps(&counts, &[whole, half]);
        let of = |step: &str| rates.iter().find(|rate| rate.step == step).expect("a step");
        assert_eq!((of("terms").rate, of("terms").p50_ms, of("terms").p99_ms), (Some(0.5), Some(10), Some(20)));
        assert_eq!((of("souvenir").reached, of("souvenir").p50_ms), (0, None));
        assert_eq!((of("address").rate, of("address").p50_ms), (Some(0.5), Some(20)));
        assert_eq!((of("confirmed").rate, of("confirmed").p95_ms), (Some(1.0), Some(1)));
    }
}
