//! Two processes of one yard on one PostgreSQL: one log, one answer for each person, and one is enough.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kernel::UtcTime;
use serde_json::{Value, json};
use sqlx::Connection;

use super::crowd::Crowd;
use super::process::{Home, Serving};
use crate::support::site::{Site, postgres};
use crate::support::wait::until_so;

/// The lease of a job that was killed while it ran ends within a minute.
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
    // Alone at first: the leases of jobs and deliveries are its own.
    let b = home_b.serve().await;
    let admin = home_b.admin(&b, "boss").await;
    let mut crowd = Crowd::gather(&b, &admin, 1_000, 400).await;
    let offer = closing_race(&b, &admin).await;
    until_so("it closes a race", TAKEN_OVER_MAX, async || is_closed(&b, &offer).await).await;

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

    let offer = closing_race(&a, &admin).await;
    until_so("the other one closes a race", TAKEN_OVER_MAX, async || is_closed(&a, &offer).await).await;
    let delivers = async || {
        let now = works(site).await;
        now.events > before.events && now.unsent == 0 && now.repairs > before.repairs
    };
    until_so("the other one delivers and repairs", TAKEN_OVER_MAX, delivers).await;
    assert!(a.terminate().await.success());
}

/// Makes a race whose sale ends in a moment; answers the path of its offer.
async fn closing_race(yard: &Serving, admin: &str) -> String {
    let now: i64 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap();
    let after_s = |seconds: i64| UtcTime(now + seconds * 1_000).to_string();
    let race = json!({
        "title": "한강 달빛 마라톤", "place": "서울 여의도", "reception": "first_come", "type": "km10",
        "capacity": 10, "fee_won": 0, "opens_at": after_s(-60), "closes_at": after_s(2), "race_at": after_s(86_400),
    });
    let made = yard.post("/api/v1/races", &race).bearer_auth(admin).send().await.unwrap();
    let made: Value = made.error_for_status().unwrap().json().await.unwrap();
    format!("/api/v1/races/{}/offer", made["id"].as_str().unwrap())
}

/// Nobody clicks: only the job can have written the leaf after the rules.
async fn is_closed(yard: &Serving, offer: &str) -> bool {
    yard.read(offer).await["size"] == 2
}

/// What runs beside the requests.
struct Works {
    events: i64,
    unsent: i64,
    repairs: i64,
}

async fn works(site: &Site) -> Works {
    let mut stranger = site.stranger().await;
    let sql = "SELECT count(*), count(*) FILTER (WHERE sent_ms IS NULL),
        coalesce((SELECT runs FROM races.job WHERE name = 'races repair'), 0) FROM races.outbox";
    let (events, unsent, repairs) = sqlx::query_as(sql).fetch_one(&mut stranger).await.unwrap();
    stranger.close().await.unwrap();
    Works { events, unsent, repairs }
}
