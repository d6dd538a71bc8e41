//! Style and script, in the binary. A name holds its content's fingerprint, so a browser may keep it for a year.

use axum::extract::Path;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use platform::http::{Problem, codes};

/// A file of the pages.
pub struct Asset {
    pub file: &'static str,
    pub media: &'static str,
    pub plain: &'static [u8],
    /// The same, packed with gzip.
    pub packed: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

const FOR_A_YEAR: &str = "public, max-age=31536000, immutable";

pub async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.file == file) else {
        return Problem::new(&codes::NO_ROUTE).into_response();
    };
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let common =
        [(header::CONTENT_TYPE, asset.media), (header::CACHE_CONTROL, FOR_A_YEAR), (header::VARY, "accept-encoding")];
    if accepted.contains("gzip") {
        return (common, [(header::CONTENT_ENCODING, "gzip")], asset.packed).into_response();
    }
    (common, asset.plain).into_response()
}
