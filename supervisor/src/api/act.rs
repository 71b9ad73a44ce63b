//! Handlers that change something: each becomes one request to the loop.
//! Not here: what comes of it; that shows in the status.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Deserialize;
use supervisor_core::ServiceName;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::answer::{Answer, Document, JSON, Told};
use super::document::{AcceptedDocument, SCHEMA_VERSION, ServicesRequest, StopRequest};
use super::input::{Fixed, Input, Json, NoQuery, Query};
use super::openapi::Schemas;
use super::problem::Problem;
use super::read::unknown_service;
use super::site::Actor;
use crate::control::{Ask, Refusal, What};
use crate::signals;

/// The loop answers between two batches of events, so this passes only when it hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StopQuery {
    /// Kill at once.
    now: bool,
}

impl Query for StopQuery {}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignalQuery {
    /// A name with or without `SIG`, or a number.
    signal: String,
}

impl Query for SignalQuery {}

pub(super) struct Accepted;

impl Answer for Accepted {
    const KINDS: &'static [&'static str] = &[JSON];

    fn told(schemas: &mut Schemas) -> Vec<Told> {
        let content = vec![(JSON, schemas.given::<AcceptedDocument>())];
        vec![Told { status: StatusCode::ACCEPTED, about: "it has been taken", headers: &[], content }]
    }

    fn respond(self) -> Response {
        Document::of(&AcceptedDocument { schema_version: SCHEMA_VERSION, accepted: true }).with(StatusCode::ACCEPTED)
    }
}

type Done = Result<Accepted, Problem>;

pub(super) async fn start_all(actor: Arc<Actor>, input: Input<Fixed, NoQuery, Json<ServicesRequest>>) -> Done {
    ask(&actor, What::Start(input.body.0.services)).await
}

pub(super) async fn restart_all(actor: Arc<Actor>, input: Input<Fixed, NoQuery, Json<ServicesRequest>>) -> Done {
    ask(&actor, What::Restart(input.body.0.services)).await
}

pub(super) async fn stop_all(actor: Arc<Actor>, input: Input<Fixed, NoQuery, Json<StopRequest>>) -> Done {
    let StopRequest { services, now } = input.body.0;
    ask(&actor, What::Stop { services, now }).await
}

pub(super) async fn start(actor: Arc<Actor>, input: Input<ServiceName>) -> Done {
    ask(&actor, What::Start(vec![input.path])).await
}

pub(super) async fn restart(actor: Arc<Actor>, input: Input<ServiceName>) -> Done {
    ask(&actor, What::Restart(vec![input.path])).await
}

pub(super) async fn stop(actor: Arc<Actor>, input: Input<ServiceName, StopQuery>) -> Done {
    ask(&actor, What::Stop { services: vec![input.path], now: input.query.now }).await
}

pub(super) async fn signal(actor: Arc<Actor>, input: Input<ServiceName, SignalQuery>) -> Done {
    let signal = signals::parse(&input.query.signal).ok_or_else(|| {
        Problem::new(StatusCode::BAD_REQUEST, "`signal` is no signal; use a name as HUP, or a number")
    })?;
    ask(&actor, What::Signal { service: input.path, signal }).await
}

/// Hands it to the loop and waits until the loop has taken it.
async fn ask(actor: &Actor, what: What) -> Done {
    let unavailable = |detail: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
    let (sender, receiver) = oneshot::channel();
    actor.asks.try_send(Ask { what, answer: sender }).map_err(|error| match error {
        TrySendError::Full(_) => unavailable("too many requests wait already; try again"),
        TrySendError::Closed(_) => unavailable("the supervisor is ending"),
    })?;
    match tokio::time::timeout(ANSWER_TIMEOUT, receiver).await {
        Ok(Ok(Ok(()))) => Ok(Accepted),
        Ok(Ok(Err(refusal))) => Err(refused(&refusal)),
        Ok(Err(_)) => Err(unavailable("the supervisor is ending")),
        Err(_) => Err(unavailable("the supervisor did not answer in time; see its own log")),
    }
}

fn refused(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::UnknownService(name) => unknown_service(name.as_str()),
        Refusal::NotRunning(name) => Problem::new(StatusCode::CONFLICT, format!("`{name}` has no process now")),
        Refusal::ShuttingDown => Problem::new(StatusCode::CONFLICT, "the supervisor is shutting down"),
    }
}
