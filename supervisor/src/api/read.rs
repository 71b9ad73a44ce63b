//! Routes that read. They have the latest documents and nothing else, so none of them can change anything.
//! Not here: logs.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use supervisor_core::{HealthStatus, ServiceName};

use super::cache::{Cache, json};
use super::document::{OneServiceDocument, SCHEMA_VERSION};
use super::problem::Problem;
use super::render;

pub(crate) async fn livez() -> Response {
    answer(StatusCode::OK, Bytes::from_static(br#"{"schema_version":1,"status":"alive"}"#))
}

pub(crate) async fn health(State(cache): State<Arc<Cache>>) -> Response {
    let documents = cache.latest();
    let status = match render::health_status(&documents.view) {
        HealthStatus::Healthy | HealthStatus::Degraded => StatusCode::OK,
        HealthStatus::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    };
    answer(status, documents.health())
}

pub(crate) async fn short(State(cache): State<Arc<Cache>>) -> Response {
    answer(StatusCode::OK, cache.latest().short())
}

pub(crate) async fn status(State(cache): State<Arc<Cache>>) -> Response {
    answer(StatusCode::OK, cache.latest().status())
}

pub(crate) async fn services(State(cache): State<Arc<Cache>>) -> Response {
    answer(StatusCode::OK, cache.latest().services())
}

pub(crate) async fn service(State(cache): State<Arc<Cache>>, Path(name): Path<String>) -> Result<Response, Problem> {
    let documents = cache.latest();
    let snapshot = documents.view.services.iter().find(|snapshot| snapshot.name.as_str() == name);
    let snapshot = snapshot.ok_or_else(|| unknown_service(&name))?;
    let service = render::service(&documents.view, snapshot);
    Ok(answer(StatusCode::OK, json(&OneServiceDocument { schema_version: SCHEMA_VERSION, service })))
}

/// A name that cannot be one is not repeated: who knows what reads our answers.
pub(crate) fn unknown_service(name: &str) -> Problem {
    let detail = match ServiceName::new(name) {
        Ok(name) => format!("there is no service `{name}`; see /api/v1/services"),
        Err(error) => format!("this names no service: {error}"),
    };
    Problem::new(StatusCode::NOT_FOUND, detail)
}

pub(crate) fn answer(status: StatusCode, body: Bytes) -> Response {
    let mut response = (status, body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
