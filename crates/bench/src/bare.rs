//! The least that a signed-in request costs: routed, its token checked, its body parsed and validated, an answer
//! written; no database. It takes what a registration takes and refuses what a registration refuses.

use axum::routing::post;
use axum::{Json, Router};
use garde::Validate;
use platform::http::auth::Claimant;
use platform::http::{Body, IdPath};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The product's router is to have this route in the same place as its own.
pub fn routes() -> Router {
    Router::new().route("/api/v1/races/{id}/bare", post(bare))
}

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct Want {
    #[garde(inner(length(min = 1, max = 16)))]
    course: Option<String>,
    #[garde(dive)]
    souvenir: Option<Souvenir>,
}

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct Souvenir {
    #[garde(skip)]
    id: Uuid,
    #[garde(length(min = 1, max = 32))]
    size: String,
}

#[derive(Serialize)]
struct Echo {
    user_id: Uuid,
    race_id: Uuid,
    course: Option<String>,
    souvenir_id: Option<Uuid>,
    size: Option<String>,
}

async fn bare(Claimant(caller): Claimant, IdPath(race_id): IdPath, Body { value, .. }: Body<Want>) -> Json<Echo> {
    let (souvenir_id, size) = value.souvenir.map(|souvenir| (souvenir.id, souvenir.size)).unzip();
    Json(Echo { user_id: caller.user.0, race_id, course: value.course, souvenir_id, size })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Extension;
    use axum::http::{Request, StatusCode};
    use platform::http::Caller;
    use platform::http::auth::Identity;
    use tower::ServiceExt;

    use super::*;

    async fn status(identity: Identity, path: &str, body: &str) -> StatusCode {
        let request = Request::post(path).header("content-type", "application/json").body(body.to_owned());
        let answer = routes().layer(Extension(identity)).oneshot(request.expect("a request")).await;
        answer.expect("an answer").status()
    }

    #[tokio::test]
    async fn it_asks_what_a_registration_asks() {
        let known = || {
            Identity::Known(Arc::new(Caller {
                user: kernel::UserId(Uuid::now_v7()),
                username: "runner".into(),
                role: kernel::Role::Member,
                session: kernel::SessionId(Uuid::now_v7()),
                rehearsal: Some(kernel::RaceId(Uuid::now_v7())),
            }))
        };
        let path = format!("/api/v1/races/{}/bare", Uuid::now_v7());
        assert_eq!(status(known(), &path, "{}").await, StatusCode::OK);
        assert_eq!(status(Identity::Anonymous, &path, "{}").await, StatusCode::UNAUTHORIZED);
        assert_eq!(status(known(), "/api/v1/races/7/bare", "{}").await, StatusCode::NOT_FOUND);
        for body in [r#"{"course":""}"#, r#"{"other":1}"#, r#"{"course":7}"#] {
            assert_eq!(status(known(), &path, body).await, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        }
    }
}
