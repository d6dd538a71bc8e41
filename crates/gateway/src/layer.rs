//! The layer itself. Put it inside the edge, which writes its problems, and outside everything else.

use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request};
use axum::response::{IntoResponse, Response};
use futures::future::Either;
use platform::http::{ClientAddress, Problem, codes};
use tower::{Layer, Service};

use crate::Gateway;
use crate::address::origin;
use crate::identity::strip_identity_headers;
use crate::limits::Class;

/// The gateway as a layer of a router.
pub fn layer(gateway: Arc<Gateway>) -> GatewayLayer {
    GatewayLayer(gateway)
}

#[derive(Clone)]
pub struct GatewayLayer(Arc<Gateway>);

impl<S> Layer<S> for GatewayLayer {
    type Service = GatewayService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GatewayService { gateway: self.0.clone(), inner }
    }
}

#[derive(Clone)]
pub struct GatewayService<S> {
    gateway: Arc<Gateway>,
    inner: S,
}

// Why by hand and not by `from_fn`: nothing here waits, so that no future need be boxed.
impl<S: Service<Request, Response = Response>> Service<Request> for GatewayService<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        match self.gateway.admit(&mut request) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(problem) => Either::Right(ready(Ok(problem.into_response()))),
        }
    }
}

impl Gateway {
    /// Leaves on the request who calls and from where; `Err` where he calls too often.
    fn admit(&self, request: &mut Request) -> Result<(), Problem> {
        strip_identity_headers(request.headers_mut());
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
        let origin = origin(peer, request.headers(), &self.trusted_proxies);
        let presented = self.identify(request.headers());
        let class = Class::of(request.method(), request.uri().path());
        self.limits.count(class, presented.user, origin).map_err(|wait| too_often(class, wait))?;
        request.extensions_mut().insert(ClientAddress(origin.address));
        request.extensions_mut().insert(presented.identity);
        Ok(())
    }
}

fn too_often(class: Class, wait: Duration) -> Problem {
    let class = match class {
        Class::Claim => "claim",
        Class::SignIn => "sign-in",
        Class::General => "general",
    };
    metrics::counter!("madang_gateway_rate_limited_total", "class" => class).increment(1);
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX / 2);
    Problem::new(&codes::RATE_LIMITED).retry_after_ms(wait_ms.max(1))
}
