//! What notify hears. It publishes nothing.

use kernel::contracts::Event;
use kernel::contracts::admission::{ClaimsDecided, DecidedClaim};
use kernel::contracts::identity::{CompanyApplicationDecided, UserRoleChanged, UserSaved};
use kernel::contracts::payments::{Payment, PaymentCaptured, PaymentRefunded};
use kernel::contracts::races::{RaceChanged, RaceMessageSent, RegistrationChanged};
use kernel::contracts::sagas::SagaStuck;
use kernel::{RaceId, UserId};
use platform::db::{Db, DbError, Tx};
use platform::events::{ConsumeError, Consumer, Envelope};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::inbox::{Channels, Notice, tell};
use crate::kinds::{self, Kind};
use crate::model::Values;
use crate::store::copies::{self, RaceCopy};
use crate::store::deliveries;

type Taken = Result<(), ConsumeError>;

/// One consumer per part, so that what is told of a race comes after the race.
pub fn consumers(db: &Db, on: Channels) -> Vec<Consumer> {
    vec![
        Consumer::new(
            "notify people",
            &[UserSaved::KIND, UserRoleChanged::KIND, CompanyApplicationDecided::KIND],
            db.clone(),
            move |tx, event| Box::pin(follow_person(tx, on, event)),
        ),
        Consumer::new(
            "notify races",
            &[RaceChanged::KIND, ClaimsDecided::KIND, RegistrationChanged::KIND, RaceMessageSent::KIND],
            db.clone(),
            move |tx, event| Box::pin(follow_race(tx, on, event)),
        ),
        Consumer::new(
            "notify payments",
            &[PaymentCaptured::KIND, PaymentRefunded::KIND],
            db.clone(),
            move |tx, event| Box::pin(follow_payment(tx, on, event)),
        ),
        Consumer::new("notify operators", &[SagaStuck::KIND], db.clone(), move |tx, event| {
            Box::pin(alarm(tx, on, event))
        }),
    ]
}

async fn follow_person(tx: &Tx, on: Channels, event: &Envelope) -> Taken {
    match event.kind.as_str() {
        UserSaved::KIND => copies::save_person(tx, &event.read()?).await?,
        UserRoleChanged::KIND => {
            let changed: UserRoleChanged = event.read()?;
            copies::set_role(tx, changed.user_id, changed.role).await?;
        }
        _ => {
            let decided: CompanyApplicationDecided = event.read()?;
            let kind = if decided.approved { &kinds::APPLICATION_APPROVED } else { &kinds::APPLICATION_REJECTED };
            let values = values(json!({ "reason": decided.reason.unwrap_or_default() }));
            tell(tx, on, &[Notice::new(event.event_id, decided.user_id, kind, values)]).await?;
        }
    }
    Ok(())
}

async fn follow_race(tx: &Tx, on: Channels, event: &Envelope) -> Taken {
    match event.kind.as_str() {
        RaceChanged::KIND => copies::save_race(tx, &event.read()?).await?,
        ClaimsDecided::KIND => follow_claims(tx, on, event.read()?).await?,
        RaceMessageSent::KIND => pass_on(tx, on, event.read()?).await?,
        _ => {
            let changed: RegistrationChanged = event.read()?;
            // Of a rehearsal nobody hears: its race is not known here.
            let Some(race) = copies::race_of(tx, changed.offer_id).await? else { return Ok(()) };
            if let Some(kind) = kind_of(&changed, race.cancelled != 0) {
                let notice = Notice::new(event.event_id, changed.user_id, kind, registration_values(&race, &changed));
                tell(tx, on, &[notice]).await?;
            }
        }
    }
    Ok(())
}

/// A whole batch at once: in the opening minute each tells of hundreds.
async fn follow_claims(tx: &Tx, on: Channels, batch: ClaimsDecided) -> Taken {
    let Some(race) = copies::race_of(tx, batch.offer_id).await? else { return Ok(()) };
    copies::follow_holds(tx, RaceId(race.race_id), batch.decided_ms, &batch.claims).await?;
    let new = batch.claims.iter().filter(|claim| claim.was.is_none());
    let notices: Vec<Notice> = new.filter_map(|claim| new_claim(&race, claim)).collect();
    tell(tx, on, &notices).await?;
    Ok(())
}

