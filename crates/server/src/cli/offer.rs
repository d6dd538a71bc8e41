//! `madang offer`: the organiser's hand on the sale of a race, for whoever owns the yard.

use anyhow::Result;
use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Exit, YardArgs, say, say_json};
use crate::socket::Reach;

const EXAMPLES: &str = "Examples:
  madang offer pause 0197a3e0-7b1c-7d7e-8f00-000000000001 --reason 'the payment provider is down'
  madang offer capacity 0197a3e0-… 120 --course 10k --reason 'the bridge is open again'
  madang offer assign 0197a3e0-… runner7 --reason 'winner of last year'

Each is kept with its reason and is a leaf of the public order log.
Works while a yard runs on the directory, and without one.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct OfferArgs {
    #[command(subcommand)]
    command: OfferCommand,
}

#[derive(Subcommand)]
enum OfferCommand {
    /// Takes no claims until it is resumed; moves of claims go on.
    Pause(Target),
    /// Takes claims again.
    Resume(Target),
    /// Closes now and for good.
    Close(Target),
    /// Sets how many places there are, not below what is taken.
    Capacity(Counted),
    /// Sets how many places only the organiser's hand gives.
    HoldBack(Counted),
    /// Gives a person a place, past opening, pause and line.
    Assign(Assigned),
}

#[derive(Args)]
struct Target {
    race_id: Uuid,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Counted {
    race_id: Uuid,
    /// Places.
    number: u32,
    /// Needed where the race has several.
    #[arg(long)]
    course: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Assigned {
    race_id: Uuid,
    username: String,
    /// Needed where the race has several.
    #[arg(long)]
    course: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Common {
    /// Why; kept in the audit log.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    yard: YardArgs,
    /// The answer as JSON.
    #[arg(long)]
    json: bool,
}

/// A command as the yard takes it.
struct Order {
    method: Method,
    path: String,
    body: Map<String, Value>,
    common: Common,
}

impl OfferCommand {
    fn order(self) -> Order {
        let change = |race: Uuid, name: &str, value: Value, course: Option<String>, common: Common| {
            let body = body([(name, value), ("course", course.into())], &common);
            Order { method: Method::PUT, path: format!("/races/{race}/offer"), body, common }
        };
        match self {
            OfferCommand::Pause(to) => change(to.race_id, "paused", true.into(), None, to.common),
            OfferCommand::Resume(to) => change(to.race_id, "paused", false.into(), None, to.common),
            // A closing that is not after now closes at once; the epoch is before any now.
            OfferCommand::Close(to) => change(to.race_id, "closes_at", json!("1970-01-01T00:00:00Z"), None, to.common),
            OfferCommand::Capacity(to) => change(to.race_id, "capacity", to.number.into(), to.course, to.common),
            OfferCommand::HoldBack(to) => change(to.race_id, "held_back", to.number.into(), to.course, to.common),
            OfferCommand::Assign(to) => {
                let body = body([("username", to.username.into()), ("course", to.course.into())], &to.common);
                Order {
                    method: Method::POST,
                    path: format!("/races/{}/offer/assignments", to.race_id),
                    body,
                    common: to.common,
                }
            }
        }
    }
}

fn body<const N: usize>(fields: [(&str, Value); N], common: &Common) -> Map<String, Value> {
    let reason = ("reason", Value::from(common.reason.as_str()));
    fields
        .into_iter()
        .chain([reason])
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

pub async fn run(args: OfferArgs) -> Result<Exit> {
    let Order { method, path, body, common } = args.command.order();
    let config = common.yard.load()?.settings;
    let reach = Reach::open(&common.yard.data_dir, config).await?;
    let answer = reach.send(method, &path, &body).await;
    reach.close().await;
    let answer = answer?;
    if common.json {
        say_json(&answer)?;
    } else {
        say(tell(&answer));
    }
    Ok(Exit::Well)
}

/// An offer, or a registration, in one line or a few.
fn tell(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut lines = format!("state {}", text(&answer["state"]));
    for pool in answer["pools"].as_array().into_iter().flatten() {
        let part = |name: &str| text(&pool[name]);
        lines.push_str(&format!(
            "\n{}: {} of {} taken, {} held back, {} remaining",
            part("code"),
            part("taken"),
            part("capacity"),
            part("held_back"),
            part("remaining")
        ));
    }
    for name in ["id", "course", "sequence", "hold_expires_at"] {
        if !answer[name].is_null() {
            lines.push_str(&format!("\n{name} {}", text(&answer[name])));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const RACE: &str = "0197a3e0-7b1c-7d7e-8f00-000000000001";

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        offer: OfferArgs,
    }

    fn order(words: &[&str]) -> Order {
        let line = ["offer"].iter().chain(words).chain(&["--reason", "why"]);
        Line::try_parse_from(line).unwrap_or_else(|error| panic!("{error}")).offer.command.order()
    }

    #[test]
    fn each_command_is_one_change_of_the_offer() {
        let offer = format!("/races/{RACE}/offer");
        let cases = [
            (vec!["pause", RACE], json!({ "paused": true, "reason": "why" })),
            (vec!["resume", RACE], json!({ "paused": false, "reason": "why" })),
            (vec!["close", RACE], json!({ "closes_at": "1970-01-01T00:00:00Z", "reason": "why" })),
            (
                vec!["capacity", RACE, "120", "--course", "10k"],
                json!({ "capacity": 120, "course": "10k", "reason": "why" }),
            ),
            (vec!["hold-back", RACE, "0"], json!({ "held_back": 0, "reason": "why" })),
        ];
        for (words, body) in cases {
            let order = order(&words);
            assert_eq!(
                (order.method, order.path.as_str(), Value::from(order.body)),
                (Method::PUT, offer.as_str(), body)
            );
        }
        let assigned = order(&["assign", RACE, "runner7"]);
        assert_eq!((assigned.method, assigned.path), (Method::POST, format!("{offer}/assignments")));
        assert_eq!(Value::from(assigned.body), json!({ "username": "runner7", "reason": "why" }));
    }

    #[test]
    fn a_command_needs_its_race_and_its_reason() {
        assert!(Line::try_parse_from(["offer", "pause", RACE]).is_err());
        assert!(Line::try_parse_from(["offer", "pause", "race", "--reason", "why"]).is_err());
        assert!(Line::try_parse_from(["offer", "capacity", RACE, "-1", "--reason", "why"]).is_err());
    }
}
