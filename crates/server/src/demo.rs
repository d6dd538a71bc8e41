//! A yard to look at: people, an organiser, races in every state, and a crowd for the next opening.
//!
//! Everything is made as strangers would make it, by the public API; only the administrator comes through the socket.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::http::Method;
use kernel::UtcTime;
use platform::db::Clock;
use reqwest::{Client, StatusCode, Url};
use serde::Serialize;
use serde_json::{Value, json};

use crate::socket::Reach;

/// Of every account here; the yard listens on loopback only.
pub const PASSWORD: &str = "madang yard 2026";
const OPENS_IN: Duration = Duration::from_secs(60);
const CROWD: usize = 60;
/// The crowd is larger than that, and slower than somebody who waits for the opening.
const CROWD_PLACES: u32 = 40;
/// Between the opening and the first of the crowd, and between two of them.
const HEAD_START: Duration = Duration::from_secs(2);
const BETWEEN: Duration = Duration::from_millis(400);

/// Who can sign in, and what there is to see.
#[derive(Serialize)]
pub struct Furnished {
    pub url: String,
    pub accounts: Vec<Account>,
    pub races: Vec<Shown>,
}

#[derive(Clone, Serialize)]
pub struct Account {
    pub role: &'static str,
    pub username: &'static str,
    pub password: &'static str,
}

/// A race and what is to be seen there.
#[derive(Clone, Serialize)]
pub struct Shown {
    pub id: String,
    pub title: &'static str,
    pub state: &'static str,
    pub url: String,
}

/// Somebody who is signed in.
struct Person {
    yard: Url,
    client: Client,
    token: String,
}

/// The people who come at the opening.
pub struct Crowd {
    yard: Url,
    race: String,
    opens_ms: i64,
}

const ADMIN: Account = Account { role: "admin", username: "admin", password: PASSWORD };
const ORGANISER: Account = Account { role: "company", username: "hangang", password: PASSWORD };
const RUNNER: Account = Account { role: "member", username: "haneul", password: PASSWORD };
const FRIEND: Account = Account { role: "member", username: "bada", password: PASSWORD };

/// Lies in the directory of a demo that was furnished to the end.
const MARK: &str = "demo";

/// Refuses a directory that is in use and no demo's: everybody knows the passwords of what would be put there.
pub fn check_directory(data_dir: &Path) -> Result<()> {
    let is_empty = match std::fs::read_dir(data_dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", data_dir.display())),
    };
    if !is_empty && !data_dir.join(MARK).exists() {
        bail!(
            "{} holds something that is no finished demo; name another directory, or remove it if a demo was ended there \
             while it was being made",
            data_dir.display()
        );
    }
    Ok(())
}

/// Fills the yard that runs in this directory at this address. Where it was filled before, only a new opening is added.
pub async fn furnish(yard: &Url, data_dir: &Path, clock: &Clock) -> Result<(Furnished, Crowd)> {
    let client = Client::new();
    let is_new = !data_dir.join(MARK).exists();
    if is_new {
        let body = json!({ "username": ADMIN.username, "password": PASSWORD, "nickname": "마당지기" });
        Reach::Running(data_dir.to_owned()).send(Method::POST, "/identity/admin", &body).await?;
    }
    let admin = Person::login(yard, &client, ADMIN.username).await?;
    let mut races = Vec::new();
    let organiser = if is_new {
        for (account, name, nickname) in
            [(&ORGANISER, "한강러닝", "한강러닝"), (&RUNNER, "김하늘", "하늘"), (&FRIEND, "이바다", "바다")]
        {
            sign_up(yard, &client, account.username, name, nickname).await?;
        }
        become_organiser(yard, &client, &admin).await?
    } else {
        Person::login(yard, &client, ORGANISER.username).await?
    };
    if is_new {
        races = organiser.races_in_every_state(clock.now_ms()).await?;
        std::fs::write(data_dir.join(MARK), "Its accounts' passwords are public.\n")
            .context("the demo cannot be marked")?;
    }
    let opens_ms = clock.now_ms() + i64::try_from(OPENS_IN.as_millis())?;
    let opening = organiser
        .race(
            clock.now_ms(),
            "한강 새벽 10K (곧 열림)",
            "scheduled, opens in a minute, and a crowd comes",
            json!({ "type": "km10", "capacity": CROWD_PLACES, "fee_won": 30_000, "waitlist": true, "opens_at": UtcTime(opens_ms) }),
        )
        .await?;
    let crowd = Crowd { yard: yard.clone(), race: opening.id.clone(), opens_ms };
    races.insert(0, opening);
    let furnished = Furnished { url: yard.to_string(), accounts: vec![ADMIN, ORGANISER, RUNNER, FRIEND], races };
    Ok((furnished, crowd))
}

