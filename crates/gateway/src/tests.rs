use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use http_body_util::BodyExt;
use kernel::contracts::identity::{Revoked, RevokedSince};
use kernel::{Role, SessionId, UserId};
use platform::http::auth::{Admin, Member};
use platform::http::{ClientAddress, Problem, codes};
use platform::peers::{Peers, answers};
use platform::token::{Claims, TokenKey};
use serde_json::Value;
use tower::ServiceExt;
use uuid::Uuid;

use super::*;

/// A gateway in front of a few handlers, and what the tests steer it by.
struct Edge {
    app: Router,
    gateway: Arc<Gateway>,
    key: TokenKey,
    clock: Clock,
    revocations: Revocations,
}

fn edge_with(change: impl FnOnce(&mut Deps)) -> Edge {
    let key = TokenKey::from_seed([5; 32]);
    let defaults: toml::Table = DEFAULTS.parse().expect("TOML");
    let clock = Clock::default();
    let revocations = Revocations::default();
    let mut deps = Deps {
        verifier: TokenVerifier::new(key.public()),
        revocations: revocations.clone(),
        clock: clock.clone(),
        trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
        config: defaults["gateway"].clone().try_into().expect("the defaults are right"),
    };
    change(&mut deps);
    let gateway = Gateway::new(deps);
    let headers =
        |headers: HeaderMap| async move { headers.keys().map(ToString::to_string).collect::<Vec<_>>().join(" ") };
    let app = Router::new()
        .route("/public", get(|| async { "anybody" }))
        .route("/me", get(|Member(caller): Member| async move { format!("{} {:?}", caller.username, caller.role) }))
        .route("/admin", get(|Admin(caller): Admin| async move { caller.username.to_string() }))
        .route("/headers", get(headers))
        .route(
            "/address",
            get(|request: Request| async move { format!("{:?}", request.extensions().get::<ClientAddress>()) }),
        )
        .route("/api/v1/races/{id}/registrations", post(|Member(_): Member| async { "clicked" }))
        .layer(layer(gateway.clone()))
        .layer(axum::middleware::from_fn(platform::http::edge));
    Edge { app, gateway, key, clock, revocations }
}

/// The usual one: caught up with the revocations.
fn edge() -> Edge {
    let edge = edge_with(|_| {});
    edge.revocations.note_caught_up(Instant::now(), edge.clock.now_ms());
    edge
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    /// The problem's code.
    fn code(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Edge {
    fn claims(&self) -> Claims {
        let iat_ms = self.clock.now_ms();
        Claims {
            sub: UserId(Uuid::from_u128(1)),
            name: "runner".to_owned(),
            role: Role::Member,
            sid: SessionId(Uuid::from_u128(2)),
            iat_ms,
            exp: iat_ms / 1_000 + 900,
            reh: None,
        }
    }

    fn token(&self) -> String {
        self.key.sign(&self.claims())
    }

    async fn send(&self, request: Request) -> Answer {
        let response = self.app.clone().oneshot(request).await.expect("a router always answers");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("read the body").to_bytes();
        let body = String::from_utf8(body.to_vec()).expect("text");
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(request("GET", path, headers)).await
    }

    async fn get_as(&self, path: &str, token: &str) -> Answer {
        self.get(path, &[("authorization", &format!("Bearer {token}"))]).await
    }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
    let mut builder = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Body::empty()).expect("a request")
}

fn from_peer(mut request: Request, peer: &str) -> Request {
    let peer = SocketAddr::new(peer.parse().expect("an address"), 4711);
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

#[tokio::test]
async fn a_good_token_makes_its_caller() {
    let edge = edge();
    let answer = edge.get_as("/me", &edge.token()).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "runner Member"));
    let answer = edge.get("/me", &[("authorization", &format!("bEaReR  {}", edge.token()))]).await;
    assert_eq!(answer.status, StatusCode::OK, "the scheme's case does not matter");
    let answer = edge.get_as("/admin", &edge.token()).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, "auth/role"));
}

#[tokio::test]
async fn without_a_token_only_public_routes_answer() {
    let edge = edge();
    assert_eq!(edge.get("/public", &[]).await.body, "anybody");
    let answer = edge.get("/me", &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::UNAUTHORIZED, "auth/required"));
}

