//! `GET /health`: how this process is.
//! Not here: anything upstream. An outage elsewhere must not get this process restarted.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Service;
use crate::routes::{Fitness, Vitals};
use crate::server::Phase;

struct Health {
    service: &'static str,
    version: &'static str,
    not_yet: &'static [&'static str],
    generation: Option<u64>,
    started: Instant,
    vitals: Option<Vitals>,
    phase: watch::Receiver<Phase>,
}

/// The route. Uptime counts from now.
pub(crate) fn route(
    service: &Service,
    generation: Option<u64>,
    vitals: Option<Vitals>,
    phase: watch::Receiver<Phase>,
) -> Router {
    let &Service { name, version, not_yet, .. } = service;
    let health = Health { service: name, version, not_yet, generation, started: Instant::now(), vitals, phase };
    Router::new().route("/health", routing::get(answer)).with_state(Arc::new(health))
}

async fn answer(State(health): State<Arc<Health>>) -> Response {
    let vital = match &health.vitals {
        Some(vitals) => Some(vitals().await),
        None => None,
    };
    let fitness = vital.as_ref().map_or(Fitness::Fit, |vital| vital.fitness);
    let (code, status) = match (*health.phase.borrow(), fitness) {
        (Phase::Serving, Fitness::Fit) => (StatusCode::OK, "healthy"),
        (Phase::Serving, Fitness::Unfit) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        (Phase::Draining { .. }, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
    };
    let mut body = json!({
        "status": status,
        "service": health.service,
        "version": health.version,
        "uptime_s": health.started.elapsed().as_secs(),
        "generation": health.generation,
        "partial": !health.not_yet.is_empty(),
    });
    if !health.not_yet.is_empty() {
        body["not_yet"] = json!(health.not_yet);
    }
    for (name, value) in vital.into_iter().flat_map(|vital| vital.facts) {
        body[name] = value;
    }
    let mut response = (code, Json(body)).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
