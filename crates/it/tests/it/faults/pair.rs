//! Two processes of one yard on one PostgreSQL: one log, one answer for each person, and one is enough.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::Connection;

use super::crowd::Crowd;
use super::process::{Home, Serving};
use crate::support::site::{Site, postgres};
use crate::support::wait::until_so;

/// A lease that nobody prolongs any more runs out within a minute.
const TAKEN_OVER_MAX: Duration = Duration::from_secs(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_are_one_yard() {
    postgres(one_yard).await;
}

async fn one_yard(site: &Site) {
    let (home_a, home_b) = (Home::on(site), Home::on(site));
    // Both find an empty database at the same moment.
    let (a, b) = tokio::join!(home_a.serve(), home_b.serve());
    let admin = home_a.admin(&a, "boss").await;
    let mut crowd = Crowd::gather(&a, &admin, 1_000, 100).await;
    let (at_a, at_b) = (crowd.burst(&a, 0..1_000), crowd.burst(&b, 0..1_000));
    let (at_a, at_b) = tokio::join!(at_a.end(), at_b.end());
    assert_eq!((at_a.len(), at_b.len()), (1_000, 1_000), "everybody was answered");
    crowd.remember(at_a);
    crowd.remember(at_b);
    crowd.settle(&a).await;
    let decided = checkpoint(&a, &crowd).await;
    crowd.ask(&b, 0..1_000).await;
    assert_eq!(checkpoint(&b, &crowd).await, decided, "the same log at both");
    assert!(a.terminate().await.success() && b.terminate().await.success());

    let again = home_a.serve().await;
    crowd.settle(&again).await;
    assert_eq!(checkpoint(&again, &crowd).await, decided, "the same numbers without a new leaf");
    assert!(again.terminate().await.success());
}

async fn checkpoint(yard: &Serving, crowd: &Crowd) -> String {
    let path = format!("/api/v1/races/{}/offer/checkpoint", crowd.race());
    yard.get(&path).send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_killed_for_good_the_other_goes_on() {
    postgres(the_other_goes_on).await;
}

async fn the_other_goes_on(site: &Site) {
    let (home_a, home_b) = (Home::on(site), Home::on(site));
    // Alone at first: the leases of all jobs and deliveries are its own.
    let b = home_b.serve().await;
    let admin = home_b.admin(&b, "boss").await;
    let mut crowd = Crowd::gather(&b, &admin, 1_000, 400).await;
    let run = async || works(site).await.jobs.len() >= JOBS_MIN;
    until_so("its jobs run", TAKEN_OVER_MAX, run).await;
    let a = home_a.serve().await;
    let (mut at_b, at_a) = (crowd.burst(&b, 0..1_000), crowd.burst(&a, 0..1_000));
    at_b.answered(200).await;
    b.kill().await;
    let before = works(site).await;
    let (at_a, at_b) = tokio::join!(at_a.end(), at_b.end());
    assert!(at_b.len() < 1_000, "it was killed after everybody was served");
    assert_eq!(at_a.len(), 1_000, "the other one answers everybody");
    crowd.remember(at_b);
    crowd.remember(at_a);
    crowd.settle(&a).await;

    let goes_on = async || {
        let now = works(site).await;
        let ran = |(name, runs): (&String, &i64)| now.jobs.get(name).is_some_and(|later| later > runs);
        now.events > before.events && now.unsent == 0 && before.often().all(ran)
    };
    until_so("the other one delivers and runs the jobs", TAKEN_OVER_MAX, goes_on).await;
    assert!(a.terminate().await.success());
}

/// Expiry, closing and repair, and at least the housekeeping of two contexts.
const JOBS_MIN: usize = 5;

/// What runs beside the requests.
struct Works {
    events: i64,
    unsent: i64,
    /// How often each job ran.
    jobs: BTreeMap<String, i64>,
}

impl Works {
    /// The jobs that run every few seconds.
    fn often(&self) -> impl Iterator<Item = (&String, &i64)> {
        let often = ["admission expiry", "admission closing", "races repair"];
        self.jobs.iter().filter(move |(name, _)| often.contains(&name.as_str()))
    }
}

async fn works(site: &Site) -> Works {
    let mut stranger = site.stranger().await;
    let outbox = "SELECT count(*), count(*) FILTER (WHERE sent_ms IS NULL) FROM races.outbox";
    let (events, unsent) = sqlx::query_as(outbox).fetch_one(&mut stranger).await.unwrap();
    let jobs = "SELECT name, runs FROM races.job UNION ALL SELECT name, runs FROM identity.job";
    let jobs: Vec<(String, i64)> = sqlx::query_as(jobs).fetch_all(&mut stranger).await.unwrap();
    stranger.close().await.unwrap();
    Works { events, unsent, jobs: jobs.into_iter().collect() }
}
