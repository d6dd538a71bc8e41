//! Events told and heard.

use kernel::contracts::Event;
use kernel::contracts::identity::UserSaved;
use kernel::contracts::payments::{
    Payment, PaymentCaptured, PaymentDeclined, PaymentRefunded, PaymentState, PaymentUnknown, Subject,
};
use kernel::contracts::races::RaceChanged;
use kernel::{ClaimId, UserId};
use platform::db::{DbError, Tx};
use platform::events::{Consumer, publish};
use platform::saga::State;

use crate::Races;
use crate::model::Race;
use crate::registering::{self, Entry};
use crate::store::{people, progress};

const PAYMENT_EVENTS: [&str; 4] =
    [PaymentCaptured::KIND, PaymentDeclined::KIND, PaymentUnknown::KIND, PaymentRefunded::KIND];

/// Tells that a race changed: `created`, `edited`, `deleted`, `cancelled`. Of hidden ones nobody hears.
pub async fn tell(tx: &Tx, race: &Race, change: &str, actor: UserId) -> Result<(), DbError> {
    if race.hidden {
        return Ok(());
    }
    let event = RaceChanged {
        race_id: race.id,
        owner_id: race.owner,
        title: race.title.clone(),
        change: change.to_owned(),
        offer_id: Some(race.offer),
    };
    publish(tx, &event, Some(actor)).await
}

pub fn consumers(races: &Races) -> Vec<Consumer> {
    let of_payments = races.clone();
    vec![
        Consumer::new("races people", &[UserSaved::KIND], races.db.clone(), |tx, event| {
            Box::pin(async move { Ok(people::save(tx, &event.read()?).await?) })
        }),
        Consumer::new("races payments", &PAYMENT_EVENTS, races.db.clone(), move |tx, event| {
            let races = of_payments.clone();
            // All four have the same shape.
            Box::pin(async move { Ok(follow_payment(&races, tx, &event.read::<PaymentCaptured>()?.payment).await?) })
        }),
    ]
}

/// Shows what came of a payment and lets its saga go on. Money that no saga waits for looks for a place of its own.
pub async fn follow_payment(races: &Races, tx: &Tx, payment: &Payment) -> Result<(), DbError> {
    let Subject::Registration(registration) = payment.subject;
    let now_ms = tx.now_ms().await?;
    progress::told(tx, payment, now_ms).await?;
    let waited = races.sagas.signal(tx, payment.payment_id.0).await?;
    // A saga that asked by itself may have used the money before this event came.
    if payment.state == PaymentState::Captured
        && !waited
        && races.sagas.state(tx, payment.payment_id.0).await? != Some(State::Completed)
    {
        let entry = Entry { registration: ClaimId(registration), payment: payment.payment_id };
        races.sagas.start(tx, &registering::late_start(entry)).await?;
    }
    Ok(())
}
