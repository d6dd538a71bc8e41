//! The newest payment of each of many subjects, in one question.

use std::sync::Arc;

use kernel::contracts::payments::{Payment, PaymentsOf};
use platform::http::Result;

use crate::model::Intent;
use crate::{App, store};

pub async fn of(app: Arc<App>, asked: PaymentsOf) -> Result<Vec<Payment>> {
    let found = store::newest(&app.db, store::list_of_ids(&app.db), &asked.subjects).await?;
    Ok(found.iter().map(Intent::told).collect())
}
