//! The people of a rehearsal: marked, with a token each, good for one hidden race and nothing else.

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, Response, Url};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Marked people and the race they can claim in.
pub struct Crowd {
    pub race_id: Uuid,
    tokens: Vec<String>,
}

/// What the yard is asked to make.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Wish {
    pub people: u32,
    pub capacity: u32,
    pub ttl_s: u32,
    pub fee_won: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_s: Option<u32>,
}

#[derive(Deserialize)]
struct Made {
    race_id: Uuid,
    token_url: String,
}

#[derive(Deserialize)]
struct Line {
    token: String,
}

impl Crowd {
    /// Lets a yard make the race and its people; `admin` is the access token of an organiser or an administrator.
    pub async fn gather(yard: &Url, admin: &str, wish: &Wish) -> Result<Crowd> {
        let client = Client::new();
        let made = client.post(yard.join("/api/v1/admin/rehearsals")?).bearer_auth(admin).json(wish).send().await?;
        let made: Made = well(made).await.context("the yard makes no rehearsal")?.json().await?;
        let list = client.get(yard.join(&made.token_url)?).bearer_auth(admin).send().await?;
        let tokens = read(well(list).await.context("the yard gives no tokens")?).await?;
        ensure!(tokens.len() == wish.people as usize, "{} tokens for {} people", tokens.len(), wish.people);
        Ok(Crowd { race_id: made.race_id, tokens })
    }

    pub fn people(&self) -> usize {
        self.tokens.len()
    }

    pub fn token(&self, person: usize) -> &str {
        &self.tokens[person]
    }

    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(String::as_str)
    }
}

/// Signs in and gives the access token.
pub async fn login(yard: &Url, username: &str, password: &str) -> Result<String> {
    #[derive(Deserialize)]
    struct Session {
        access_token: String,
    }
    let body = serde_json::json!({ "username": username, "password": password });
    let answer = Client::new().post(yard.join("/api/v1/auth/login")?).json(&body).send().await?;
    Ok(well(answer).await.context("the yard lets nobody in")?.json::<Session>().await?.access_token)
}

/// The answer, or an error that says what the yard said.
async fn well(answer: Response) -> Result<Response> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let text = answer.text().await.unwrap_or_default();
    bail!("{status}: {}", text.chars().take(500).collect::<String>())
}

/// Newline-delimited JSON, read as it comes.
async fn read(mut list: Response) -> Result<Vec<String>> {
    let mut tokens = Vec::new();
    let mut rest = Vec::new();
    while let Some(chunk) = list.chunk().await? {
        rest.extend_from_slice(&chunk);
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        take_lines(&rest[..whole], &mut tokens)?;
        rest.drain(..whole);
    }
    take_lines(&rest, &mut tokens)?;
    Ok(tokens)
}

fn take_lines(lines: &[u8], tokens: &mut Vec<String>) -> Result<()> {
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        tokens.push(serde_json::from_slice::<Line>(line).context("a line of the tokens cannot be read")?.token);
    }
    Ok(())
}
