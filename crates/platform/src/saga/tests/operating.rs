use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, header};
use http_body_util::BodyExt;
use kernel::{Role, SessionId, UserId};
use tower::ServiceExt;

use super::*;
use crate::http::auth::Identity;
use crate::http::{Caller, edge};
use crate::saga::{admin_routes, command_routes};

async fn ask(routes: &Router, role: Option<Role>, method: Method, path: &str, body: Value) -> (u16, Value) {
    let mut request = Request::new(Body::from(body.to_string()));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().expect("a path");
    request.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if let Some(role) = role {
        let (user, session) = (UserId::fresh(), SessionId::fresh());
        let caller = Caller { user, username: "boss".into(), role, session, rehearsal: None };
        request.extensions_mut().insert(Identity::Known(Arc::new(caller)));
    }
    let response = routes.clone().layer(axum::middleware::from_fn(edge)).oneshot(request).await.expect("an answer");
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

fn api(sagas: &Sagas) -> Router {
    admin_routes("races", sagas).split_for_parts().0
}

const BASE: &str = "/api/v1/admin/sagas/races";

#[tokio::test]
async fn a_stuck_undo_is_seen_and_retried() {
    for bed in Bed::all().await {
        let sagas = bed.usual();
        let id = Uuid::now_v7();
        bed.world.fates(id, "payment", &[Fate::Refused]);
        bed.world.fates(id, "undo place", &[Fate::Unknown, Fate::Unknown, Fate::Unknown]);
        let _process = Process::of(&sagas);
        assert!(start_as(&bed.db, &sagas, id).await);
        ends(&sagas, id, State::Stuck).await;
        let api = api(&sagas);
        let (status, list) = ask(&api, Some(Role::Admin), Method::GET, &format!("{BASE}?state=stuck"), json!({})).await;
        assert_eq!((status, list["items"][0]["id"].as_str()), (200, Some(id.to_string().as_str())), "{list}");
        let (_, none) = ask(&api, Some(Role::Admin), Method::GET, &format!("{BASE}?name=else"), json!({})).await;
        assert_eq!(none["items"], json!([]));
        let retry = format!("{BASE}/{id}/retry");
        let why = json!({ "reason": "the provider is back" });
        let (status, saga) = ask(&api, Some(Role::Admin), Method::POST, &retry, why.clone()).await;
        assert_eq!((status, saga["state"].as_str()), (200, Some("undoing")), "{saga}");
        ends(&sagas, id, State::Compensated).await;
        let (status, problem) = ask(&api, Some(Role::Admin), Method::POST, &retry, why).await;
        assert_eq!((status, problem["code"].as_str()), (409, Some("saga/state")));
        let (_, saga) = ask(&api, Some(Role::Admin), Method::GET, &format!("{BASE}/{id}"), json!({})).await;
        let retried = saga["log"].as_array().into_iter().flatten().find(|line| line["event"] == "retried");
        assert_eq!(retried.map(|line| line["detail"].clone()), Some(json!("the provider is back")));
        let audit = "SELECT action, reason FROM audit WHERE subject = $1";
        let audit = bed.db.all::<(String, String)>(audit, args![id.to_string()]).await.expect("an audit log");
        assert_eq!(audit, [("saga.retry".to_owned(), "the provider is back".to_owned())]);
    }
}

#[tokio::test]
async fn an_order_undoes_a_waiting_saga_and_no_completed_one() {
    for bed in Bed::all().await {
        let sagas = bed.usual();
        let id = Uuid::now_v7();
        bed.world.fates(id, "payment", &[Fate::Unknown; 1]);
        assert!(start_as(&bed.db, &sagas, id).await);
        sagas.run_now(id).await.expect("an answer");
        let commands = command_routes("races", &sagas);
        let why = json!({ "reason": "asked for" });
        let undo = format!("/races/sagas/{id}/undo");
        let (status, saga) = ask(&commands, None, Method::POST, &undo, why.clone()).await;
        assert_eq!((status, saga["state"].as_str(), saga["step"].as_str()), (200, Some("undoing"), Some("payment")));
        let saga = sagas.run_now(id).await.expect("an answer").expect("a saga");
        assert_eq!(saga.state(), Some(State::Compensated));
        assert_eq!(bed.world.calls(id), ["place", "payment", "undo payment", "undo place"], "the one in doubt first");
        let completed = bed.start(&sagas).await;
        sagas.run_now(completed).await.expect("an answer");
        let undo = format!("/races/sagas/{completed}/undo");
        let (status, problem) = ask(&commands, None, Method::POST, &undo, why.clone()).await;
        assert_eq!((status, problem["state"].as_str()), (409, Some("completed")), "{problem}");
        let nobody = format!("/races/sagas/{}/undo", Uuid::now_v7());
        assert_eq!(ask(&commands, None, Method::POST, &nobody, why).await.0, 404);
        let (status, list) = ask(&commands, None, Method::GET, "/races/sagas?limit=1", json!(null)).await;
        assert_eq!((status, list["items"].as_array().map(Vec::len)), (200, Some(1)));
        let next = format!("/races/sagas?limit=1&cursor={}", list["next_cursor"].as_str().expect("more"));
        let (_, rest) = ask(&commands, None, Method::GET, &next, json!(null)).await;
        assert_eq!(
            (rest["items"][0]["id"].as_str(), &rest["next_cursor"]),
            (Some(id.to_string().as_str()), &Value::Null)
        );
    }
}

#[tokio::test]
async fn an_order_waits_for_who_is_at_work() {
    for bed in Bed::all().await {
        let sagas = bed.usual();
        let id = Uuid::now_v7();
        bed.world.fates(id, "place", &[Fate::Hangs]);
        let _process = Process::of(&sagas);
        assert!(start_as(&bed.db, &sagas, id).await);
        until("it is at work", async || !bed.world.calls(id).is_empty()).await;
        let undo = format!("/races/sagas/{id}/undo");
        let why = json!({ "reason": "asked for" });
        let (status, problem) = ask(&command_routes("races", &sagas), None, Method::POST, &undo, why).await;
        assert_eq!((status, problem["code"].as_str()), (409, Some("saga/busy")));
        bed.world.open_gate();
        ends(&sagas, id, State::Completed).await;
    }
}

#[tokio::test]
async fn only_admins_pass() {
    let bed = Bed::open(None).await;
    let api = api(&bed.usual());
    let id = Uuid::now_v7();
    let paths = [
        (Method::GET, BASE.to_owned()),
        (Method::GET, format!("{BASE}/{id}")),
        (Method::POST, format!("{BASE}/{id}/retry")),
        (Method::POST, format!("{BASE}/{id}/undo")),
    ];
    for (method, path) in paths {
        for (role, expected) in [(None, 401), (Some(Role::Member), 403), (Some(Role::Manager), 403)] {
            let (status, _) = ask(&api, role, method.clone(), &path, json!({ "reason": "why" })).await;
            assert_eq!(status, expected, "{method} {path} as {role:?}");
        }
    }
}

#[tokio::test]
async fn each_context_documents_its_own_operations() {
    let bed = Bed::open(None).await;
    let sagas = bed.usual();
    let (_, document) = admin_routes("races", &sagas).merge(admin_routes("shop", &sagas)).split_for_parts();
    let document = serde_json::to_value(&document).expect("a document");
    let paths = document["paths"].as_object().expect("paths");
    assert_eq!(paths.len(), 8, "{paths:?}");
    assert_eq!(paths[BASE]["get"]["operationId"], "races_list_sagas");
    assert_eq!(paths["/api/v1/admin/sagas/shop/{id}/undo"]["post"]["operationId"], "shop_undo_saga");
}
