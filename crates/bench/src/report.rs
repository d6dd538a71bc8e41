//! What was measured: medians, ratios, a table and a list for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::{Db, Scenario};

/// Whether the yard had seen the tokens before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cache {
    Warm,
    Cold,
}

/// One measurement, repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Requests per second, with an offer that held `claims` before.
    Rate { scenario: Scenario, claims: usize, cache: Cache },
    /// Milliseconds from the start of a process to its first answer, with an empty or a used data directory.
    Start { fresh: bool },
    /// Megabytes (10^6 bytes) at rest.
    Memory,
    /// Milliseconds a fresh process takes for its first answer to a click on an offer that holds `claims`.
    First { scenario: Scenario, claims: usize },
    /// Whole registrations per second.
    Registrations,
    /// Transfers per second in the ledger.
    Transfers,
}

#[derive(Debug, Default)]
struct Runs {
    values: Vec<f64>,
    /// The bare route's rate just before each of `values`, in the same process; empty where nothing is compared.
    bare: Vec<f64>,
    p99_ms: Vec<f64>,
    /// In the order of the steps.
    step_p99_ms: Vec<(&'static str, Vec<f64>)>,
}

pub struct Report {
    db: Db,
    runs: BTreeMap<Kind, Runs>,
    /// Rows a grant wrote, by table.
    rows_per_grant: Vec<(String, f64)>,
}

/// One entry of the list for programs.
#[derive(Debug, Serialize)]
pub struct Row {
    scenario: Scenario,
    db: Db,
    /// Requests, registrations or transfers per second of each group of each run of the closed loop; empty for what is no rate.
    rps: Vec<f64>,
    /// Median of the runs, in `unit`.
    median: f64,
    unit: &'static str,
    /// Median of the runs' ratios to the bare route, measured just before each run in the same process.
    ratio: Option<f64>,
    /// Median of the runs' 99th percentiles in the open loop at 70 % of the run's rate; of registrations (their slowest
    /// step) and transfers in the closed loop.
    p99_ms: Option<f64>,
    /// The same of each request of a registration.
    #[serde(skip_serializing_if = "Option::is_none")]
    step_p99_ms: Option<BTreeMap<&'static str, f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<Cache>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fresh: Option<bool>,
    /// What each run was compared with, in requests per second.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bare_rps: Vec<f64>,
    /// The runs of what is no rate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows_per_grant: Option<BTreeMap<String, f64>>,
    /// What the value is to reach, and whether it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
}

impl Report {
    pub fn new(db: Db) -> Report {
        Report { db, runs: BTreeMap::new(), rows_per_grant: Vec::new() }
    }

    /// Adds one run and tells it, so that a long bench can be followed.
    pub fn add(&mut self, kind: Kind, value: f64) {
        eprintln!("{}: {value:.1} {}", kind.name(), kind.unit());
        self.runs.entry(kind).or_default().values.push(value);
    }

    /// Adds one run beside the bare route's rate in the same process.
    pub fn add_beside(&mut self, kind: Kind, value: f64, bare: f64) {
        self.add(kind, value);
        self.runs.entry(kind).or_default().bare.push(bare);
    }

    pub fn add_p99(&mut self, kind: Kind, p99_ms: f64) {
        eprintln!("{}: p99 {p99_ms:.1} ms", kind.name());
        self.runs.entry(kind).or_default().p99_ms.push(p99_ms);
    }

