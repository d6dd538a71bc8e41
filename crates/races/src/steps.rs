//! The steps from a place to a bib: `PUT /api/v1/registrations/{id}/steps/{step}`, one file each.
//!
//! Each may be taken again until the payment is under way, on another device too; the same step again changes nothing.

pub mod address;
pub mod course;
pub mod payment;
pub mod souvenir;
pub mod terms;

use kernel::{ClaimId, RaceId};
use platform::db::Query;
use platform::http::auth::Caller;
use platform::http::{Problem, Result, codes};

use crate::Races;
use crate::error::STEP;
use crate::model::{NextStep, Race};
use crate::registration::RegistrationBody;
use crate::store::find_race;
use crate::store::registrations::{self, Registration, positions};

/// The caller's own registration.
async fn own(q: &impl Query, id: uuid::Uuid, caller: &Caller) -> Result<Registration> {
    let found = registrations::find(q, ClaimId(id)).await?.filter(|row| row.user == caller.user);
    found.ok_or_else(|| Problem::new(&codes::NOT_FOUND))
}

async fn race_of(q: &impl Query, id: RaceId) -> Result<Race> {
    find_race(q, id).await?.ok_or_else(|| Problem::new(&codes::NOT_FOUND))
}

/// Refuses a step whose turn it is not, and says whose it is.
fn check_turn(row: &Registration, step: NextStep) -> Result<()> {
    if row.wizard().allows(&row.progress, step) { Ok(()) } else { Err(out_of_turn(row)) }
}

fn out_of_turn(row: &Registration) -> Problem {
    let next = row.wizard().next(&row.progress).map(NextStep::as_str);
    let problem = Problem::new(&STEP).with("state", row.state.as_str());
    if row.state.open() {
        return problem.with("next_step", next);
    }
    problem.with("next_step", "claim_again").detail("The place has gone back. Claim one again.")
}

impl Races {
    /// The registration as its owner sees it now.
    pub async fn owners(&self, id: ClaimId) -> Result<RegistrationBody> {
        let row = registrations::find(&self.db, id).await?.ok_or_else(|| Problem::new(&codes::NOT_FOUND))?;
        let place = positions(&self.db, std::slice::from_ref(&row)).await?.remove(&row.id);
        Ok(RegistrationBody::of_row(&row, place).for_owner(self, &row))
    }
}