/// What an organiser wrote, to everybody the event names.
async fn pass_on(tx: &Tx, on: Channels, sent: RaceMessageSent) -> Result<(), DbError> {
    let values = values(json!({
        "race": sent.race_title, "race_id": sent.race_id, "subject": sent.title, "message": sent.body,
    }));
    let to = |user: UserId| Notice::new(sent.message_id.0, user, &kinds::ORGANISER_MESSAGE, values.clone());
    let notices: Vec<Notice> = sent.recipients.into_iter().map(to).collect();
    tell(tx, on, &notices).await
}

fn new_claim(race: &RaceCopy, claim: &DecidedClaim) -> Option<Notice> {
    let kind = match claim.state.as_str() {
        "held" => &kinds::PLACE_HELD,
        "waitlisted" => &kinds::WAITLISTED,
        _ => return None,
    };
    let values = values(json!({
        "race": race.title, "race_id": race.race_id, "registration_id": claim.claim_id, "until": claim.hold_until_ms,
    }));
    Some(Notice::new(claim.claim_id.0, claim.user_id, kind, values))
}

/// What a move of a registration tells its owner; payments tell of payments.
fn kind_of(changed: &RegistrationChanged, race_cancelled: bool) -> Option<&'static Kind> {
    let was_waiting = changed.was == "waitlisted";
    match (changed.state.as_str(), changed.ended_by.as_deref()) {
        ("held", _) if was_waiting => Some(&kinds::GRANTED),
        ("confirmed", _) => Some(&kinds::CONFIRMED),
        ("expired", _) if was_waiting => Some(&kinds::LINE_CLOSED),
        ("expired", _) => Some(&kinds::EXPIRED),
        ("cancelled", Some("released")) => Some(&kinds::CANCELLED),
        ("cancelled", _) if race_cancelled => Some(&kinds::RACE_CANCELLED),
        ("cancelled", _) => Some(&kinds::CANCELLED_BY_ORGANISER),
        ("failed", _) => Some(&kinds::FAILED),
        _ => None,
    }
}

fn registration_values(race: &RaceCopy, changed: &RegistrationChanged) -> Values {
    values(json!({
        "race": race.title, "race_id": race.race_id, "registration_id": changed.registration_id,
        "course": changed.course, "bib": changed.bib, "until": changed.hold_until_ms,
    }))
}

async fn follow_payment(tx: &Tx, on: Channels, event: &Envelope) -> Taken {
    // Both have the same shape.
    let payment: Payment = event.read::<PaymentCaptured>()?.payment;
    if !copies::knows(tx, payment.payer).await? {
        return Ok(());
    }
    let (kind, amount) = match event.kind.as_str() {
        PaymentCaptured::KIND => (&kinds::PAID, payment.amount_won),
        _ => (&kinds::REFUNDED, payment.refunded_won),
    };
    let values = values(json!({ "race": payment.title, "amount": amount, "registration_id": payment.subject.id() }));
    tell(tx, on, &[Notice::new(event.event_id, payment.payer, kind, values)]).await?;
    Ok(())
}

async fn alarm(tx: &Tx, on: Channels, event: &Envelope) -> Taken {
    let stuck: SagaStuck = event.read()?;
    let values = values(json!({
        "part": stuck.part, "saga": stuck.name, "saga_id": stuck.saga_id, "step": stuck.step, "reason": stuck.reason,
    }));
    let to = |admin: UserId| Notice::new(event.event_id, admin, &kinds::SAGA_STUCK, values.clone());
    let notices: Vec<Notice> = copies::admins(tx).await?.into_iter().map(to).collect();
    tell(tx, on, &notices).await?;
    if on.operators {
        let now_ms = tx.now_ms().await?;
        deliveries::queue_for_operators(tx, event.event_id, kinds::SAGA_STUCK.code, &values, now_ms).await?;
    }
    Ok(())
}

/// The members of an object; those that are null have no value.
pub fn values(object: Value) -> Values {
    match object {
        Value::Object(members) => members.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Values::new(),
    }
}

/// What the end of a hold tells of: the registration, once.
pub fn hold_ending(hold: &copies::EndingHold) -> Notice {
    let values = values(json!({
        "race": hold.title, "race_id": hold.race_id, "registration_id": hold.registration_id, "until": hold.until_ms,
    }));
    let registration: Uuid = hold.registration_id;
    Notice::new(registration, UserId(hold.user_id), &kinds::HOLD_ENDING, values)
}
