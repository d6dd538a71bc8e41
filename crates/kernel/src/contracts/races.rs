//! What races tells.

use serde::{Deserialize, Serialize};

use super::Event;
use crate::{RaceId, UserId};

/// A race was published, edited, or called off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RaceChanged {
    pub race_id: RaceId,
    pub owner_id: UserId,
    pub title: String,
    /// `created`, `edited`, `deleted`, `cancelled`.
    pub change: String,
}

impl Event for RaceChanged {
    const KIND: &'static str = "race.changed";
    const VERSION: u32 = 1;
    fn key(&self) -> String {
        self.race_id.to_string()
    }
}
