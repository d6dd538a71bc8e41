//! A yard that has nothing to do: how soon it is there, and what it weighs.

use std::time::Duration;

use anyhow::Result;

use crate::database::Database;
use crate::report::{Kind, Report};
use crate::yard::Ground;
use crate::{Args, Scenario};

/// After its first answer a yard may still finish what it does at its start.
const REST: Duration = Duration::from_secs(2);

pub async fn measure(
    args: &Args,
    database: &Database,
    asked: &impl Fn(Scenario) -> bool,
    report: &mut Report,
) -> Result<()> {
    for _ in 0..args.runs {
        let ground = Ground::new(args, database).await?;
        for fresh in [true, false] {
            let yard = ground.start().await?;
            if asked(Scenario::Start) {
                report.add(Kind::Start { fresh }, yard.started.as_secs_f64() * 1e3);
            }
            if asked(Scenario::Memory) && !fresh {
                tokio::time::sleep(REST).await;
                report.add(Kind::Memory, yard.memory_bytes()? as f64 / 1e6);
            }
            yard.stop().await?;
        }
        ground.remove().await?;
    }
    Ok(())
}
