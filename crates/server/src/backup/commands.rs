//! What a running yard is told by its socket: make a backup; you were restored.
//!
//! Why not behind the edge: a large yard takes longer to copy than any request may.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, ensure};
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use platform::admission::Admission;
use platform::db::{Db, cut};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::restore::{begin_marked, mark};
use super::{Made, back_up};

/// The yard as these commands need it.
pub(crate) struct State {
    pub data_dir: PathBuf,
    /// Every file of the directory, the sandbox's too.
    pub files: Vec<Db>,
    pub offers: Vec<Admission>,
}

pub(crate) fn routes(state: State) -> Router {
    Router::new().route("/backup", post(make_backup)).route("/restored", post(was_restored)).with_state(Arc::new(state))
}

#[derive(Deserialize)]
struct Order {
    /// An absolute path.
    to: PathBuf,
}

async fn make_backup(Shared(state): Shared<Arc<State>>, Json(order): Json<Order>) -> Response {
    answer(run(&state, order).await)
}

async fn run(state: &State, order: Order) -> Result<Made> {
    ensure!(order.to.is_absolute(), "{} is no absolute path", order.to.display());
    let made = back_up(&state.data_dir, &order.to, async { Ok(cut(&state.files).await?) }).await?;
    tracing::info!(backup = %made.backup.display(), held_ms = made.held_ms, "backed up");
    Ok(made)
}

async fn was_restored(Shared(state): Shared<Arc<State>>) -> Response {
    let begun = async {
        mark(&state.offers).await?;
        begin_marked(&state.offers).await
    };
    answer(begun.await.map(|logs| json!({ "logs": logs })))
}

/// What went wrong is told as it is: whoever may open the socket owns the yard.
fn answer(outcome: Result<impl Serialize>) -> Response {
    match outcome {
        Ok(body) => Json(body).into_response(),
        Err(error) => {
            let body = Json(json!({ "title": format!("{error:#}") }));
            (StatusCode::INTERNAL_SERVER_ERROR, body).into_response()
        }
    }
}
