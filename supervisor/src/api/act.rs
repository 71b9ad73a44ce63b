//! Routes that change something: each becomes one request to the loop.
//! Not here: what comes of it; that shows in the status.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use supervisor_core::ServiceName;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::cache::json;
use super::document::{AcceptedDocument, ChangeRequest, SCHEMA_VERSION, SignalRequest};
use super::problem::Problem;
use super::read::{answer, unknown_service};
use crate::control::{Ask, Refusal, What};
use crate::signals;

const MAX_BODY: usize = 1024 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The loop answers between two batches of events, so this passes only when it hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

type Asks = State<mpsc::Sender<Ask>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ChangeQuery {
    now: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SignalQuery {
    signal: Option<String>,
}

pub(crate) async fn start_all(State(asks): Asks, body: Body) -> Result<Response, Problem> {
    let change = change_request(body).await?;
    no_now(change.now)?;
    ask(&asks, What::Start(change.services)).await
}

pub(crate) async fn restart_all(State(asks): Asks, body: Body) -> Result<Response, Problem> {
    let change = change_request(body).await?;
    no_now(change.now)?;
    ask(&asks, What::Restart(change.services)).await
}

pub(crate) async fn stop_all(State(asks): Asks, uri: Uri, body: Body) -> Result<Response, Problem> {
    let ChangeQuery { now } = query(&uri)?;
    let change = change_request(body).await?;
    ask(&asks, What::Stop { services: change.services, now: now || change.now }).await
}

pub(crate) async fn start(State(asks): Asks, Path(name): Path<String>, body: Body) -> Result<Response, Problem> {
    read(body).await?;
    ask(&asks, What::Start(vec![service(&name)?])).await
}

pub(crate) async fn restart(State(asks): Asks, Path(name): Path<String>, body: Body) -> Result<Response, Problem> {
    read(body).await?;
    ask(&asks, What::Restart(vec![service(&name)?])).await
}

pub(crate) async fn stop(
    State(asks): Asks,
    Path(name): Path<String>,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    let ChangeQuery { now } = query(&uri)?;
    read(body).await?;
    ask(&asks, What::Stop { services: vec![service(&name)?], now }).await
}

pub(crate) async fn signal(
    State(asks): Asks,
    Path(name): Path<String>,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    let SignalQuery { signal } = query(&uri)?;
    let body = read(body).await?;
    let signal = match signal {
        Some(signal) => signal,
        None => parse::<SignalRequest>(&body)?.signal,
    };
    let number = signals::parse(&signal).ok_or_else(|| {
        Problem::new(StatusCode::BAD_REQUEST, "`signal` is no signal; use a name as HUP, or a number")
    })?;
    ask(&asks, What::Signal { service: service(&name)?, signal: number }).await
}

/// Hands it to the loop and waits until the loop has taken it. It answers after the view shows what it did at once.
async fn ask(asks: &mpsc::Sender<Ask>, what: What) -> Result<Response, Problem> {
    let unavailable = |detail: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
    let (sender, receiver) = oneshot::channel();
    asks.try_send(Ask { what, answer: sender }).map_err(|error| match error {
        TrySendError::Full(_) => unavailable("too many requests wait already; try again"),
        TrySendError::Closed(_) => unavailable("the supervisor is ending"),
    })?;
    match tokio::time::timeout(ANSWER_TIMEOUT, receiver).await {
        Ok(Ok(Ok(()))) => {
            let document = AcceptedDocument { schema_version: SCHEMA_VERSION, accepted: true };
            Ok(answer(StatusCode::ACCEPTED, json(&document)))
        }
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

fn service(name: &str) -> Result<ServiceName, Problem> {
    ServiceName::new(name).map_err(|_| unknown_service(name))
}

fn no_now(now: bool) -> Result<(), Problem> {
    if now { Err(Problem::new(StatusCode::BAD_REQUEST, "`now` belongs to stop")) } else { Ok(()) }
}

fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    match Query::<T>::try_from_uri(uri) {
        Ok(Query(query)) => Ok(query),
        Err(error) => Err(Problem::new(StatusCode::BAD_REQUEST, error.body_text())),
    }
}

/// An empty body means all defaults.
async fn change_request(body: Body) -> Result<ChangeRequest, Problem> {
    let body = read(body).await?;
    if body.is_empty() { Ok(ChangeRequest::default()) } else { parse(&body) }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("the body: {error}")))
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "a body is at most 1 MiB"))
        }
        Ok(Err(_)) => Err(Problem::new(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 10 s")),
    }
}
