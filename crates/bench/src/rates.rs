//! Requests per second: bare, granted, refused, refused again.
//!
//! Every click of a measurement is another person's, with a token of his own. "Cold": nobody of them was seen before,
//! so that every token's signature is checked; "warm": all of them clicked the bare route first.

use std::ops::Range;

use anyhow::{Context, Result};

use crate::crowd::{BARE, Click, Crowd, GRANTED, REFUSED};
use crate::database::{Database, growth};
use crate::fill::fill;
use crate::report::{Cache, Kind, Report};
use crate::yard::{Ground, Yard};
use crate::{Args, Scenario};

/// Share of the closed loop's rate at which the open loop measures latency.
const OPEN_SHARE: f64 = 0.7;

/// A claim is the same whatever the place costs.
const FREE: i64 = 0;

/// A place where one run is measured.
struct Run<'a> {
    args: &'a Args,
    yard: &'a Yard,
    crowd: &'a Crowd,
    /// Claims the offer held before.
    claims: usize,
}

pub async fn measure(
    args: &Args,
    database: &Database,
    asked: &impl Fn(Scenario) -> bool,
    report: &mut Report,
) -> Result<()> {
    let refusals = asked(Scenario::Refusal) || asked(Scenario::Repeat);
    for number in 0..args.runs {
        eprintln!("run {} of {}", number + 1, args.runs);
        // A yard for each crowd: two crowds are more tokens than one yard remembers, and the second would stay cold.
        granted(args, database, asked(Scenario::Grant), report).await?;
        if refusals {
            refused(args, database, asked, report).await?;
        }
    }
    if args.claims > 0 && asked(Scenario::Grant) {
        full(args, database, Scenario::Grant, report).await?;
    }
    if args.claims > 0 && asked(Scenario::Refusal) {
        full(args, database, Scenario::Refusal, report).await?;
    }
    Ok(())
}

/// The bare route and, if asked for, grants, before an offer with a place for everybody.
async fn granted(args: &Args, database: &Database, grants: bool, report: &mut Report) -> Result<()> {
    let ground = Ground::new(args, database).await?;
    let yard = ground.start().await?;
    let admin = ground.admin(&yard).await?;
    let [first, second, third] = slices(0..3 * args.people);
    let crowd = Crowd::gather(&yard, &admin, third.end, third.end + 1, FREE).await?;
    let run = Run { args, yard: &yard, crowd: &crowd, claims: 0 };
    let bare_cold = run.rush(first.clone(), BARE).await?;
    let bare = run.rush(first.clone(), BARE).await?;
    report.add(run.kind(Scenario::Bare, Cache::Cold), bare_cold);
    report.add(run.kind(Scenario::Bare, Cache::Warm), bare);
    run.stream(Scenario::Bare, first.clone(), BARE, bare, report).await?;
    if grants {
        let before = ground.place().rows().await?;
        let granted = run.beside_bare(Scenario::Grant, first, GRANTED, report).await?;
        report.set_rows_per_grant(growth(&before, &ground.place().rows().await?, args.people));
        let granted_cold = run.rush(second, GRANTED).await?;
        report.add_beside(run.kind(Scenario::Grant, Cache::Cold), granted_cold, bare_cold);
        run.rush(third.clone(), BARE).await?;
        run.stream(Scenario::Grant, third, GRANTED, granted, report).await?;
    }
    yard.stop().await?;
    ground.remove().await
}

/// First and repeated refusals, before an offer whose only place is gone.
async fn refused(
    args: &Args,
    database: &Database,
    asked: &impl Fn(Scenario) -> bool,
    report: &mut Report,
) -> Result<()> {
    let ground = Ground::new(args, database).await?;
    let yard = ground.start().await?;
    let admin = ground.admin(&yard).await?;
    let [first, second, third] = slices(0..3 * args.people);
    let crowd = Crowd::gather(&yard, &admin, third.end + 1, 1, FREE).await?;
    crowd.rush(&yard, third.end..third.end + 1, GRANTED, 1).await.context("the only place")?;
    let run = Run { args, yard: &yard, crowd: &crowd, claims: 0 };
    let bare_cold = run.rush(first.clone(), BARE).await?;
    let refused = run.beside_bare(Scenario::Refusal, first.clone(), REFUSED, report).await?;
    if asked(Scenario::Refusal) {
        let refused_cold = run.rush(second, REFUSED).await?;
        report.add_beside(run.kind(Scenario::Refusal, Cache::Cold), refused_cold, bare_cold);
        run.rush(third.clone(), BARE).await?;
        run.stream(Scenario::Refusal, third, REFUSED, refused, report).await?;
    }
    if asked(Scenario::Repeat) {
        let repeated = run.beside_bare(Scenario::Repeat, first.clone(), REFUSED, report).await?;
        run.stream(Scenario::Repeat, first, REFUSED, repeated, report).await?;
    }
    yard.stop().await?;
    ground.remove().await
}