async fn become_organiser(yard: &Url, client: &Client, admin: &Person) -> Result<Person> {
    let applicant = Person::login(yard, client, ORGANISER.username).await?;
    let application = json!({ "name": "한강러닝", "description": "한강에서 달리는 대회를 엽니다." });
    let application = applicant.post("/api/v1/company-applications", application).await?;
    let decision = format!("/api/v1/company-applications/{}/decision", text(&application, "id")?);
    admin.put(&decision, json!({ "decision": "approved" })).await?;
    Person::login(yard, client, ORGANISER.username).await
}

impl Person {
    /// One race of each kind, with the people that make it so.
    async fn races_in_every_state(&self, now_ms: i64) -> Result<Vec<Shown>> {
        let runner = Person::login(&self.yard, &self.client, RUNNER.username).await?;
        let friend = Person::login(&self.yard, &self.client, FRIEND.username).await?;
        let courses = json!([
            { "code": "full", "type": "full", "capacity": 200, "fee_won": 60_000 },
            { "code": "half", "type": "half", "capacity": 300, "fee_won": 45_000 },
        ]);
        let shirts =
            json!([{ "name": "티셔츠", "sizes": [{ "size": "M", "stock": 100 }, { "size": "L", "stock": 100 }] }]);
        let terms = "본인의 건강 상태를 확인했으며, 대회 규정을 따르겠습니다.";
        let until = json!([{ "until": UtcTime(now_ms + 20 * DAY_MS), "percent": 100 }]);
        let open = json!({ "courses": courses, "souvenirs": shirts, "terms": terms, "refund_rules": until });
        let open = self.race(now_ms, "한강 달빛 마라톤", "open, two courses and a souvenir", open).await?;
        let free = json!({ "type": "km5", "capacity": 50, "fee_won": 0 });
        let free = self.race(now_ms, "동네 한 바퀴 5K", "open and free of charge", free).await?;
        let full = json!({ "type": "free", "distance_m": 7_000, "capacity": 1, "fee_won": 0, "waitlist": true });
        let full = self.race(now_ms, "남산 둘레길 7K", "full, with a wait list", full).await?;
        let paused = json!({ "type": "half", "capacity": 80, "fee_won": 40_000 });
        let paused = self.race(now_ms, "서울숲 하프", "paused by its organiser", paused).await?;
        let closed = json!({ "type": "km10", "capacity": 80, "fee_won": 20_000 });
        let closed = self.race(now_ms, "양재천 10K", "closed", closed).await?;
        let cancelled = json!({ "type": "full", "capacity": 500, "fee_won": 70_000 });
        let cancelled = self.race(now_ms, "태풍 앞의 마라톤", "called off", cancelled).await?;
        let later =
            json!({ "type": "full", "capacity": 1_000, "fee_won": 80_000, "opens_at": UtcTime(now_ms + 7 * DAY_MS) });
        let later = self.race(now_ms, "가을의 전설 풀코스", "opens in a week", later).await?;

        runner.finish(&open.id, json!({ "course": "half" })).await?;
        runner.finish(&full.id, json!({})).await?;
        friend.post(&format!("/api/v1/races/{}/registrations", full.id), json!({})).await?;
        let offer = |race: &Shown| format!("/api/v1/races/{}/offer", race.id);
        self.put(&offer(&paused), json!({ "paused": true, "reason": "코스 점검" })).await?;
        let now = UtcTime(now_ms);
        self.put(&offer(&closed), json!({ "closes_at": now, "reason": "조기 마감" })).await?;
        self.post(&format!("/api/v1/races/{}/cancellation", cancelled.id), json!({ "reason": "태풍" })).await?;
        Ok(vec![open, free, full, paused, closed, cancelled, later])
    }

    async fn race(&self, now_ms: i64, title: &'static str, state: &'static str, own: Value) -> Result<Shown> {
        let mut body = json!({
            "title": title, "place": "서울", "reception": "first_come",
            "opens_at": UtcTime(now_ms - 1_000), "closes_at": UtcTime(now_ms + 30 * DAY_MS), "race_at": UtcTime(now_ms + 45 * DAY_MS),
            "description": "마당의 시연 대회입니다.",
        });
        if let (Some(body), Value::Object(own)) = (body.as_object_mut(), own) {
            body.extend(own);
        }
        let race = self.post("/api/v1/races", body).await?;
        let id = text(&race, "id")?;
        Ok(Shown { url: self.yard.join(&format!("/races/{id}"))?.into(), id, title, state })
    }

