//! PostgreSQL goes away under load: stopped, killed, frozen. Everybody hears when to come back, and when it is back
//! the same process is right again.

use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::crowd::{self, Crowd};
use super::process::{Home, Serving};
use super::server::Server;
use crate::support::site::has_postgres;
use crate::support::wait::until_so;

const PEOPLE_A_FAULT: usize = 150;
/// Longer than the edge lets a handler take.
const BACK_MAX: Duration = Duration::from_secs(90);

/// Takes PostgreSQL away; brings it back.
type Fault = (&'static str, fn(&Server), fn(&Server));

const FAULTS: [Fault; 3] = [
    ("stopped", Server::stop, Server::start),
    ("killed", Server::kill, Server::start),
    ("frozen", Server::freeze, Server::thaw),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_gone_under_load_is_a_503_and_nothing_said_is_lost() {
    if !has_postgres() {
        return;
    }
    let server = Server::up();
    let home = Home::on_postgres(&server.url());
    let mut yard = home.serve().await;
    let admin = home.admin(&yard, "boss").await;
    let people = FAULTS.len() * PEOPLE_A_FAULT;
    // Sold out in the middle of the last fault.
    let capacity = people - PEOPLE_A_FAULT / 2;
    let mut crowd = Crowd::gather(&yard, &admin, people as u32, capacity as u32).await;
    for (at, (name, away, back)) in FAULTS.into_iter().enumerate() {
        eprintln!("-- {name}");
        let those = at * PEOPLE_A_FAULT..(at + 1) * PEOPLE_A_FAULT;
        let mut burst = crowd.burst(&yard, those.clone());
        burst.answered(PEOPLE_A_FAULT / 4).await;
        away(&server);
        all_away(&yard, &crowd, those.start).await;
        let answers = burst.end().await;
        assert_eq!(answers.len(), those.len(), "somebody heard nothing");
        assert!(crowd::away(&answers) > 0, "{name} after everybody was served");
        crowd.remember(answers);
        back(&server);
        until_so("the yard is ready again", BACK_MAX, async || is_ready(&yard).await).await;
        assert!(yard.is_running(), "it went on without a restart");
        crowd.ask(&yard, those).await;
        crowd.check(&yard).await;
    }
    crowd.settle(&yard).await;
    assert!(yard.terminate().await.success());
}

async fn is_ready(yard: &Serving) -> bool {
    yard.get("/health/ready").send().await.is_ok_and(|answer| answer.status().is_success())
}

/// Whatever needs the database is answered 503 with a code and when to come back; what does not is answered.
async fn all_away(yard: &Serving, crowd: &Crowd, person: usize) {
    let race = format!("/api/v1/races/{}", crowd.race());
    let claim = yard.post(&format!("{race}/registrations"), &json!({})).bearer_auth(crowd.token(person));
    let login = json!({ "username": "boss", "password": "rain on Tuesday" });
    tokio::join!(
        is_away(claim),
        is_away(yard.sign_up("somebody")),
        is_away(yard.post("/api/v1/auth/login", &login)),
        is_away(yard.get(&race)),
        is_away(yard.get(&format!("{race}/offer/checkpoint"))),
        is_away(yard.get("/health/ready")),
    );
    assert_eq!(yard.get("/health/live").send().await.unwrap().status(), 200);
    let metrics = yard.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("madang_http_requests_total"));
}

/// A 503 that says why and when to come back.
pub async fn is_away(request: RequestBuilder) {
    let answer = request.send().await.unwrap();
    let (url, status, headers) = (answer.url().clone(), answer.status(), answer.headers().clone());
    let body: Value = answer.json().await.unwrap();
    assert_eq!(status, 503, "{url}: {body}");
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
    assert_eq!(header("content-type"), "application/problem+json", "{url}");
    assert!(header("retry-after").parse::<u64>().is_ok_and(|after_s| after_s >= 1), "{url}: {headers:?}");
    let codes = ["admission/busy", "http/unavailable", "auth/unavailable"];
    assert!(body["code"].as_str().is_some_and(|code| codes.contains(&code)), "{url}: {body}");
    assert!(body["retry_after_ms"].is_u64(), "{url}: {body}");
}
