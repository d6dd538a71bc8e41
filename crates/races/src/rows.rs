//! The registration row of a new claim, written in the claim's transaction.

use platform::admission::core::{Claim, Decided};
use platform::admission::{Column, Mode, RowSet, Rows};
use uuid::Uuid;

/// A claim's tag is its race's id; all else a registration shows is the claim's own.
pub struct RegistrationRows;

impl Rows for RegistrationRows {
    fn rows(&self, decided: &[Decided]) -> Vec<RowSet> {
        let new: Vec<&Claim> = decided.iter().filter(|one| one.was.is_none()).map(|one| &*one.claim).collect();
        if new.is_empty() {
            return Vec::new();
        }
        let columns = vec![
            ("id", Column::Uuid(new.iter().map(|claim| Some(claim.id)).collect())),
            ("race_id", Column::Uuid(new.iter().map(|claim| Uuid::try_parse(&claim.tag).ok()).collect())),
            ("user_id", Column::Uuid(new.iter().map(|claim| Some(claim.user_id)).collect())),
            ("created_ms", Column::Int(new.iter().map(|claim| Some(claim.received_ms)).collect())),
        ];
        vec![RowSet { table: "registration", columns, mode: Mode::Insert }]
    }
}
