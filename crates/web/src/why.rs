//! Why somebody has a place or not: his number, the time, the outcome, and the proof that the public log says so.

use askama::Template;
use axum::extract::Query;
use axum::http::{Method, header};
use axum::response::Response;
use http_body_util::BodyExt;
use kernel::UtcTime;
use orderlog::{Event, Outcome, Receipt, VerifierKey};
use platform::http::IdPath;
use serde::Deserialize;
use uuid::Uuid;

use crate::answers::Race;
use crate::api::Call;
use crate::browser::Browser;
use crate::fault::{Fault, Result};
use crate::frame::{Frame, page};
use crate::races::race_path;

/// Where a click that came too late is explained.
pub fn refused_at(race: Uuid, fault: &Fault) -> String {
    match fault.number("log_index") {
        Some(index) => format!("/races/{race}/why?index={index}"),
        None => format!("/races/{race}/why"),
    }
}

#[derive(Deserialize)]
pub struct Asked {
    /// The leaf; absent where so many were refused that not all have one.
    index: Option<u64>,
}

#[derive(Template)]
#[template(path = "why.html")]
struct Why {
    f: Frame,
    race: Race,
    leaf: Option<Leaf>,
}

/// What a receipt shows.
struct Leaf {
    index: u64,
    sequence: Option<u64>,
    outcome: Option<Outcome>,
    at: UtcTime,
    /// The signature fits the yard's key, and the proof leads from the leaf to the signed root.
    checked: bool,
    size: u64,
    receipt: String,
}

pub async fn of_race(browser: Browser, IdPath(id): IdPath, Query(asked): Query<Asked>) -> Result<Response> {
    let race: Race = browser.get(&race_path(id)).await?;
    let leaf = match asked.index {
        Some(index) => leaf_of(&browser, id, index).await?,
        None => None,
    };
    Ok(page(&Why { f: browser.frame(), race, leaf }))
}

async fn leaf_of(browser: &Browser, race: Uuid, index: u64) -> Result<Option<Leaf>> {
    let base = format!("{}/offer", race_path(race));
    let Some(receipt) = text(browser, &format!("{base}/receipts/{index}")).await? else {
        return Ok(None);
    };
    let Ok(read) = Receipt::parse(&receipt) else {
        return Err(Fault::broken().into());
    };
    let keys = text(browser, &format!("{base}/keys")).await?.unwrap_or_default();
    let verified = keys.lines().filter_map(|line| VerifierKey::parse(line).ok()).find_map(|key| read.verify(&key).ok());
    let (outcome, at_ms) = match &read.leaf.event {
        Event::Claim { outcome, received_ms, .. } => (Some(*outcome), *received_ms),
        _ => (None, read.leaf.decided_ms),
    };
    Ok(Some(Leaf {
        index,
        sequence: read.leaf.event.seq(),
        outcome,
        at: UtcTime(at_ms),
        checked: verified.is_some(),
        size: verified.map_or(0, |checkpoint| checkpoint.size),
        receipt,
    }))
}

async fn text(browser: &Browser, path: &str) -> Result<Option<String>> {
    let response = match browser.send(Call::new(Method::GET, path).header(header::ACCEPT, "text/plain")).await {
        Ok(response) => response,
        Err(fault) if fault.status == 404 => return Ok(None),
        Err(fault) => return Err(fault.into()),
    };
    let body = response.into_body().collect().await.map_err(|_| Fault::broken())?.to_bytes();
    Ok(Some(String::from_utf8_lossy(&body).into_owned()))
}
