//! What races do by themselves: each job looks at the full state and repairs it.

use platform::jobs::{Job, Schedule};

use crate::Races;
use crate::store::{self, rehearsals};

const REPAIR_MS: i64 = 2_000;
const REHEARSALS_MS: i64 = 60_000;

pub fn jobs(races: &Races) -> Vec<Job> {
    let (repair, sweep) = (races.clone(), races.clone());
    let mut jobs = races.admission.jobs();
    jobs.push(Job::new("races repair", Schedule::Every(REPAIR_MS), races.db.clone(), move || {
        let races = repair.clone();
        Box::pin(async move { finish_changes(&races).await })
    }));
    jobs.push(Job::new("races rehearsals", Schedule::Every(REHEARSALS_MS), races.db.clone(), move || {
        let races = sweep.clone();
        Box::pin(async move { end_rehearsals(&races).await })
    }));
    jobs
}

/// Finishes edits that their offer has not taken over, and cancellations with claims still open.
async fn finish_changes(races: &Races) -> anyhow::Result<()> {
    for race in store::races_with_rules_edit(&races.db).await? {
        if let Err(problem) = races.follow_rules(race).await {
            tracing::warn!(race.id = %race, code = problem.code.code, "an edit has not reached its offer yet");
        }
    }
    for race in store::cancelled_with_claims(&races.db).await? {
        if let Err(problem) = races.wind_up(race).await {
            tracing::warn!(race.id = %race, code = problem.code.code, "a cancelled race has open claims yet");
        }
    }
    Ok(())
}

/// Deletes the races of rehearsals that are over. Identity deletes their people.
async fn end_rehearsals(races: &Races) -> anyhow::Result<()> {
    for over in rehearsals::expired(&races.db, races.clock.now_ms()).await? {
        let race = over.race;
        races
            .db
            .write(move |tx| {
                Box::pin(async move {
                    let now_ms = tx.now_ms().await?;
                    store::mark_deleted(tx, over.race, over.owner, now_ms).await?;
                    rehearsals::delete(tx, over.id).await
                })
            })
            .await?;
        races.sales.forget(race);
    }
    Ok(())
}