    /// Takes a place and goes all the way to the bib.
    async fn finish(&self, race: &str, want: Value) -> Result<()> {
        let terms_version = self.get(&format!("/api/v1/races/{race}")).await?["terms_version"].clone();
        let registration = self.post(&format!("/api/v1/races/{race}/registrations"), want).await?;
        let steps = format!("/api/v1/registrations/{}/steps", text(&registration, "id")?);
        let mut now =
            self.put(&format!("{steps}/terms"), json!({ "agreed": true, "terms_version": terms_version })).await?;
        if now["next_step"] == "souvenir" {
            now = self.put(&format!("{steps}/souvenir"), json!({ "souvenir_id": null, "size": null })).await?;
        }
        if now["next_step"] == "address" {
            let home = json!({
                "recipient": "김하늘", "phone": "010-1234-5678", "postcode": "04524",
                "line1": "서울특별시 중구 세종대로 110", "line2": "",
            });
            now = self.put(&format!("{steps}/address"), home).await?;
        }
        if now["next_step"] == "payment" {
            let paying = self.put(&format!("{steps}/payment"), json!({ "provider": "sandbox" })).await?;
            let payment = text(&paying["payment"], "id")?;
            self.post(&format!("/api/v1/sandbox/payments/{payment}"), json!({ "outcome": "approve" })).await?;
            self.post(&format!("/api/v1/payments/{payment}/confirm"), json!({})).await?;
        }
        Ok(())
    }

    async fn login(yard: &Url, client: &Client, username: &str) -> Result<Person> {
        let nobody = Person { yard: yard.clone(), client: client.clone(), token: String::new() };
        let session = nobody.post("/api/v1/auth/login", json!({ "username": username, "password": PASSWORD })).await?;
        Ok(Person { token: text(&session, "access_token")?, ..nobody })
    }

    async fn get(&self, path: &str) -> Result<Value> {
        self.ask(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn put(&self, path: &str, body: Value) -> Result<Value> {
        self.ask(Method::PUT, path, Some(body)).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let mut request = self.client.request(method.clone(), self.yard.join(path)?);
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let said = answer.text().await?;
        if !status.is_success() {
            bail!("{method} {path}: {status}: {said}");
        }
        if status == StatusCode::NO_CONTENT { Ok(Value::Null) } else { Ok(serde_json::from_str(&said)?) }
    }
}

impl Crowd {
    /// Signs everybody up and lets them come, one after the other, once it is open. Who finds nothing left waits in line.
    pub async fn come(self, clock: &Clock) -> Result<()> {
        let client = Client::new();
        let mut people = Vec::with_capacity(CROWD);
        for number in 1..=CROWD {
            let username = format!("runner{number:02}");
            // Of an earlier start.
            let person = match Person::login(&self.yard, &client, &username).await {
                Ok(person) => person,
                Err(_) => {
                    sign_up(&self.yard, &client, &username, "달리는 이웃", &format!("이웃{number:02}")).await?;
                    Person::login(&self.yard, &client, &username).await?
                }
            };
            people.push(person);
        }
        let wait_ms = u64::try_from(self.opens_ms - clock.now_ms()).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(wait_ms) + HEAD_START).await;
        for person in people {
            // Who is refused goes home; the others come all the same.
            if let Err(error) = person.post(&format!("/api/v1/races/{}/registrations", self.race), json!({})).await {
                tracing::warn!(%error, "one of the demo's crowd got no place");
            }
            tokio::time::sleep(BETWEEN).await;
        }
        Ok(())
    }
}

const DAY_MS: i64 = 86_400_000;

async fn sign_up(yard: &Url, client: &Client, username: &str, name: &str, nickname: &str) -> Result<()> {
    let nobody = Person { yard: yard.clone(), client: client.clone(), token: String::new() };
    let account = json!({
        "username": username, "password": PASSWORD, "name": name, "nickname": nickname,
        "email": format!("{username}@example.com"),
    });
    nobody.post("/api/v1/users", account).await.map(drop)
}

fn text(answer: &Value, name: &str) -> Result<String> {
    answer[name].as_str().map(str::to_owned).with_context(|| format!("the yard's answer has no {name}"))
}