    /// Adds the 99th percentiles of one run's steps, the slowest of which is the run's own.
    pub fn add_step_p99s(&mut self, kind: Kind, p99s: &[(&'static str, f64)]) {
        self.add_p99(kind, p99s.iter().map(|(_, p99_ms)| *p99_ms).fold(0.0, f64::max));
        let steps = &mut self.runs.entry(kind).or_default().step_p99_ms;
        for (step, p99_ms) in p99s {
            match steps.iter_mut().find(|(known, _)| known == step) {
                Some((_, runs)) => runs.push(*p99_ms),
                None => steps.push((step, vec![*p99_ms])),
            }
        }
    }

    pub fn set_rows_per_grant(&mut self, rows: Vec<(String, f64)>) {
        self.rows_per_grant = rows;
    }

    pub fn rows(&self) -> Vec<Row> {
        self.runs.iter().filter(|(_, runs)| !runs.values.is_empty()).map(|(kind, runs)| self.row(*kind, runs)).collect()
    }

    fn row(&self, kind: Kind, runs: &Runs) -> Row {
        let value = median(&runs.values);
        let ratios: Vec<f64> = runs.values.iter().zip(&runs.bare).map(|(value, bare)| value / bare).collect();
        let ratio = (!ratios.is_empty()).then(|| median(&ratios));
        let is_grant = matches!(kind, Kind::Rate { scenario: Scenario::Grant, claims: 0, cache: Cache::Warm });
        let (rps, values) = match kind {
            Kind::Rate { .. } | Kind::Registrations | Kind::Transfers => (runs.values.clone(), Vec::new()),
            _ => (Vec::new(), runs.values.clone()),
        };
        let target = target(kind, self.db);
        Row {
            scenario: kind.scenario(),
            db: self.db,
            rps,
            median: value,
            unit: kind.unit(),
            ratio,
            p99_ms: (!runs.p99_ms.is_empty()).then(|| median(&runs.p99_ms)),
            step_p99_ms: (!runs.step_p99_ms.is_empty()).then(|| runs.step_p99s().collect()),
            cache: if let Kind::Rate { cache, .. } = kind { Some(cache) } else { None },
            claims: if let Kind::Rate { claims, .. } | Kind::First { claims, .. } = kind { Some(claims) } else { None },
            fresh: if let Kind::Start { fresh } = kind { Some(fresh) } else { None },
            bare_rps: runs.bare.clone(),
            values,
            rows_per_grant: is_grant.then(|| self.rows_per_grant.iter().cloned().collect()),
            target: target.map(|target| target.to_string()),
            met: target.map(|target| target.met(value, ratio)),
        }
    }
}

impl Runs {
    fn step_p99s(&self) -> impl Iterator<Item = (&'static str, f64)> {
        self.step_p99_ms.iter().map(|(step, runs)| (*step, median(runs)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dash = || "-".to_owned();
        writeln!(f, "{:<42} {:>12} {:<6} {:>6} {:>9}  target", "", "median", "", "ratio", "p99 ms")?;
        for (kind, runs) in self.runs.iter().filter(|(_, runs)| !runs.values.is_empty()) {
            let row = self.row(*kind, runs);
            let ratio = row.ratio.map_or_else(dash, |ratio| format!("{ratio:.3}"));
            let p99 = row.p99_ms.map_or_else(dash, |p99_ms| format!("{p99_ms:.1}"));
            write!(f, "{:<42} {:>12.1} {:<6} {ratio:>6} {p99:>9}", kind.name(), row.median, row.unit)?;
            match (row.target, row.met) {
                (Some(target), Some(true)) => writeln!(f, "  {target}: met")?,
                (Some(target), _) => writeln!(f, "  {target}: MISSED")?,
                (None, _) => writeln!(f)?,
            }
            for (step, p99_ms) in runs.step_p99s() {
                writeln!(f, "  {step:<67} {p99_ms:>9.1}")?;
            }
        }
        if !self.rows_per_grant.is_empty() {
            writeln!(f, "rows written per grant:")?;
            for (table, rows) in &self.rows_per_grant {
                writeln!(f, "  {table:<40} {rows:>12.4}")?;
            }
        }
        Ok(())
    }
}

impl Kind {
    fn scenario(self) -> Scenario {
        match self {
            Kind::Rate { scenario, .. } | Kind::First { scenario, .. } => scenario,
            Kind::Start { .. } => Scenario::Start,
            Kind::Memory => Scenario::Memory,
            Kind::Registrations => Scenario::Registration,
            Kind::Transfers => Scenario::Ledger,
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Kind::Rate { .. } => "req/s",
            Kind::Start { .. } | Kind::First { .. } => "ms",
            Kind::Memory => "MB",
            Kind::Registrations => "reg/s",
            Kind::Transfers => "tr/s",
        }
    }

    fn name(self) -> String {
        let scenario = format!("{:?}", self.scenario()).to_lowercase();
        match self {
            Kind::Rate { claims: 0, cache, .. } => format!("{scenario}, tokens {}", cache.name()),
            Kind::Rate { claims, cache, .. } => {
                format!("{scenario}, tokens {}, after {claims}", cache.name())
            }
            Kind::First { claims, .. } => format!("first {scenario} of a process, after {claims}"),
            Kind::Start { fresh: true } => format!("{scenario}, empty directory"),
            Kind::Start { fresh: false } => format!("{scenario}, used directory"),
            Kind::Memory => scenario,
            Kind::Registrations => format!("{scenario}, click to bib"),
            Kind::Transfers => format!("{scenario}, transfers"),
        }
    }
}

impl Cache {
    fn name(self) -> &'static str {
        match self {
            Cache::Warm => "warm",
            Cache::Cold => "cold",
        }
    }
}

/// What a value is to reach on two cores shared with the load.
#[derive(Clone, Copy)]
enum Target {
    RatioMin(f64),
    RateMin(f64),
    Under(f64, &'static str),
}

fn target(kind: Kind, db: Db) -> Option<Target> {
    match (kind, db) {
        (Kind::Rate { scenario, cache: Cache::Warm, .. }, _) => match (scenario, db) {
            (Scenario::Bare, _) => Some(Target::RateMin(25_000.0)),
            (Scenario::Grant, Db::Sqlite) => Some(Target::RatioMin(0.25)),
            (Scenario::Grant, Db::Postgres) => Some(Target::RatioMin(0.2)),
            (Scenario::Refusal, Db::Sqlite) => Some(Target::RatioMin(0.6)),
            (Scenario::Repeat, Db::Sqlite) => Some(Target::RatioMin(0.9)),
            _ => None,
        },
        (Kind::Registrations, _) => Some(Target::RatioMin(0.01)),
        (Kind::First { .. }, _) => Some(Target::Under(1_000.0, "ms")),
        (Kind::Start { .. }, Db::Sqlite) => Some(Target::Under(300.0, "ms")),
        (Kind::Memory, Db::Sqlite) => Some(Target::Under(80.0, "MB")),
        _ => None,
    }
}

impl Target {
    fn met(self, value: f64, ratio: Option<f64>) -> bool {
        match self {
            Target::RatioMin(min) => ratio.is_some_and(|ratio| ratio >= min),
            Target::RateMin(min) => value >= min,
            Target::Under(max, _) => value < max,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::RatioMin(min) => write!(f, "ratio >= {min}"),
            Target::RateMin(min) => write!(f, ">= {min} req/s"),
            Target::Under(max, unit) => write!(f, "< {max} {unit}"),
        }
    }
}

/// The middle value, or the mean of the two in the middle; not a number if there is none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(scenario: Scenario, claims: usize, cache: Cache) -> Kind {
        Kind::Rate { scenario, claims, cache }
    }

    #[test]
    fn a_ratio_is_to_the_bare_route_of_the_same_run() {
        let mut report = Report::new(Db::Sqlite);
        for (bare, grant) in [(40_000.0, 8_000.0), (30_000.0, 12_000.0), (44_000.0, 11_000.0)] {
            report.add(rate(Scenario::Bare, 0, Cache::Warm), bare);
            report.add_beside(rate(Scenario::Grant, 0, Cache::Warm), grant, bare);
        }
        report.add_beside(rate(Scenario::Grant, 0, Cache::Cold), 5_000.0, 10_000.0);
        report.add_p99(rate(Scenario::Grant, 0, Cache::Warm), 7.0);
        report.add(Kind::Memory, 90.0);
        report.set_rows_per_grant(vec![("claim".to_owned(), 1.0)]);
        let rows = serde_json::to_value(report.rows()).expect("JSON");
        let list = rows.as_array().expect("a list");
        let of = |scenario: &'static str| list.iter().filter(move |row| row["scenario"] == scenario);
        let [warm, cold] = of("grant").collect::<Vec<_>>()[..] else { panic!("two grants") };
        assert_eq!(warm["rps"], serde_json::json!([8_000.0, 12_000.0, 11_000.0]));
        assert_eq!((&warm["median"], &warm["ratio"]), (&11_000.0.into(), &0.25.into()));
        assert_eq!((&warm["p99_ms"], &warm["db"], &warm["met"]), (&7.0.into(), &"sqlite".into(), &true.into()));
        assert_eq!(warm["rows_per_grant"]["claim"], 1.0);
        assert_eq!((&cold["cache"], &cold["ratio"], cold["p99_ms"].is_null()), (&"cold".into(), &0.5.into(), true));
        let memory = of("memory").next().expect("memory");
        assert_eq!((&memory["rps"], &memory["values"]), (&serde_json::json!([]), &serde_json::json!([90.0])));
        let text = report.to_string();
        assert!(text.contains("ratio >= 0.25: met") && text.contains("< 80 MB: MISSED"), "{text}");
    }

    #[test]
    fn a_registration_is_as_slow_as_its_slowest_step() {
        let mut report = Report::new(Db::Postgres);
        for (per_s, terms_ms, confirm_ms) in [(90.0, 4.0, 9.0), (110.0, 6.0, 7.0), (100.0, 5.0, 8.0)] {
            report.add_beside(Kind::Registrations, per_s, 20_000.0);
            report.add_step_p99s(Kind::Registrations, &[("terms", terms_ms), ("confirm", confirm_ms)]);
        }
        report.add(Kind::Transfers, 3_000.0);
        let rows = serde_json::to_value(report.rows()).expect("JSON");
        let [registration, ledger] = [&rows[0], &rows[1]];
        assert_eq!((&registration["scenario"], &ledger["scenario"]), (&"registration".into(), &"ledger".into()));
        assert_eq!((&registration["ratio"], &registration["met"]), (&0.005.into(), &false.into()));
        assert_eq!(registration["p99_ms"], 8.0);
        assert_eq!(registration["step_p99_ms"], serde_json::json!({ "terms": 5.0, "confirm": 8.0 }));
        assert_eq!((&ledger["rps"], &ledger["ratio"]), (&serde_json::json!([3_000.0]), &serde_json::Value::Null));
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