/// Grants or first refusals of an offer that already holds many claims, by a process that has just started.
async fn full(args: &Args, database: &Database, scenario: Scenario, report: &mut Report) -> Result<()> {
    let (claims, people, runs) = (args.claims, args.people, args.runs as usize);
    // The first of the fresh process, the runs, and one who takes the only place, or nothing.
    let all = 1 + people * runs + 1;
    let (click, capacity) = match scenario {
        Scenario::Grant => (GRANTED, claims + all),
        _ => (REFUSED, 1),
    };
    let ground = Ground::new(args, database).await?;
    let yard = ground.start().await?;
    let admin = ground.admin(&yard).await?;
    let crowd = Crowd::gather(&yard, &admin, all, capacity, FREE).await?;
    if capacity == 1 {
        crowd.rush(&yard, all - 1..all, GRANTED, 1).await.context("the only place")?;
    }
    yard.stop().await?;
    fill(ground.place(), ground.data(), crowd.race(), claims).await?;

    let yard = ground.start().await?;
    let first = crowd.rush(&yard, 0..1, click, 1).await?;
    report.add(Kind::First { scenario, claims }, first.elapsed.as_secs_f64() * 1e3);
    let run = Run { args, yard: &yard, crowd: &crowd, claims };
    for start in (0..runs).map(|number| 1 + number * people) {
        let who = start..start + people;
        run.rush(who.clone(), BARE).await?;
        run.beside_bare(scenario, who, click, report).await?;
    }
    yard.stop().await?;
    ground.remove().await
}

impl Run<'_> {
    fn kind(&self, scenario: Scenario, cache: Cache) -> Kind {
        Kind::Rate { scenario, claims: self.claims, cache }
    }

    /// Closed loop: requests per second.
    async fn rush(&self, who: Range<usize>, click: Click) -> Result<f64> {
        Ok(self.crowd.rush(self.yard, who, click, self.args.connections).await?.rps)
    }

    /// Clicks by group after group of people whose tokens are warm, each beside the bare route just before; answers their
    /// mean rate.
    async fn beside_bare(
        &self,
        scenario: Scenario,
        who: Range<usize>,
        click: Click,
        report: &mut Report,
    ) -> Result<f64> {
        let groups = slices(who);
        let mut sum = 0.0;
        for group in groups.clone() {
            let bare = self.rush(group.clone(), BARE).await?;
            let value = self.rush(group, click).await?;
            report.add_beside(self.kind(scenario, Cache::Warm), value, bare);
            sum += value;
        }
        Ok(sum / groups.len() as f64)
    }

    /// Open loop at a share of `per_s`: reports the 99th percentile of the latency.
    async fn stream(
        &self,
        scenario: Scenario,
        who: Range<usize>,
        click: Click,
        per_s: f64,
        report: &mut Report,
    ) -> Result<()> {
        let summary = self.crowd.stream(self.yard, who, click, per_s * OPEN_SHARE, self.args.connections).await?;
        report.add_p99(self.kind(scenario, Cache::Warm), summary.histogram.p99().as_secs_f64() * 1e3);
        if summary.overflow > 0 {
            eprintln!("  {} requests found no free connection at their time", summary.overflow);
        }
        Ok(())
    }
}

/// Three groups of people, one after the other.
///
/// Why a measurement is made in groups: a shared machine is not equally fast from one second to the next, and a ratio
/// says something only of two rates measured side by side.
pub fn slices(people: Range<usize>) -> [Range<usize>; 3] {
    let (start, third) = (people.start, people.len() / 3);
    [start..start + third, start + third..start + 2 * third, start + 2 * third..people.end]
}
