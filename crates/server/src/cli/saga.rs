//! `madang saga`: what is under way in several steps, and the operator's word where it is stuck.

use anyhow::Result;
use axum::http::Method;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Exit, YardArgs, say, say_json};
use crate::socket::Reach;

const EXAMPLES: &str = "Examples:
  madang saga list --state stuck
  madang saga show 0197a3e0-7b1c-7d7e-8f00-000000000001
  madang saga retry 0197a3e0-… --reason 'the provider is back'
  madang saga undo 0197a3e0-… --reason 'the runner asked for his money back'

Retry tries the stuck step again; undo takes back what was done. Each is kept with its reason.
Works while a yard runs on the directory, and without one: what was ordered then happens at its next start.

Exit code: 0 well, 1 refused or not there, 2 usage.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct SagaArgs {
    #[command(subcommand)]
    command: SagaCommand,
}

#[derive(Subcommand)]
enum SagaCommand {
    /// Shows sagas, the newest first.
    List(Listed),
    /// Shows a saga with its log.
    Show(Shown),
    /// Tries the stuck step again.
    Retry(Ordered),
    /// Takes back what a running or stuck saga did.
    Undo(Ordered),
}

#[derive(Args)]
struct Listed {
    /// Only those in this state.
    #[arg(long)]
    state: Option<StateWord>,
    /// Only those of this name, e.g. registration.
    #[arg(long)]
    name: Option<String>,
    /// How many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=100))]
    limit: u8,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, ValueEnum)]
enum StateWord {
    Running,
    Undoing,
    Completed,
    Compensated,
    Stuck,
}

#[derive(Args)]
struct Shown {
    id: Uuid,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Ordered {
    id: Uuid,
    /// Why; kept in the audit log.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Common {
    /// The part whose saga it is.
    #[arg(long, default_value = "races", value_parser = a_part)]
    context: String,
    #[command(flatten)]
    yard: YardArgs,
    /// The answer as JSON.
    #[arg(long)]
    json: bool,
}

/// The name goes into a path.
fn a_part(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase());
    if is_name { Ok(text.to_owned()) } else { Err("a part's name is lower-case letters".to_owned()) }
}

/// A command as the yard takes it.
struct Order {
    method: Method,
    path: String,
    body: Value,
    common: Common,
}

impl SagaCommand {
    fn order(self) -> Order {
        let base = |common: &Common| format!("/{}/sagas", common.context);
        let tell = |to: Ordered, word: &str| Order {
            method: Method::POST,
            path: format!("{}/{}/{word}", base(&to.common), to.id),
            body: json!({ "reason": to.reason }),
            common: to.common,
        };
        match self {
            SagaCommand::List(wanted) => {
                let mut path = format!("{}?limit={}", base(&wanted.common), wanted.limit);
                if let Some(word) = wanted.state.and_then(|state| state.to_possible_value()) {
                    path += &format!("&state={}", word.get_name());
                }
                if let Some(name) = &wanted.name {
                    let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
                    path += &format!("&name={encoded}");
                }
                Order { method: Method::GET, path, body: Value::Null, common: wanted.common }
            }
            SagaCommand::Show(which) => {
                let path = format!("{}/{}", base(&which.common), which.id);
                Order { method: Method::GET, path, body: Value::Null, common: which.common }
            }
            SagaCommand::Retry(to) => tell(to, "retry"),
            SagaCommand::Undo(to) => tell(to, "undo"),
        }
    }
}

pub async fn run(args: SagaArgs) -> Result<Exit> {
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

/// A list, one line each, or one saga with its log.
fn tell(answer: &Value) -> String {
    let Some(items) = answer["items"].as_array() else {
        let mut lines = line(answer);
        if let Some(error) = answer["last_error"].as_str() {
            lines.push_str(&format!("\nlast error: {error}"));
        }
        for entry in answer["log"].as_array().into_iter().flatten() {
            let part = |name: &str| entry[name].as_str().unwrap_or_default();
            let told = format!("\n{} {} {} {}", part("at"), part("step"), part("event"), part("detail"));
            lines.push_str(told.trim_end());
        }
        return lines;
    };
    if items.is_empty() {
        return "none".to_owned();
    }
    let lines: Vec<String> = items.iter().map(line).collect();
    lines.join("\n")
}

fn line(saga: &Value) -> String {
    let part = |name: &str| saga[name].as_str().unwrap_or_default();
    let at = if part("step").is_empty() { String::new() } else { format!(" at {}", part("step")) };
    format!(
        "{} {} {}{at}, about {}, since {}",
        part("id"),
        part("name"),
        part("state"),
        part("subject"),
        part("created_at")
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const ID: &str = "0197a3e0-7b1c-7d7e-8f00-000000000001";

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        saga: SagaArgs,
    }

    fn order(words: &[&str]) -> Order {
        let line = ["saga"].iter().chain(words);
        Line::try_parse_from(line).unwrap_or_else(|error| panic!("{error}")).saga.command.order()
    }

    #[test]
    fn each_command_is_one_question_or_order() {
        let list = order(&["list", "--state", "stuck", "--name", "a b", "--context", "shop"]);
        assert_eq!((list.method, list.path.as_str()), (Method::GET, "/shop/sagas?limit=20&state=stuck&name=%61%20%62"));
        let show = order(&["show", ID]);
        assert_eq!((show.method, show.path), (Method::GET, format!("/races/sagas/{ID}")));
        for word in ["retry", "undo"] {
            let told = order(&[word, ID, "--reason", "why"]);
            assert_eq!((told.method, told.path), (Method::POST, format!("/races/sagas/{ID}/{word}")));
            assert_eq!(told.body, json!({ "reason": "why" }));
        }
    }

    #[test]
    fn an_order_needs_its_saga_and_its_reason() {
        for words in [&["retry", ID][..], &["undo", "saga", "--reason", "why"], &["list", "--context", "a/b"]] {
            assert!(Line::try_parse_from(["saga"].iter().chain(words)).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_saga_is_told_in_lines() {
        let saga = json!({ "id": ID, "name": "registration", "state": "stuck", "step": "payment", "subject": "s",
            "created_at": "2027-01-01T00:00:00.000Z", "last_error": "away",
            "log": [{ "at": "2027-01-01T00:00:01.000Z", "step": "payment", "event": "stuck", "detail": "away" }] });
        let first = format!("{ID} registration stuck at payment, about s, since 2027-01-01T00:00:00.000Z");
        assert_eq!(tell(&json!({ "items": [saga.clone()] })), first);
        assert_eq!(tell(&saga), format!("{first}\nlast error: away\n2027-01-01T00:00:01.000Z payment stuck away"));
        assert_eq!(tell(&json!({ "items": [] })), "none");
    }
}
