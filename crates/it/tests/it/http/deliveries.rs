//! What leaves the yard: Slack and e-mail, against local servers that answer as documented, also when they fail.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::notices::until_told;
use super::race::{self, claim};
use crate::support::app::{App, Person, yards_with};
use crate::support::wait::until;

const WITHIN: Duration = Duration::from_secs(20);
const DELIVERIES: &str = "/api/v1/admin/deliveries";

/// A message as it came: whom to, and its delivery's id.
type Came = (String, String);

/// A receiver's memory, and what it answers to whom the next times.
#[derive(Clone, Default)]
struct Receiver {
    came: Arc<Mutex<Vec<Came>>>,
    answers: Arc<Mutex<HashMap<String, Vec<&'static str>>>>,
}

impl Receiver {
    fn answers(&self, to: &str, answers: &[&'static str]) {
        self.answers.lock().unwrap().insert(to.to_owned(), answers.to_vec());
    }

    /// Notes a message; answers what is to be said about it.
    fn take(&self, to: &str, delivery: &str) -> &'static str {
        self.came.lock().unwrap().push((to.to_owned(), delivery.to_owned()));
        let mut answers = self.answers.lock().unwrap();
        match answers.get_mut(to) {
            Some(left) if !left.is_empty() => left.remove(0),
            _ => "ok",
        }
    }

    fn came_to(&self, to: &str) -> Vec<String> {
        let came = self.came.lock().unwrap();
        came.iter().filter(|one| one.0 == to).map(|one| one.1.clone()).collect()
    }
}

/// Slack's `chat.postMessage` and an incoming webhook.
async fn slack() -> (String, Receiver) {
    let receiver = Receiver::default();
    let routes = Router::new().route("/api/chat.postMessage", post(post_message)).with_state(receiver.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(platform::http::serve(listener, routes, Default::default()));
    (format!("http://{address}/api"), receiver)
}

async fn post_message(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> Response {
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(headers["authorization"], "Bearer xoxb-test");
    assert!(!body["text"].as_str().unwrap().is_empty());
    let delivery = body["metadata"]["event_payload"]["delivery_id"].as_str().unwrap();
    assert_eq!(headers["x-madang-delivery"], delivery);
    match receiver.take(body["channel"].as_str().unwrap(), delivery) {
        "429" => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response(),
        "500" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        "silence" => std::future::pending().await,
        "ok" => axum::Json(json!({ "ok": true, "ts": "1" })).into_response(),
        error => axum::Json(json!({ "ok": false, "error": error })).into_response(),
    }
}

/// A mail server that speaks as much SMTP as it takes.
async fn mail_server() -> (String, Receiver) {
    let receiver = Receiver::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let shared = receiver.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let receiver = shared.clone();
            tokio::spawn(async move { speak_smtp(stream, receiver).await.ok() });
        }
    });
    (url, receiver)
}

async fn speak_smtp(mut stream: TcpStream, receiver: Receiver) -> std::io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    writer.write_all(b"220 mail.test\r\n").await?;
    let mut to = String::new();
    while let Some(line) = lines.next_line().await? {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let answer = match verb.as_str() {
            "EHLO" | "HELO" => "250 mail.test".to_owned(),
            "RCPT" => {
                to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                "250 ok".to_owned()
            }
            "DATA" => {
                writer.write_all(b"354 go on\r\n").await?;
                let mut delivery = String::new();
                while let Some(line) = lines.next_line().await? {
                    if line == "." {
                        break;
                    }
                    if let Some(id) = line.strip_prefix("X-Madang-Delivery: ") {
                        delivery = id.to_owned();
                    }
                }
                match receiver.take(&to, &delivery) {
                    "ok" => "250 ok".to_owned(),
                    code => format!("{code} no"),
                }
            }
            "QUIT" => return writer.write_all(b"221 bye\r\n").await,
            _ => "250 ok".to_owned(),
        };
        writer.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
    Ok(())
}

/// Somebody who wants to hear of a place by e-mail and Slack.
async fn reachable(app: &App, slack_user_id: &str) -> Person {
    let person = app.member().await;
    let wish = json!({
        "items": [{ "kind": "place_held", "email": true, "slack": true }], "slack_user_id": slack_user_id,
    });
    let said = app.put("/api/v1/notification-preferences", wish).by(&person).await.must(200);
    assert_eq!(said.body["slack_user_id"], slack_user_id);
    person
}

async fn in_state(app: &App, admin: &Person, state: &str) -> Vec<Value> {
    app.get(format!("{DELIVERIES}?state={state}&limit=100")).by(admin).await.must(200).items().to_vec()
}

