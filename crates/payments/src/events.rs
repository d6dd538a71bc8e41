//! What payments publish. They consume nothing: their subjects' parts ask.

use kernel::UserId;
use kernel::contracts::payments::{PaymentCaptured, PaymentDeclined, PaymentRefunded, PaymentUnknown};
use platform::db::{DbError, Tx};
use platform::events::publish;

use crate::model::Intent;

pub async fn captured(tx: &Tx, intent: &Intent) -> Result<(), DbError> {
    publish(tx, &PaymentCaptured { payment: intent.told() }, payer(intent)).await
}

pub async fn declined(tx: &Tx, intent: &Intent) -> Result<(), DbError> {
    publish(tx, &PaymentDeclined { payment: intent.told() }, payer(intent)).await
}

pub async fn unknown(tx: &Tx, intent: &Intent) -> Result<(), DbError> {
    publish(tx, &PaymentUnknown { payment: intent.told() }, payer(intent)).await
}

/// Nobody's hand: a part of the yard asked for it.
pub async fn refunded(tx: &Tx, intent: &Intent) -> Result<(), DbError> {
    publish(tx, &PaymentRefunded { payment: intent.told() }, None).await
}

fn payer(intent: &Intent) -> Option<UserId> {
    Some(intent.payer)
}
