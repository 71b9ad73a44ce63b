//! The last lines of a service's log. The files are found by service, never by a path of the client's.
//! Not here: following.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::{JsonSchema, json_schema};
use serde::Deserialize;
use supervisor_core::ServiceName;
use tokio::sync::Semaphore;

use super::answer::{Answer, Told};
use super::input::{Input, Query};
use super::openapi::Schemas;
use super::problem::Problem;
use super::read::unknown_service;
use super::site::Reader;

const PLAIN: &str = "text/plain";
const DEFAULT_LINES: usize = 100;
const MAX_LINES: usize = 10_000;
/// What waits for a slow reader is in memory.
const MAX_BYTES: usize = 1024 * 1024;
/// Each occupies a thread that launches need, too, and a dead disk may keep it.
static READERS: Semaphore = Semaphore::const_new(4);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogQuery {
    /// So many lines; at most 10,000, and at most 1 MiB.
    tail: Option<usize>,
    stream: Option<Stream>,
}

impl Query for LogQuery {}

/// Which of two logs, when the service's output is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Stream {
    Out,
    Err,
}

/// Bytes of a service, as they are.
pub(super) struct Text(Vec<u8>);

impl Answer for Text {
    const KINDS: &'static [&'static str] = &[PLAIN];

    fn told(_: &mut Schemas) -> Vec<Told> {
        let content = vec![(PLAIN, json_schema!({ "type": "string" }))];
        vec![Told { status: StatusCode::OK, about: "the lines, as they were written", headers: &[], content }]
    }

    fn respond(self) -> Response {
        let mut response = (StatusCode::OK, self.0).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        // Bytes of a service are never a page of ours.
        headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
        response
    }
}

pub(super) async fn tail(reader: Reader, input: Input<ServiceName, LogQuery>) -> Result<Text, Problem> {
    let Input { path: name, query, .. } = input;
    let lines = query.tail.unwrap_or(DEFAULT_LINES).min(MAX_LINES);
    let documents = reader.cache.latest();
    let facts = documents.view.facts.get(&name).ok_or_else(|| unknown_service(name.as_str()))?;
    let file = match (facts.logs.as_slice(), query.stream) {
        ([only], None) => only,
        ([out, _], None | Some(Stream::Out)) => out,
        ([_, err], Some(Stream::Err)) => err,
        (_, _) => return Err(Problem::new(StatusCode::NOT_FOUND, format!("`{name}` has no such log"))),
    };
    let busy = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "other logs are being read; try again");
    let permit = READERS.try_acquire().map_err(|_| busy())?;
    let path = file.clone();
    let read = tokio::task::spawn_blocking(move || {
        let text = supervisor_logs::tail(&path, lines, MAX_BYTES);
        drop(permit);
        text
    });
    match read.await {
        Ok(Ok(text)) => Ok(Text(text)),
        Ok(Err(error)) => {
            let detail = format!("the log of `{name}` cannot be read: {error}");
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail))
        }
        Err(_) => Err(busy()),
    }
}
