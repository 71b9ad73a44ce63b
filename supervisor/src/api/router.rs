//! Which path leads where, and what it needs.
//! Not here: connections (`serve`), what the rules are (`access`).

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use tokio::sync::mpsc;

use super::access::{Door, Needs};
use super::cache::Cache;
use super::problem::Problem;
use super::{act, logs, read};
use crate::config::OpenGroup;
use crate::control::Ask;

/// Everything, as it is seen through one door.
pub(crate) fn router(door: &Door, cache: &Arc<Cache>, asks: &mpsc::Sender<Ask>) -> Router {
    let health = Needs::Group(OpenGroup::Health);
    let status = Needs::Group(OpenGroup::Status);
    let reads: [(&str, Needs, MethodRouter<Arc<Cache>>); 9] = [
        ("/livez", health, get(read::livez)),
        ("/health", health, get(read::health)),
        ("/healthz", health, get(read::health)),
        ("/readyz", health, get(read::health)),
        ("/status", status, get(read::short)),
        ("/api/v1/status", status, get(read::status)),
        ("/api/v1/services", status, get(read::services)),
        ("/api/v1/services/{name}", status, get(read::service)),
        ("/api/v1/services/{name}/logs", Needs::Token, get(logs::tail)),
    ];
    let acts: [(&str, MethodRouter<mpsc::Sender<Ask>>); 7] = [
        ("/api/v1/start", post(act::start_all)),
        ("/api/v1/stop", post(act::stop_all)),
        ("/api/v1/restart", post(act::restart_all)),
        ("/api/v1/services/{name}/start", post(act::start)),
        ("/api/v1/services/{name}/stop", post(act::stop)),
        ("/api/v1/services/{name}/restart", post(act::restart)),
        ("/api/v1/services/{name}/signal", post(act::signal)),
    ];
    let mut router = Router::new();
    for (path, needs, handler) in reads {
        router = router.route(path, guarded(handler, door, needs).with_state(Arc::clone(cache)));
    }
    for (path, handler) in acts {
        router = router.route(path, guarded(handler, door, Needs::Token).with_state(asks.clone()));
    }
    router
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing here; the API is under /api/v1"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path has other methods; see Allow")
        })
        .layer(from_fn_with_state(door.clone(), admit))
        .layer(map_response(harden))
}

/// For those who may ask nothing at all.
pub(crate) fn forbidden() -> Router {
    Router::new()
        .fallback(async || Problem::new(StatusCode::FORBIDDEN, "this socket is its owner's, and root's"))
        .layer(map_response(harden))
}

/// Only methods that the route has are guarded; for others there is nothing to guard, and they are answered 405.
fn guarded<S: Clone + Send + Sync + 'static>(handler: MethodRouter<S>, door: &Door, needs: Needs) -> MethodRouter<S> {
    handler.route_layer(from_fn_with_state((door.clone(), needs), authorise))
}

async fn admit(State(door): State<Door>, request: Request, next: Next) -> Response {
    // Two ways to say how long a body is are one too many: whoever relays the request may believe the other one.
    if request.headers().contains_key(header::TRANSFER_ENCODING) {
        return Problem::new(StatusCode::LENGTH_REQUIRED, "a body comes with its Content-Length").into_response();
    }
    match door.admit(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

async fn authorise(State((door, needs)): State<(Door, Needs)>, request: Request, next: Next) -> Response {
    match door.authorise(needs, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// What every answer says to a browser: do not guess, keep, frame or run anything.
async fn harden(mut response: Response) -> Response {
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'");
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}
