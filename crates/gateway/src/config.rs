//! The gateway's settings.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// The defaults, a comment for each.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// Rate limits: so many requests a second, and so many at once after a pause.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub user_per_s: NonZeroU32,
    pub user_burst: NonZeroU32,
    pub claims_per_s: NonZeroU32,
    pub claims_burst: NonZeroU32,
    pub address_per_s: NonZeroU32,
    pub address_burst: NonZeroU32,
    pub sign_in_per_s: NonZeroU32,
    pub sign_in_burst: NonZeroU32,
}
