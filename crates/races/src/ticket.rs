//! `GET /api/v1/registrations/{id}/qr.png` and `…/calendar.ics`: what a confirmed runner takes along.
//!
//! The code can be read without the yard: `MD1.` base64url(canonical JSON `{bib, course, race, registration}`) `.`
//! base64url(Ed25519 signature over the text before the second dot). The key is in the JWK set with `use: ticket`.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use ed25519_dalek::{Signer, SigningKey};
use icalendar::{Calendar, Component, Event, EventLike};
use kernel::ClaimId;
use platform::http::auth::Claimant;
use platform::http::{IdPath, Problem, Result, codes};
use qrcode::{Color, EcLevel, QrCode};
use serde_json::json;

use crate::Races;
use crate::error::NO_TICKET;
use crate::model::course_of;
use crate::store::registrations::{self, Registration};

/// Pixels of one module, and modules of the quiet zone around the code (ISO/IEC 18004: four).
const MODULE_PX: usize = 8;
const QUIET: usize = 4;
/// A race takes a morning; the organiser's own times are in its description.
const EVENT_HOURS: i64 = 4;

/// Signs tickets. Does not print itself.
pub struct TicketKey(SigningKey);

impl TicketKey {
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public key, for the JWK set.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    fn text(&self, row: &Registration) -> String {
        self.sign(&json!({
            "registration": row.id, "race": row.race, "course": course_of(&row.want), "bib": row.confirm_no,
        }))
    }

    /// The text of a code that says `facts`: strings and integers, so that serde_json's sorted keys make them canonical
    /// (RFC 8785).
    pub fn sign(&self, facts: &serde_json::Value) -> String {
        let signed = format!("MD1.{}", URL_SAFE_NO_PAD.encode(facts.to_string()));
        let signature = self.0.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }
}

/// The ticket as a QR code.
///
/// For its owner, once confirmed. Signed, so that it can be checked without a network.
#[utoipa::path(get, path = "/api/v1/registrations/{id}/qr.png", operation_id = "read_ticket",
    tag = "registrations", params(("id" = Uuid, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "image/png")), security(("bearer" = [])))]
pub async fn qr(State(races): State<Races>, Claimant(caller): Claimant, IdPath(id): IdPath) -> Result<Response> {
    let row = confirmed(&races, id, caller.user).await?;
    let image = png_of(&races.ticket_key.text(&row)).map_err(|error| {
        tracing::error!(%error, registration.id = %row.id, "a ticket cannot be drawn");
        Problem::new(&codes::INTERNAL)
    })?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/png")),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
    ];
    Ok((headers, image).into_response())
}

/// The race day as a calendar file.
///
/// For its owner, once confirmed.
#[utoipa::path(get, path = "/api/v1/registrations/{id}/calendar.ics", operation_id = "read_calendar",
    tag = "registrations", params(("id" = Uuid, Path)),
    responses((status = 200, body = String, content_type = "text/calendar")), security(("bearer" = [])))]
pub async fn calendar(State(races): State<Races>, Claimant(caller): Claimant, IdPath(id): IdPath) -> Result<Response> {
    let row = confirmed(&races, id, caller.user).await?;
    let starts = DateTime::from_timestamp_millis(row.race_at_ms).ok_or_else(|| Problem::new(&codes::INTERNAL))?;
    let event = Event::new()
        .uid(&format!("{}@madang", row.id))
        .summary(&row.race_title)
        .location(&row.race_place)
        .description(&format!("{} · {}", course_of(&row.want), row.confirm_no.unwrap_or_default()))
        .starts(starts)
        .ends(starts + chrono::Duration::hours(EVENT_HOURS))
        .done();
    let file = Calendar::new().push(event).done().to_string();
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/calendar; charset=utf-8")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"race.ics\"")),
    ];
    Ok((headers, file).into_response())
}

async fn confirmed(races: &Races, id: uuid::Uuid, user: kernel::UserId) -> Result<Registration> {
    let row = registrations::find(&races.db, ClaimId(id)).await?.filter(|row| row.user == user);
    let row = row.ok_or_else(|| Problem::new(&codes::NOT_FOUND))?;
    if row.state != admission::ClaimState::Confirmed {
        return Err(Problem::new(&NO_TICKET).with("state", row.state.as_str()));
    }
    Ok(row)
}

/// The code as a black and white picture.
fn png_of(text: &str) -> anyhow::Result<Vec<u8>> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M)?;
    let (width, modules) = (code.width(), code.to_colors());
    let side = (width + 2 * QUIET) * MODULE_PX;
    let dark = |x: usize, y: usize| {
        let module = |px: usize| (px / MODULE_PX).checked_sub(QUIET).filter(|at| *at < width);
        module(x).zip(module(y)).is_some_and(|(x, y)| modules[y * width + x] == Color::Dark)
    };
    let pixels: Vec<u8> = (0..side * side).map(|at| if dark(at % side, at / side) { 0 } else { 255 }).collect();
    let mut image = Vec::new();
    let mut encoder = png::Encoder::new(&mut image, u32::try_from(side)?, u32::try_from(side)?);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(image)
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, Verifier, VerifyingKey};

    use super::*;

    /// The ticket's own check, as a stranger without a network would make it.
    #[test]
    fn a_ticket_is_read_without_the_yard() {
        let key = SigningKey::from_bytes(&[5; 32]);
        let facts = json!({ "registration": "r", "race": "a", "course": "10k", "bib": 7 });
        let text = TicketKey::from_seed(&[5; 32]).sign(&facts);
        let [head, payload, signature] = text.split('.').collect::<Vec<_>>()[..] else { panic!("three parts: {text}") };
        assert_eq!(head, "MD1");
        assert_eq!(
            URL_SAFE_NO_PAD.decode(payload).expect("it is so"),
            br#"{"bib":7,"course":"10k","race":"a","registration":"r"}"#
        );
        let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).expect("it is so")).expect("it is so");
        let public: VerifyingKey = key.verifying_key();
        public.verify(format!("MD1.{payload}").as_bytes(), &signature).expect("it is so");
    }
}
