//! The one event of a batch: `claims.decided`.

use admission::{ClaimState, Decided};
use kernel::contracts::admission::{ClaimsDecided, DecidedClaim};
use kernel::{ClaimId, OfferId, UserId};
use uuid::Uuid;

use super::rows::RowSet;

/// The batch's outbox row, written in its transaction.
pub(super) fn outbox_row(offer: Uuid, decided_ms: i64, changed: &[Decided]) -> RowSet {
    let claim = |decided: &Decided| DecidedClaim {
        claim_id: ClaimId(decided.claim.id),
        user_id: UserId(decided.claim.user_id),
        seq: decided.claim.seq,
        state: decided.claim.state.as_str().to_owned(),
        was: decided.was.map(ClaimState::as_str).map(str::to_owned),
        hold_until_ms: decided.claim.hold_until_ms.filter(|_| decided.claim.state == ClaimState::Held),
    };
    let event = ClaimsDecided { offer_id: OfferId(offer), decided_ms, claims: changed.iter().map(claim).collect() };
    crate::events::event_rows(&[event], decided_ms)
}
