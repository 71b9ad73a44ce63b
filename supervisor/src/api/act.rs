//! Handlers that change something: each becomes one request to the loop, which makes it an operation.
//! Not here: what becomes of the operation (`operations`).

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use supervisor_core::ServiceName;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::change::{ServicesRequest, StopRequest};
use super::input::{Fixed, Input, Json, Query};
use super::operations::{Begun, Wait, WaitQuery};
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
    wait: Wait,
}

impl Query for StopQuery {
    fn patience(&self) -> Duration {
        self.wait.patience()
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignalQuery {
    /// A name with or without `SIG`, or a number.
    #[schemars(schema_with = "signal_schema")]
    signal: String,
    #[serde(default)]
    wait: Wait,
}

impl Query for SignalQuery {
    fn patience(&self) -> Duration {
        self.wait.patience()
    }
}

fn signal_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": signals::pattern() })
}

type Done = Result<Begun, Problem>;

pub(super) async fn start_all(actor: Arc<Actor>, input: Input<Fixed, WaitQuery, Json<ServicesRequest>>) -> Done {
    ask(&actor, What::Start(input.body.0.services), input.query.wait).await
}

pub(super) async fn restart_all(actor: Arc<Actor>, input: Input<Fixed, WaitQuery, Json<ServicesRequest>>) -> Done {
    ask(&actor, What::Restart(input.body.0.services), input.query.wait).await
}

pub(super) async fn stop_all(actor: Arc<Actor>, input: Input<Fixed, WaitQuery, Json<StopRequest>>) -> Done {
    let StopRequest { services, now } = input.body.0;
    ask(&actor, What::Stop { services, now }, input.query.wait).await
}

pub(super) async fn start(actor: Arc<Actor>, input: Input<ServiceName, WaitQuery>) -> Done {
    ask(&actor, What::Start(vec![input.path]), input.query.wait).await
}

pub(super) async fn restart(actor: Arc<Actor>, input: Input<ServiceName, WaitQuery>) -> Done {
    ask(&actor, What::Restart(vec![input.path]), input.query.wait).await
}

pub(super) async fn stop(actor: Arc<Actor>, input: Input<ServiceName, StopQuery>) -> Done {
    let StopQuery { now, wait } = input.query;
    ask(&actor, What::Stop { services: vec![input.path], now }, wait).await
}

pub(super) async fn signal(actor: Arc<Actor>, input: Input<ServiceName, SignalQuery>) -> Done {
    let signal = signals::parse(&input.query.signal).ok_or_else(|| {
        Problem::new(StatusCode::BAD_REQUEST, "`signal` is no signal; use a name as HUP, or a number")
    })?;
    ask(&actor, What::Signal { service: input.path, signal }, input.query.wait).await
}

/// Hands it to the loop and waits until the loop has taken it.
async fn ask(actor: &Actor, what: What, wait: Wait) -> Done {
    let unavailable = |detail: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
    let (sender, receiver) = oneshot::channel();
    actor.asks.try_send(Ask { what, answer: sender }).map_err(|error| match error {
        TrySendError::Full(_) => unavailable("too many requests wait already; try again"),
        TrySendError::Closed(_) => unavailable("the supervisor is ending"),
    })?;
    match tokio::time::timeout(ANSWER_TIMEOUT, receiver).await {
        Ok(Ok(Ok(operation))) => Ok(Begun::awaited(&actor.reader, operation, wait).await),
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
        Refusal::Busy => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many requests wait already; try again"),
    }
}
