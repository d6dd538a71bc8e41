//! Events told and heard.

use kernel::UserId;
use kernel::contracts::Event;
use kernel::contracts::identity::UserSaved;
use kernel::contracts::races::RaceChanged;
use platform::db::{DbError, Tx};
use platform::events::{Consumer, publish};

use crate::Races;
use crate::model::Race;
use crate::store::people;

/// Tells that a race changed: `created`, `edited`, `deleted`, `cancelled`. Of hidden ones nobody hears.
pub async fn tell(tx: &Tx, race: &Race, change: &str, actor: UserId) -> Result<(), DbError> {
    if race.hidden {
        return Ok(());
    }
    let event =
        RaceChanged { race_id: race.id, owner_id: race.owner, title: race.title.clone(), change: change.to_owned() };
    publish(tx, &event, Some(actor)).await
}

pub fn consumers(races: &Races) -> Vec<Consumer> {
    vec![Consumer::new("races people", &[UserSaved::KIND], races.db.clone(), |tx, event| {
        Box::pin(async move { Ok(people::save(tx, &event.read()?).await?) })
    })]
}
