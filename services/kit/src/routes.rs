//! What a service answers with: its public routes, its private ones, and what it adds to `/health`.
//! Not here: the sockets behind them.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use crate::problem::Problem;

/// All that a service answers with.
pub struct Routes {
    /// On the public socket.
    pub public: Router,
    /// On the private socket, for programs of this machine; see `Service::private_port`.
    pub private: Router,
    /// What `/health` says beyond the kit's own.
    pub vitals: Option<Vitals>,
}

impl From<Router> for Routes {
    fn from(public: Router) -> Self {
        Self { public, private: Router::new(), vitals: None }
    }
}

/// How a service finds out how it is. To be cheap, and to ask nobody beyond this process and its files.
pub type Vitals = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Vital> + Send>> + Send + Sync>;

/// How a service is.
pub struct Vital {
    /// Whether it can serve; without this `/health` is 503.
    pub fitness: Fitness,
    /// Members of the answer.
    pub facts: Map<String, Value>,
}

/// Whether a service can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fitness {
    /// It can.
    Fit,
    /// It cannot, for want of something of its own.
    Unfit,
}

/// Who is at the other end of a connection, as an extension of each request. A proxy, where one is in front; `None`
/// on a unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub Option<IpAddr>);

/// Lets nobody of another machine in, though the private socket was bound to all addresses.
pub(crate) fn for_this_machine(routes: Router) -> Router {
    routes.layer(from_fn(only_this_machine))
}

async fn only_this_machine(request: Request, next: Next) -> Response {
    match request.extensions().get::<Peer>() {
        Some(Peer(ip)) if ip.is_none_or(|ip| ip.to_canonical().is_loopback()) => next.run(request).await,
        Some(Peer(_)) | None => {
            Problem::new(StatusCode::FORBIDDEN, "this port is for programs of this machine").into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn the_private_socket_answers_programs_of_this_machine_alone() {
        let router = for_this_machine(Router::new().route("/", get(|| async {})));
        let status = |peer: Option<Peer>, path: &str| {
            let mut request = Request::get(path).body(Body::empty()).unwrap();
            peer.map(|peer| request.extensions_mut().insert(peer));
            let router = router.clone();
            async move { router.oneshot(request).await.unwrap().status().as_u16() }
        };
        for ip in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(status(Some(Peer(Some(ip.parse().unwrap()))), "/").await, 200, "{ip}");
        }
        assert_eq!(status(Some(Peer(None)), "/").await, 200, "a unix socket");
        for ip in ["192.0.2.1", "10.0.0.1", "0.0.0.0", "::", "::ffff:192.0.2.1", "2001:db8::1", "fe80::1"] {
            for path in ["/", "/nothing"] {
                assert_eq!(status(Some(Peer(Some(ip.parse().unwrap()))), path).await, 403, "{ip}{path}");
            }
        }
        assert_eq!(status(None, "/").await, 403, "nobody knows who asks");
    }
}
