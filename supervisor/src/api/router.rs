//! The router of one door, made from the table of routes.
//! Not here: connections (`serve`), the table (`routes`), what the rules are (`access`).

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;

use super::access::{Door, Needs};
use super::problem::{Problem, fill_in};
use super::routes;
use super::site::Site;

/// Everything, as it is seen through one door.
pub(super) fn router(door: &Door, site: &Site) -> Router {
    let mut router = Router::new();
    for route in routes::all() {
        router = router.route(route.path, guarded(route.serve(site), door, route.needs));
    }
    router
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing here; see / for all that there is"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path has other methods; see Allow")
        })
        .layer(from_fn_with_state(door.clone(), admit))
        .layer(from_fn(finish))
}

/// For those who may ask nothing at all.
pub(super) fn forbidden() -> Router {
    Router::new()
        .fallback(async || Problem::new(StatusCode::FORBIDDEN, "this socket is its owner's, and root's"))
        .layer(from_fn(finish))
}

/// Only methods that the route has are guarded; for others there is nothing to guard, and they are answered 405.
fn guarded(handler: MethodRouter, door: &Door, needs: Needs) -> MethodRouter {
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
        Err(refused) => refused.into_response(),
    }
}

/// What every answer says: errors about what was asked, and to a browser: do not guess, keep, frame or run anything.
async fn finish(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    fill_in(&mut response, &path);
    harden(response.headers_mut());
    response
}

pub(super) fn harden(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'");
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
}
