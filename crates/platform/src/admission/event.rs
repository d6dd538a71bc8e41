//! The one event of a batch: `claims.decided`.

use admission::{ClaimState, Decided};
use kernel::contracts::Event;
use kernel::contracts::admission::{ClaimsDecided, DecidedClaim};
use kernel::{ClaimId, OfferId, UserId};
use uuid::Uuid;

use super::rows::{Column, Mode, RowSet};

/// The batch's outbox row, written in its transaction.
pub(super) fn outbox_row(offer: Uuid, decided_ms: i64, changed: &[Decided]) -> RowSet {
    let claim = |decided: &Decided| DecidedClaim {
        claim_id: ClaimId(decided.claim.id),
        user_id: UserId(decided.claim.user_id),
        seq: decided.claim.seq,
        state: decided.claim.state.as_str().to_owned(),
        was: decided.was.map(ClaimState::as_str).map(str::to_owned),
    };
    let event = ClaimsDecided { offer_id: OfferId(offer), decided_ms, claims: changed.iter().map(claim).collect() };
    let text = |value: &str| Column::Text(vec![Some(value.to_owned())]);
    RowSet {
        table: "outbox",
        columns: vec![
            ("event_id", Column::Uuid(vec![Some(Uuid::now_v7())])),
            ("kind", text(ClaimsDecided::KIND)),
            ("version", Column::Int(vec![Some(i64::from(ClaimsDecided::VERSION))])),
            ("key", text(&event.key())),
            ("payload", Column::Text(vec![serde_json::to_string(&event).ok()])),
            ("created_ms", Column::Int(vec![Some(decided_ms)])),
        ],
        mode: Mode::Insert,
    }
}
