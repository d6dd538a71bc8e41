//! `madang demo` as somebody starts it who wants to look around.

use std::process::Stdio;
use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use super::process::Home;
use crate::support::wait::until;

const WITHIN: Duration = Duration::from_secs(60);

/// Starts it; what it says it has.
async fn start(home: &Home) -> (Child, Value) {
    let directory = home.data().to_str().unwrap();
    let mut command = home.command(["demo", "--port", "0", "--json", "--data-dir", directory]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(WITHIN, lines.next_line()).await.expect("it is furnished in time").unwrap();
    (child, serde_json::from_str(&line.expect("it says what there is")).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_can_be_walked_through_at_once() {
    let home = Home::new();
    let (mut child, told) = start(&home).await;
    let yard: Url = told["url"].as_str().unwrap().parse().unwrap();
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = Client::new();
    let read = async |path: &str, token: Option<&str>| {
        let mut request = client.get(yard.join(path).unwrap());
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };

    let mut tokens = Vec::new();
    for account in told["accounts"].as_array().unwrap() {
        let login = client.post(yard.join("/api/v1/auth/login").unwrap()).json(&json!({
            "username": account["username"], "password": account["password"],
        }));
        let session: Value = login.send().await.unwrap().json().await.unwrap();
        let token = session["access_token"].as_str().expect("each account can sign in").to_owned();
        assert_eq!(read("/api/v1/users/me", Some(&token)).await["role"], account["role"]);
        tokens.push(token);
    }

    let mut states = Vec::new();
    for race in told["races"].as_array().unwrap() {
        let id = race["id"].as_str().unwrap();
        let page = client.get(race["url"].as_str().unwrap()).header("accept", "text/html").send().await.unwrap();
        assert_eq!(page.status(), StatusCode::OK, "{race}");
        states.push(read(&format!("/api/v1/races/{id}"), None).await["state"].as_str().unwrap().to_owned());
    }
    assert_eq!(states, ["scheduled", "open", "open", "sold_out", "paused", "closed", "cancelled", "scheduled"]);

    // The runner paid on the way: place, payment and bib reach his inbox.
    let paid = until("a bib and its notices", WITHIN, async || {
        let inbox = read("/api/v1/notifications", Some(&tokens[2])).await;
        let kinds: Vec<&str> = inbox["items"].as_array()?.iter().filter_map(|notice| notice["kind"].as_str()).collect();
        ["place_held", "paid", "confirmed"].iter().all(|kind| kinds.contains(kind)).then_some(inbox)
    });
    paid.await;
    child.kill().await.unwrap();

    // Started again on the same directory: the same people, and one more opening.
    let (mut child, told) = start(&home).await;
    assert_eq!(told["races"].as_array().unwrap().len(), 1, "{told}");
    child.kill().await.unwrap();
}

/// Everybody knows a demo's passwords: none of them gets into a yard that is somebody's.
#[tokio::test]
async fn a_demo_stays_out_of_other_yards() {
    let home = Home::new();
    std::fs::create_dir_all(home.data()).unwrap();
    std::fs::write(home.data().join("races.db"), "somebody's").unwrap();
    let directory = home.data().to_str().unwrap();
    let refused = home.run(["demo", "--port", "0", "--data-dir", directory]).await.must(2);
    assert!(refused.err.contains("no finished demo"), "{refused:?}");

    let shared = Home::new().with("MADANG__DB__URL", "postgres://127.0.0.1:1/yard");
    let directory = shared.data().to_str().unwrap();
    let refused = shared.run(["demo", "--port", "0", "--data-dir", directory]).await.must(2);
    assert!(refused.err.contains("MADANG__DB__URL"), "{refused:?}");
    assert!(!shared.data().exists(), "nothing was begun");
}
