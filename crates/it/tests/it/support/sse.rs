//! An open stream of server-sent events, read as a browser reads it.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use futures::StreamExt;
use serde_json::Value;
use tower::ServiceExt;

use super::app::{App, Person};

const WITHIN: Duration = Duration::from_secs(10);

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: Value,
}

pub struct Sse {
    body: BodyDataStream,
    text: String,
}

impl App {
    /// Opens a stream in this process, as somebody or nobody.
    pub async fn stream(&self, path: &str, by: Option<&Person>, last_id: Option<&str>) -> Sse {
        let mut request = axum::http::Request::get(path);
        if let Some(person) = by {
            request = request.header("authorization", format!("Bearer {}", person.access));
        }
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = self.yard.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Sse { body: response.into_body().into_data_stream(), text: String::new() }
    }
}

impl Sse {
    /// The next event; `None` when the stream has ended.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                match parse(&block) {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(WITHIN, self.body.next()).await.expect("the stream says something");
            self.text += std::str::from_utf8(&chunk?.unwrap()).unwrap();
        }
    }

    /// The next event that is as wanted; those before it are passed over.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("{what}: the stream has ended"));
            if wanted(&event) {
                return event;
            }
        }
    }
}

/// Comments and `retry` are no events.
fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
    Some(Event {
        name: field("event: ")?.to_owned(),
        id: field("id: ").unwrap_or_default().to_owned(),
        data: serde_json::from_str(field("data: ")?).unwrap(),
    })
}