async fn until_state(app: &App, admin: &Person, state: &str, person: &Person, channel: &str) -> Value {
    until(state, WITHIN, async || {
        let found = in_state(app, admin, state).await;
        found.into_iter().find(|one| one["user_id"] == person.id.as_str() && one["channel"] == channel)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_receiver_is_tried_again_and_holds_up_nobody() {
    let (slack_url, slack) = slack().await;
    let (smtp_url, mail) = mail_server().await;
    let settings = [
        ("MADANG__NOTIFY__SLACK_URL", slack_url.as_str()),
        ("MADANG__NOTIFY__SLACK_TOKEN", "xoxb-test"),
        ("MADANG__NOTIFY__SMTP_URL", smtp_url.as_str()),
        ("MADANG__NOTIFY__TIMEOUT_MS", "4000"),
        ("MADANG__NOTIFY__RETRY_MS", "20"),
        ("MADANG__NOTIFY__TRIES_MAX", "3"),
    ];
    yards_with(&settings, async |app| {
        slack.came.lock().unwrap().clear();
        let (organiser, admin) = app.organiser().await;
        let race = race::open(app, &organiser, 9, json!({})).await;
        let silent = reachable(app, "U0SILENT").await;
        let broken = reachable(app, "U0BROKEN").await;
        let gone = reachable(app, "U0GONE").await;
        let well = reachable(app, "U0WELL").await;
        slack.answers("U0SILENT", &["silence"]);
        slack.answers("U0BROKEN", &["500", "internal_error", "500"]);
        slack.answers("U0GONE", &["user_not_found"]);
        let address = |person: &Person| format!("{}@example.com", person.username);
        mail.answers(&address(&broken), &["451"]);
        mail.answers(&address(&gone), &["550"]);
        app.settled().await;
        for person in [&silent, &broken, &gone] {
            claim(app, &race, person).await.must(201);
        }
        claim(app, &race, &well).await.must(201);
        // Nobody waits for the one who does not answer; the time limit is one that a busy machine keeps.
        until_state(app, &admin, "sent", &well, "slack").await;
        until_state(app, &admin, "sent", &well, "email").await;
        let dead = until_state(app, &admin, "dead", &broken, "slack").await;
        assert_eq!(dead["tries"], 3, "{dead}");
        let tries = slack.came_to("U0BROKEN");
        assert!(tries.len() == 3 && tries.iter().all(|id| *id == dead["id"].as_str().unwrap()), "{tries:?}");
        assert_eq!(until_state(app, &admin, "dead", &gone, "slack").await["reason"], "user_not_found");
        assert_eq!(until_state(app, &admin, "dead", &gone, "email").await["reason"], "SMTP 550");
        until_state(app, &admin, "sent", &broken, "email").await;
        let mails = mail.came_to(&address(&broken));
        assert!(mails.len() == 2 && mails[0] == mails[1], "{mails:?}");
        until_state(app, &admin, "sent", &silent, "slack").await;
        let again = format!("{DELIVERIES}/{}/resend", dead["id"].as_str().unwrap());
        app.post(again.clone(), json!({})).by(&admin).await.must(200);
        let sent = until_state(app, &admin, "sent", &broken, "slack").await;
        assert_eq!(sent["id"], dead["id"]);
        for person in [&silent, &broken, &gone, &well] {
            until_told(app, person, "place_held").await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_is_told_to_pause_pauses_and_the_others_go_on() {
    let (slack_url, slack) = slack().await;
    let (smtp_url, _mail) = mail_server().await;
    let settings = [
        ("MADANG__NOTIFY__SLACK_URL", slack_url.as_str()),
        ("MADANG__NOTIFY__SLACK_TOKEN", "xoxb-test"),
        ("MADANG__NOTIFY__SMTP_URL", smtp_url.as_str()),
        ("MADANG__NOTIFY__TRIES_MAX", "1"),
    ];
    yards_with(&settings, async |app| {
        slack.came.lock().unwrap().clear();
        let (organiser, admin) = app.organiser().await;
        let race = race::open(app, &organiser, 9, json!({})).await;
        let (person, quiet, nowhere) = (reachable(app, "U0FIRST").await, app.member().await, app.member().await);
        let wish = json!({ "items": [{ "kind": "place_held", "slack": true }] });
        app.put("/api/v1/notification-preferences", wish).by(&nowhere).await.must(200);
        slack.answers("U0FIRST", &["429"]);
        app.settled().await;
        for person in [&person, &quiet, &nowhere] {
            claim(app, &race, person).await.must(201);
        }
        until_state(app, &admin, "sent", &person, "email").await;
        let paused = std::time::Instant::now();
        let sent = until_state(app, &admin, "sent", &person, "slack").await;
        assert!(paused.elapsed() < Duration::from_secs(10));
        assert_eq!(sent["tries"], 1, "being told to wait costs no try: {sent}");
        assert_eq!(slack.came_to("U0FIRST").len(), 2);
        let nobody = until_state(app, &admin, "suppressed", &nowhere, "slack").await;
        assert_eq!(nobody["reason"], "no address");
        until_told(app, &quiet, "place_held").await;
        let all = app.get(DELIVERIES).by(&admin).await.must(200);
        assert!(all.items().iter().all(|one| one["user_id"] != quiet.id.as_str()), "he asked for nothing");
    })
    .await;
}
