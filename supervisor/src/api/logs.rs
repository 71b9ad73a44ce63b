//! The last lines of a service's log. The files are found by service, never by a path of the client's.
//! Not here: following them (`follow`).

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::{JsonSchema, json_schema};
use serde::Deserialize;
use supervisor_core::ServiceName;
use supervisor_logs::Mark;
use tokio::sync::Semaphore;

use super::answer::{Answer, Told};
use super::follow::{Begin, follow, parse_mark};
use super::input::{Input, Query};
use super::openapi::Schemas;
use super::problem::Problem;
use super::read::unknown_service;
use super::site::Reader;
use super::stream::{self, EVENT_STREAM};

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
    /// Those, then each line as it comes, as server-sent events. So does `Accept: text/event-stream`.
    follow: Option<bool>,
}

impl Query for LogQuery {}

/// Which of two logs, when the service's output is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Stream {
    Out,
    Err,
}

/// One of two forms.
pub(super) enum Log {
    /// Bytes of a service, as they are.
    Text(Vec<u8>),
    Stream(Response),
}

impl Answer for Log {
    const KINDS: &'static [&'static str] = &[PLAIN, EVENT_STREAM];

    fn told(_: &mut Schemas) -> Vec<Told> {
        let text = json_schema!({ "type": "string" });
        let content = vec![(PLAIN, text.clone()), (EVENT_STREAM, text)];
        let about =
            "the lines, as they were written; in a stream each `data` is `{\"line\": …}`, and its `id` its place";
        vec![Told { status: StatusCode::OK, about, headers: &[], content }]
    }

    fn respond(self) -> Response {
        let text = match self {
            Self::Text(text) => text,
            Self::Stream(response) => return response,
        };
        let mut response = (StatusCode::OK, text).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        // Bytes of a service are never a page of ours.
        headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
        response
    }
}

pub(super) async fn tail(reader: Reader, input: Input<ServiceName, LogQuery>) -> Result<Log, Problem> {
    let Input { path: name, query, headers, .. } = input;
    let lines = query.tail.unwrap_or(DEFAULT_LINES).min(MAX_LINES);
    let documents = reader.cache.latest();
    let facts = documents.view.facts.get(&name).ok_or_else(|| unknown_service(name.as_str()))?;
    let file = match (facts.logs.as_slice(), query.stream) {
        ([only], None) => only,
        ([out, _], None | Some(Stream::Out)) => out,
        ([_, err], Some(Stream::Err)) => err,
        (_, _) => return Err(Problem::new(StatusCode::NOT_FOUND, format!("`{name}` has no such log"))),
    };
    if query.follow.unwrap_or_else(|| stream::accepted(&headers)) {
        let begin = last_place(&headers)?.map_or(Begin::Tail(lines), Begin::Behind);
        return follow(file.clone(), begin, MAX_BYTES).map(Log::Stream);
    }
    let busy = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "other logs are being read; try again");
    let permit = READERS.try_acquire().map_err(|_| busy())?;
    let path = file.clone();
    let read = tokio::task::spawn_blocking(move || {
        let text = supervisor_logs::tail(&path, lines, MAX_BYTES);
        drop(permit);
        text
    });
    match read.await {
        Ok(Ok(text)) => Ok(Log::Text(text)),
        Ok(Err(error)) => {
            let detail = format!("the log of `{name}` cannot be read: {error}");
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail))
        }
        Err(_) => Err(busy()),
    }
}

fn last_place(headers: &HeaderMap) -> Result<Option<Mark>, Problem> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    let mark = id.to_str().ok().and_then(parse_mark);
    let wrong = || Problem::new(StatusCode::BAD_REQUEST, "`Last-Event-ID` is no place in a log");
    mark.map(Some).ok_or_else(wrong)
}
