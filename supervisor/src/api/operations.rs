//! Operations over HTTP: reading them, and waiting for one.
//! Not here: beginning one (`act`), what becomes of it (the loop).

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Deserializer};
use tokio::sync::{Semaphore, watch};

use super::answer::{Answer, Document, JSON, Told};
use super::change::{OperationDocument, OperationsDocument};
use super::document::SCHEMA_VERSION;
use super::input::{Fixed, Input, NoQuery, PathPart, Query, only};
use super::openapi::Schemas;
use super::problem::Problem;
use super::render;
use super::route::RawPath;
use super::site::Reader;
use super::words::OperationNumber;
use crate::config::duration;
use crate::control::{Operation, Outcome, View};

const MAX_WAIT: Duration = Duration::from_secs(300);
/// So many may wait at once; further ones are told at once how far it is. Each of them holds a connection.
static WAITING: Semaphore = Semaphore::const_new(32);

/// How long to wait for the end of an operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wait(Duration);

impl<'de> Deserialize<'de> for Wait {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wait = duration(&text).map_err(|error| serde::de::Error::custom(format!("`wait`: {error}")))?;
        if wait.is_zero() {
            return Err(serde::de::Error::custom("`wait`: it is no time at all; leave it out instead"));
        }
        if wait > MAX_WAIT {
            return Err(serde::de::Error::custom("`wait`: it is longer than `5m`"));
        }
        Ok(Self(wait))
    }
}

impl JsonSchema for Wait {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Wait".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "string", "pattern": "^[1-9][0-9]?s$",
            "description": "As `30s` or `2m`, at most `5m`: answer when it has ended, or after this long.",
        })
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WaitQuery {
    pub(super) wait: Wait,
}

impl Query for WaitQuery {
    fn patience(&self) -> Duration {
        self.wait.0
    }
}

impl Wait {
    pub(super) fn patience(self) -> Duration {
        self.0
    }
}

/// The number of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number(u64);

impl PathPart for Number {
    fn of(params: RawPath) -> Result<Self, Problem> {
        let text = only(params)?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten().map(Self).ok_or_else(unknown)
    }

    fn told(schemas: &mut Schemas) -> Option<(&'static str, Schema)> {
        Some(("id", schemas.taken::<OperationNumber>()))
    }
}

fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such operation, or not any more; see /api/v1/operations")
}

/// An operation that has been begun.
pub(super) struct Begun {
    status: StatusCode,
    id: u64,
    document: Document<OperationDocument>,
}

impl Answer for Begun {
    const KINDS: &'static [&'static str] = &[JSON];

    fn told(schemas: &mut Schemas) -> Vec<Told> {
        let mut told = |status, about| {
            let headers = &[("Location", "where the operation is")];
            Told { status, about, headers, content: vec![(JSON, schemas.given::<OperationDocument>())] }
        };
        vec![
            told(StatusCode::ACCEPTED, "it has been begun, and has not ended yet"),
            told(StatusCode::OK, "it was waited for, and has ended"),
        ]
    }

    fn respond(self) -> Response {
        let mut response = self.document.with(self.status);
        if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/operations/{}", self.id)) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

impl Begun {
    /// After it has ended, or after `wait`.
    pub(super) async fn awaited(reader: &Reader, operation: Arc<Operation>, wait: Wait) -> Self {
        let id = operation.id;
        let last = if wait == Wait::default() { None } else { ended(reader, id, wait).await };
        let status = match last.as_deref().map(|operation| operation.state) {
            Some(Outcome::Succeeded | Outcome::Failed | Outcome::Unknown) => StatusCode::OK,
            Some(Outcome::Running) | None => StatusCode::ACCEPTED,
        };
        Self { status, id, document: told(reader, &last.unwrap_or(operation)) }
    }
}

fn told(reader: &Reader, operation: &Operation) -> Document<OperationDocument> {
    let operation = render::operation(&reader.cache.latest().view, operation);
    Document::of(&OperationDocument { schema_version: SCHEMA_VERSION, operation })
}

pub(super) async fn operations(
    reader: Reader,
    _: Input<Fixed, NoQuery>,
) -> Result<Document<OperationsDocument>, Problem> {
    let view = &reader.cache.latest().view;
    let operations = view.operations.iter().rev().map(|operation| render::operation(view, operation)).collect();
    Ok(Document::of(&OperationsDocument { schema_version: SCHEMA_VERSION, operations }))
}

pub(super) async fn operation(
    reader: Reader,
    input: Input<Number, WaitQuery>,
) -> Result<Document<OperationDocument>, Problem> {
    let operation = ended(&reader, input.path.0, input.query.wait).await.ok_or_else(unknown)?;
    Ok(told(&reader, &operation))
}

/// As it is when it has ended, or after `wait`; `None` when it is not known, or not any more.
async fn ended(reader: &Reader, id: u64, wait: Wait) -> Option<Arc<Operation>> {
    let place = WAITING.try_acquire();
    let wait = if place.is_ok() { wait.0 } else { Duration::ZERO };
    let mut shown: watch::Receiver<u64> = reader.shown.clone();
    let until = async {
        loop {
            shown.mark_unchanged();
            let operation = found(&reader.cache.latest().view, id);
            if operation.is_none_or(|operation| operation.state != Outcome::Running) {
                return;
            }
            if shown.changed().await.is_err() {
                return;
            }
        }
    };
    // Late is as good as never: the caller sees how far it is.
    let _ = tokio::time::timeout(wait, until).await;
    found(&reader.cache.latest().view, id)
}

fn found(view: &View, id: u64) -> Option<Arc<Operation>> {
    view.operations.iter().find(|operation| operation.id == id).cloned()
}
