//! `madang admin`: accounts with rights.

use std::io::{BufRead, IsTerminal};

use anyhow::{Result, bail};
use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::{Exit, YardArgs, say, say_json};
use crate::socket::Reach;

const EXAMPLES: &str = "Examples:
  madang admin create --username boss --password 'correct horse battery'
  pass show yard | madang admin create --username boss --data-dir /srv/yard

Works while a yard runs on the directory, and without one.";

#[derive(Args)]
pub struct AdminArgs {
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Subcommand)]
enum AdminCommand {
    /// Makes an administrator.
    Create(CreateArgs),
}

#[derive(Args)]
#[command(after_help = EXAMPLES)]
struct CreateArgs {
    #[command(flatten)]
    yard: YardArgs,
    /// 4 to 20 small letters and digits.
    #[arg(long)]
    username: String,
    /// 8 to 64 characters; without it, the first line of standard input.
    #[arg(long)]
    password: Option<String>,
    #[arg(long)]
    name: Option<String>,
    #[arg(long)]
    nickname: Option<String>,
    #[arg(long)]
    email: Option<String>,
    /// The answer as JSON.
    #[arg(long)]
    json: bool,
}

pub async fn run(args: AdminArgs) -> Result<Exit> {
    let AdminCommand::Create(args) = args.command;
    let password = match args.password {
        Some(password) => password,
        None => read_password()?,
    };
    let config = args.yard.load()?.settings;
    let mut body = Map::new();
    let fields = [
        ("username", Some(args.username)),
        ("password", Some(password)),
        ("name", args.name),
        ("nickname", args.nickname),
        ("email", args.email),
    ];
    body.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?)))));
    let reach = Reach::open(&args.yard.data_dir, config).await?;
    let made = reach.send(Method::POST, "/identity/admin", &body).await;
    reach.close().await;
    let made = made?;
    if args.json {
        say_json(&made)?;
    } else {
        say(format!("{} is an administrator now", body["username"].as_str().unwrap_or_default()));
    }
    Ok(Exit::Well)
}

fn read_password() -> Result<String> {
    let input = std::io::stdin().lock();
    if input.is_terminal() {
        eprint!("Password: ");
    }
    first_line(input)
}

fn first_line(mut input: impl BufRead) -> Result<String> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let password = line.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        bail!("no password: give --password or a line on standard input");
    }
    Ok(password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::first_line;

    #[test]
    fn a_password_is_the_first_line_with_its_spaces() {
        assert_eq!(first_line(" two words \r\nmore\n".as_bytes()).expect("a line"), " two words ");
        assert_eq!(first_line("without end".as_bytes()).expect("a line"), "without end");
        assert!(first_line("\n".as_bytes()).is_err() && first_line("".as_bytes()).is_err());
    }
}