#[tokio::test]
async fn identity_headers_are_taken_away() {
    let edge = edge();
    let forged = [
        ("X-User-Id", "00000000-0000-0000-0000-000000000001"),
        ("x-user-name", "admin"),
        ("X-USER-ROLE", "admin"),
        ("x-user-role", "manager"),
        ("X-User-Anything", "1"),
        ("X_User_Id", "1"),
        ("X-Madang-Assertion", "1"),
        ("x-request-id", "kept-because-it-is-plain"),
        ("x-userland", "kept"),
        ("accept", "*/*"),
    ];
    let answer = edge.get("/headers", &forged).await;
    assert_eq!(answer.status, StatusCode::OK);
    let mut names: Vec<&str> = answer.body.split(' ').collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "x-request-id", "x-userland"]);
    for path in ["/me", "/admin"] {
        let answer = edge.get(path, &forged).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::UNAUTHORIZED, "auth/required"));
    }
}

#[tokio::test]
async fn what_is_not_our_token_is_invalid_and_public_routes_still_answer() {
    let edge = edge();
    let foreign = TokenKey::from_seed([6; 32]).sign(&edge.claims());
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", edge.token().split('.').nth(1).expect("a payload"));
    let values = [
        format!("Bearer {foreign}"),
        format!("Bearer {unsigned}"),
        edge.token(),
        format!("Basic {}", edge.token()),
        "Bearer ".to_owned(),
        String::new(),
    ];
    for value in values {
        let headers = [("authorization", value.as_str())];
        let answer = edge.get("/me", &headers).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::UNAUTHORIZED, "auth/invalid"), "{value:?}");
        assert_eq!(edge.get("/public", &headers).await.status, StatusCode::OK, "{value:?}");
    }
    let good = format!("Bearer {}", edge.token());
    let answer = edge.get("/me", &[("authorization", &good), ("authorization", &good)]).await;
    assert_eq!(answer.code(), "auth/invalid", "two headers: which one counts is nobody's guess");
}

#[tokio::test]
async fn an_expired_token_says_so() {
    let edge = edge();
    let token = edge.token();
    assert_eq!(edge.get_as("/me", &token).await.status, StatusCode::OK);
    edge.clock.shift_ms(15 * 60_000);
    let answer = edge.get_as("/me", &token).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::UNAUTHORIZED, "auth/expired"));
    assert_eq!(edge.get_as("/me", &edge.token()).await.status, StatusCode::OK, "the next one is good");
}

#[tokio::test]
async fn a_revoked_token_says_so() {
    let edge = edge();
    let token = edge.token();
    assert_eq!(edge.get_as("/me", &token).await.status, StatusCode::OK);
    let at_ms = edge.clock.now_ms();
    edge.revocations.apply(&[Revoked { session_id: Some(edge.claims().sid), user_id: None, at_ms }]);
    let answer = edge.get_as("/me", &token).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::UNAUTHORIZED, "auth/revoked"));
    assert_eq!(edge.get_as("/public", &token).await.status, StatusCode::OK);
}

/// Answers `RevokedSince` with what the tests put in, and remembers what was asked.
#[derive(Clone, Default)]
struct Identity {
    revoked: Arc<std::sync::Mutex<Vec<Revoked>>>,
    asked: Arc<std::sync::Mutex<Vec<i64>>>,
    away: Arc<std::sync::atomic::AtomicBool>,
}

fn peers_with(identity: &Identity) -> Peers {
    let answer = |identity: Identity, request: RevokedSince| async move {
        if identity.away.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Problem::new(&codes::UNAVAILABLE));
        }
        identity.asked.lock().expect("the lock").push(request.since_ms);
        Ok(identity.revoked.lock().expect("the lock").clone())
    };
    let peers = Peers::default();
    peers.connect(answers::<RevokedSince, _, _, _>(Router::new(), answer).with_state(identity.clone()));
    peers
}

#[tokio::test]
async fn who_has_not_caught_up_refuses_and_never_allows() {
    let edge = edge_with(|_| {});
    let identity = Identity::default();
    let peers = peers_with(&identity);
    let answer = edge.get_as("/me", &edge.token()).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "auth/unavailable"));
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    assert_eq!(edge.get_as("/public", &edge.token()).await.status, StatusCode::OK);

    identity.away.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(edge.gateway.catch_up(&peers).await.is_err());
    assert_eq!(edge.get_as("/me", &edge.token()).await.code(), "auth/unavailable");

    identity.away.store(false, std::sync::atomic::Ordering::Relaxed);
    edge.gateway.catch_up(&peers).await.expect("catch up");
    assert_eq!(edge.get_as("/me", &edge.token()).await.status, StatusCode::OK);

    let long_ago = Instant::now() - Duration::from_secs(6);
    edge.revocations.note_caught_up(long_ago, edge.clock.now_ms());
    assert_eq!(edge.get_as("/me", &edge.token()).await.code(), "auth/unavailable");
    let at_ms = edge.clock.now_ms();
    edge.revocations.apply(&[Revoked { session_id: Some(edge.claims().sid), user_id: None, at_ms }]);
    assert_eq!(edge.get_as("/me", &edge.token()).await.code(), "auth/revoked", "what is known stays known");
}

