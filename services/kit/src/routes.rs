//! What a service answers with: its public routes, its private ones, and what it adds to `/health`.
//! Not here: the sockets behind them.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
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

/// What lets nobody of another machine into the private socket, though it was bound to all addresses.
pub(crate) async fn only_this_machine(request: Request, next: Next) -> Response {
    match request.extensions().get::<Peer>() {
        Some(Peer(Some(ip))) if !ip.to_canonical().is_loopback() => {
            Problem::new(StatusCode::FORBIDDEN, "this port is for programs of this machine").into_response()
        }
        Some(Peer(_)) | None => next.run(request).await,
    }
}
