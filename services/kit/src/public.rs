//! Routes for the whole world: documents, and leave for scripts of other origins.
//! Not here: credentials; a route that takes a cookie must never be opened like this.

use axum::Json;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    CACHE_CONTROL,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use serde_json::Value;

/// A JSON document that never changes while the process lives; caches may keep it for five minutes.
pub fn document(value: Value) -> MethodRouter {
    get(move || async move { ([(CACHE_CONTROL, "max-age=300")], Json(value)) })
}

/// Lets scripts of any origin use `routes`, which answer to `methods` (`"GET"`), without credentials.
pub fn open_to_browsers(methods: &'static str, routes: MethodRouter) -> MethodRouter {
    let preflight = (
        StatusCode::NO_CONTENT,
        [
            (ACCESS_CONTROL_ALLOW_METHODS, methods),
            (ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, mcp-protocol-version"),
            (ACCESS_CONTROL_MAX_AGE, "7200"),
        ],
    );
    routes.options(move || async move { preflight }).layer(map_response(allow_any_origin))
}

async fn allow_any_origin(mut response: Response) -> Response {
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}
