use std::time::Instant;
use kernel::*;
use platform::token::*;
use axum::extract::{Request, ConnectInfo};
use tower::{Service, Layer};
fn main() {
    let key = TokenKey::from_seed([1; 32]);
    let v = TokenVerifier::new(key.public());
    let now_ms = platform::db::Clock::default().now_ms();
    let mk = |i: u128| key.sign(&Claims { sub: UserId(uuid::Uuid::from_u128(i)), name: format!("r{i}"), role: Role::Member, sid: SessionId(uuid::Uuid::from_u128(i)), iat_ms: now_ms, exp: now_ms / 1000 + 900, reh: None });
    let t = Instant::now();
    let tokens: Vec<String> = (0..20_000).map(mk).collect();
    println!("sign {:?} each, {} bytes", t.elapsed() / 20_000, tokens[0].len());
    let t = Instant::now();
    for token in &tokens { v.verify(token, now_ms).unwrap(); }
    println!("cold {:?}", t.elapsed() / 20_000);
    for _ in 0..3 {
    let t = Instant::now();
    for _ in 0..20 { for token in &tokens { v.verify(token, now_ms).unwrap(); } }
    println!("warm {:?}", t.elapsed() / 400_000);
    }
    let rev = platform::revocation::Revocations::default();
    rev.note_caught_up(Instant::now(), now_ms);
    let n = |n| std::num::NonZeroU32::new(n).unwrap();
    let g = gateway::Gateway::new(gateway::Deps { verifier: v, revocations: rev, clock: Default::default(), trusted_proxies: vec![], config: gateway::Config { user_per_s: n(1_000_000), user_burst: n(1_000_000), claims_per_s: n(1_000_000), claims_burst: n(1_000_000), address_per_s: n(1), address_burst: n(1), sign_in_per_s: n(1), sign_in_burst: n(1) } });
    #[derive(Clone)] struct Inner;
    impl Service<Request> for Inner { type Response = axum::response::Response; type Error = std::convert::Infallible; type Future = std::future::Ready<Result<Self::Response, Self::Error>>;
        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> { std::task::Poll::Ready(Ok(())) }
        fn call(&mut self, _r: Request) -> Self::Future { std::future::ready(Ok(axum::response::Response::new(axum::body::Body::empty()))) } }
    let mut s = gateway::layer(g).layer(Inner);
    let peer: std::net::SocketAddr = "127.0.0.1:9".parse().unwrap();
    let reqs = || tokens.iter().map(|t| { let mut r = Request::builder().method("POST").uri("/api/v1/races/0190b2a4-0000-7000-8000-000000000000/registrations").header("authorization", format!("Bearer {t}")).header("content-type", "application/json").header("content-length", "2").header("host", "localhost:8080").body(axum::body::Body::from("{}")).unwrap(); r.extensions_mut().insert(ConnectInfo(peer)); r }).collect::<Vec<_>>();
    for _ in 0..3 {
        let r = reqs();
        let t = Instant::now();
        for r in r { let _ = futures::executor::block_on(s.call(r)); }
        println!("layer {:?}", t.elapsed() / 20_000);
        let r = reqs();
        let mut i = Inner;
        let t = Instant::now();
        for r in r { let _ = futures::executor::block_on(i.call(r)); }
        println!("bare {:?}", t.elapsed() / 20_000);
    }
    println!("{}", std::fs::read_to_string("/proc/self/status").unwrap().lines().find(|l| l.starts_with("VmRSS")).unwrap());
}
