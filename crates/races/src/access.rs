//! Who may see and manage a race.

use kernel::{RaceId, Role};
use platform::db::Query;
use platform::http::{Caller, Problem, codes};

use crate::model::Race;
use crate::store;

/// The race, unless there is none or it was deleted.
pub async fn race(q: &impl Query, id: RaceId) -> Result<Race, Problem> {
    let race = store::find_race(q, id).await?.filter(|race| race.deleted_ms.is_none());
    race.ok_or_else(|| Problem::new(&codes::NOT_FOUND))
}

/// The race, if the caller is its organiser or an admin. What is public is forbidden to others, what is not public
/// is not there for them.
pub async fn managed(q: &impl Query, id: RaceId, caller: &Caller) -> Result<Race, Problem> {
    let race = race(q, id).await?;
    match manages(&race, caller) {
        true => Ok(race),
        false if race.hidden => Err(Problem::new(&codes::NOT_FOUND)),
        false => Err(Problem::new(&codes::AUTH_ROLE)),
    }
}

pub fn manages(race: &Race, caller: &Caller) -> bool {
    caller.rehearsal.is_none()
        && (caller.role == Role::Admin || (caller.role == Role::Company && race.owner == caller.user))
}
