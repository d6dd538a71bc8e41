//! Questions from one context to another: a typed request, one handler, one client.

use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::extract::State;
use axum::handler::Handler;
use axum::http::{Request as HttpRequest, StatusCode, header};
use axum::routing::MethodRouter;
use axum::{Json, Router};
use http_body_util::BodyExt;
use kernel::contracts::Request;
use tower::ServiceExt;

use crate::http::{Problem, codes};

/// The other parts of the yard. Cheap to clone; ready once [`Peers::connect`] was called.
#[derive(Clone, Default)]
pub struct Peers(Arc<OnceLock<Router>>);

impl Peers {
    /// Tells where the roles of this process answer.
    pub fn connect(&self, internal: Router) {
        self.0.set(internal).ok();
    }

    /// Asks; an answer that cannot be had is a 503, never a guess.
    pub async fn call<R: Request>(&self, request: &R) -> Result<R::Answer, Problem> {
        let away = |cause: &str| {
            tracing::error!(path = R::PATH, cause, "another part did not answer");
            Problem::new(&codes::UNAVAILABLE).retry_after_ms(1_000)
        };
        let Some(router) = self.0.get() else { return Err(away("not connected")) };
        let body = serde_json::to_vec(request).unwrap_or_default();
        let request = HttpRequest::post(format!("/internal/{}", R::PATH))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .map_err(|_| away("the request cannot be made"))?;
        let mut response = match router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        if let Some(problem) = response.extensions_mut().remove::<Box<Problem>>() {
            return Err(*problem);
        }
        if response.status() != StatusCode::OK {
            return Err(away("an unexpected status"));
        }
        let bytes = response.into_body().collect().await.map_err(|_| away("the answer broke off"))?.to_bytes();
        serde_json::from_slice(&bytes).map_err(|_| away("the answer cannot be read"))
    }
}

/// Adds the handler of a request to a role's internal router.
pub fn answers<R, S, F, Fut>(router: Router<S>, handler: F) -> Router<S>
where
    R: Request + 'static,
    R::Answer: 'static,
    S: Clone + Send + Sync + 'static,
    F: Fn(S, R) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<R::Answer, Problem>> + Send,
{
    let route = move |State(state): State<S>, Json(request): Json<R>| {
        let handler = handler.clone();
        async move { handler(state, request).await.map(Json) }
    };
    router.route(&format!("/internal/{}", R::PATH), post_of(route))
}

fn post_of<H: Handler<T, S>, T: 'static, S: Clone + Send + Sync + 'static>(handler: H) -> MethodRouter<S> {
    axum::routing::post(handler)
}