#[tokio::test]
async fn catching_up_reads_twenty_minutes_and_then_the_last_one_again() {
    let edge = edge_with(|_| {});
    let identity = Identity::default();
    let peers = peers_with(&identity);
    let token = edge.token();
    let before_ms = edge.clock.now_ms();
    edge.gateway.catch_up(&peers).await.expect("catch up");
    assert_eq!(edge.get_as("/me", &token).await.status, StatusCode::OK);
    *identity.revoked.lock().expect("the lock") =
        vec![Revoked { session_id: None, user_id: Some(edge.claims().sub), at_ms: edge.clock.now_ms() }];
    edge.gateway.catch_up(&peers).await.expect("catch up");
    assert_eq!(edge.get_as("/me", &token).await.code(), "auth/revoked");
    let asked = identity.asked.lock().expect("the lock").clone();
    let after_ms = edge.clock.now_ms();
    let within = |since_ms: i64, back_ms: i64| (before_ms - back_ms..=after_ms - back_ms).contains(&since_ms);
    assert!(within(asked[0], 20 * 60_000), "{asked:?}");
    assert!(within(asked[1], 60_000), "{asked:?}");
}

/// Between two looks at something that is about to happen.
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[tokio::test]
async fn the_running_gateway_notices_a_revocation_by_itself() {
    let edge = edge_with(|_| {});
    let identity = Identity::default();
    let running = tokio::spawn(edge.gateway.clone().run(peers_with(&identity)));
    let deadline = Instant::now() + Duration::from_secs(10);
    let token = edge.token();
    while edge.get_as("/me", &token).await.status != StatusCode::OK {
        assert!(Instant::now() < deadline, "never caught up");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let revoked = Revoked { session_id: Some(edge.claims().sid), user_id: None, at_ms: edge.clock.now_ms() };
    identity.revoked.lock().expect("the lock").push(revoked);
    while edge.get_as("/me", &token).await.code() != "auth/revoked" {
        assert!(Instant::now() < deadline, "never noticed");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    running.abort();
}

#[tokio::test]
async fn clicks_are_limited_by_person_and_say_when_to_return() {
    let edge = edge();
    let authorization = format!("Bearer {}", edge.token());
    let click = || request("POST", "/api/v1/races/1/registrations", &[("authorization", &authorization)]);
    let mut limited = None;
    for clicks in 0.. {
        let answer = edge.send(click()).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            assert!(clicks >= 50, "limited after {clicks}");
            limited = Some(answer);
            break;
        }
        assert_eq!(answer.status, StatusCode::OK);
    }
    let limited = limited.expect("nobody clicks for ever");
    assert_eq!(limited.code(), "gateway/rate-limited");
    assert!(limited.headers.contains_key(header::RETRY_AFTER));
    let other = edge.key.sign(&Claims { sub: UserId(Uuid::from_u128(9)), ..edge.claims() });
    let click = request("POST", "/api/v1/races/1/registrations", &[("authorization", &format!("Bearer {other}"))]);
    assert_eq!(edge.send(click).await.status, StatusCode::OK, "another person is not touched");
}

#[tokio::test]
async fn anonymous_requests_are_limited_by_the_address_that_counts() {
    let edge = edge();
    let from = |client: &str| from_peer(request("GET", "/public", &[("x-forwarded-for", client)]), "10.0.0.1");
    let mut sent = 0;
    while edge.send(from("192.0.2.1")).await.status == StatusCode::OK {
        sent += 1;
        assert!(sent < 100_000, "never limited");
    }
    assert!(sent >= 300, "limited after {sent}");
    assert_eq!(edge.send(from("192.0.2.2")).await.status, StatusCode::OK);
    // A stranger cannot choose the address he is counted by.
    let stranger = |claimed: usize| {
        let claimed = format!("192.0.2.{}", claimed % 250);
        from_peer(request("GET", "/public", &[("x-forwarded-for", &claimed)]), "198.51.100.1")
    };
    let mut sent = 0;
    while edge.send(stranger(sent)).await.status == StatusCode::OK {
        sent += 1;
        assert!(sent < 100_000, "never limited");
    }
    // A token that does not count is no way around.
    let forged = request("GET", "/public", &[("authorization", "Bearer nonsense")]);
    assert_eq!(edge.send(from_peer(forged, "198.51.100.1")).await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn handlers_learn_the_address() {
    let edge = edge();
    let answer =
        edge.send(from_peer(request("GET", "/address", &[("x-forwarded-for", "192.0.2.7")]), "10.0.0.1")).await;
    assert_eq!(answer.body, "Some(ClientAddress(192.0.2.7))");
}
