//! What `/metrics` shows of registrations: which steps they finish, which are refused, and how long people take.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;

use crate::store::registrations::Registration;

/// Says what the series are; a yard does so when it has its recorder.
pub fn describe() {
    metrics::describe_counter!(
        "madang_registration_steps_total",
        "Steps of registrations, by how they ended: done for the first time, refused, failed"
    );
    metrics::describe_histogram!(
        "madang_registration_step_seconds",
        "Time from the step before, or from the place, until a step was done for the first time"
    );
}

impl Registration {
    /// Counts a step that is done for the first time: `terms`, `souvenir`, `address`, `payment` (opened), `confirmed`.
    pub fn count_step(&self, step: &'static str, now_ms: i64) {
        metrics::counter!("madang_registration_steps_total", "step" => step, "outcome" => "done").increment(1);
        let since_ms = self.progress.newest_ms.unwrap_or(self.decided_ms);
        // Another process wrote it, whose clock may be ahead.
        let took_s = (now_ms - since_ms).max(0) as f64 / 1e3;
        metrics::histogram!("madang_registration_step_seconds", "step" => step).record(took_s);
    }
}

/// Counts the requests for a step that came to nothing. The step is the end of the route's pattern.
pub async fn count_refusals(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let answer = next.run(request).await;
    let outcome = match answer.status().as_u16() {
        400..500 => "refused",
        500.. => "failed",
        _ => return answer,
    };
    if let Some(step) = path.as_ref().and_then(|path| path.as_str().rsplit('/').next()) {
        let step = step.to_owned();
        metrics::counter!("madang_registration_steps_total", "step" => step, "outcome" => outcome).increment(1);
    }
    answer
}
