//! The last lines of a service's log that are wanted. The files are found by service, never by a path of the client's.
//! Not here: following them (`follow`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use supervisor_core::ServiceName;
use supervisor_logs::{Level, Line, Mark, Query as Wanted, Unfinished};

use super::answer::{Answer, Told};
use super::follow::{Begin, LogFile, follow, parse_mark};
use super::input::{Input, Query};
use super::openapi::Schemas;
use super::places::Readers;
use super::problem::Problem;
use super::read::unknown_service;
use super::site::Reader;
use super::stream::{self, EVENT_STREAM};
use crate::log_lines::{self, Output};

const PLAIN: &str = "text/plain";
/// One JSON document on each line.
const LINES: &str = "application/x-ndjson";
const DEFAULT_LINES: usize = 100;
const MAX_LINES: usize = 10_000;
/// What waits for a slow reader is in memory.
pub(super) const MAX_BYTES: usize = 1024 * 1024;
static READERS: Readers = Readers::new();

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogQuery {
    /// So many of the last lines that are wanted; at most 10,000, and at most 1 MiB.
    tail: Option<usize>,
    stream: Option<Stream>,
    /// Those, then each further one as it comes, as server-sent events; after `until` the event `end`, and no more. So does
    /// `Accept: text/event-stream`.
    follow: Option<bool>,
    /// Not in the log before this: a time (RFC 3339 in UTC), or how long ago.
    #[schemars(schema_with = "moment_schema")]
    since: Option<String>,
    /// In the log by then.
    #[schemars(schema_with = "moment_schema")]
    until: Option<String>,
    /// That hold a match of this regular expression.
    #[schemars(schema_with = "pattern_schema")]
    grep: Option<String>,
    /// Of this level or a worse one, as the line tells it in JSON, logfmt or plain words.
    #[schemars(schema_with = "level_schema")]
    level: Option<String>,
    /// With this field, `name=value`, in JSON or logfmt. Given several times, a line must have all of them.
    #[schemars(schema_with = "fields_schema")]
    field: Vec<String>,
    /// Of this generation of the service.
    generation: Option<u64>,
    /// One JSON document for each line, with its time, number and generation. So does `Accept: application/x-ndjson`.
    json: Option<bool>,
}

impl Query for LogQuery {
    const SEVERAL: Option<&'static str> = Some("field");

    fn take_several(&mut self, values: Vec<String>) {
        self.field = values;
    }
}

/// Which of two logs, when the service's output is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Stream {
    Out,
    Err,
}

fn level_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": Level::NAMES })
}

fn moment_schema(_: &mut SchemaGenerator) -> Schema {
    const DAY: &str = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])";
    const TIME: &str = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{3})?";
    json_schema!({ "type": "string", "pattern": format!("^([0-9]{{1,4}}[smh]|{DAY}T{TIME}Z)$") })
}

/// Any text without marks is a pattern; with them not each is one.
fn pattern_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "regex", "maxLength": 1024, "pattern": "^[A-Za-z0-9 .^$|:=_-]*$" })
}

fn fields_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "pattern": "^[^=]+=" } })
}

/// One of three forms.
pub(super) enum Log {
    /// Bytes of a service, as they are.
    Text(Vec<u8>),
    Lines(String),
    Stream(Response),
}

impl Answer for Log {
    const KINDS: &'static [&'static str] = &[PLAIN, LINES, EVENT_STREAM];

    fn told(_: &mut Schemas) -> Vec<Told> {
        let text = json_schema!({ "type": "string" });
        let content = vec![(PLAIN, text.clone()), (LINES, text.clone()), (EVENT_STREAM, text)];
        let about = "the lines, as they were written, or each as `{service, generation, seq, time, stream, line}`; in a \
            stream each `data` is one of these, and its `id` its place";
        vec![Told { status: StatusCode::OK, about, headers: &[], content }]
    }

    fn respond(self) -> Response {
        let (body, kind) = match self {
            Self::Text(text) => (text, "text/plain; charset=utf-8"),
            Self::Lines(lines) => (lines.into_bytes(), LINES),
            Self::Stream(response) => return response,
        };
        let mut response = (StatusCode::OK, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        // Bytes of a service are never a page of ours.
        headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
        response
    }
}

pub(super) async fn tail(reader: Reader, input: Input<ServiceName, LogQuery>) -> Result<Log, Problem> {
    let Input { path: name, query, headers, .. } = input;
    let count = query.tail.unwrap_or(DEFAULT_LINES).min(MAX_LINES);
    let documents = reader.cache.latest();
    let facts = documents.view.facts.get(&name).ok_or_else(|| unknown_service(name.as_str()))?;
    let (path, output) = match (facts.logs.as_slice(), query.stream) {
        ([only], None) => (only, Output::Merged),
        ([out, _], None | Some(Stream::Out)) => (out, Output::Out),
        ([_, err], Some(Stream::Err)) => (err, Output::Err),
        (_, _) => return Err(Problem::new(StatusCode::NOT_FOUND, format!("`{name}` has no such log"))),
    };
    let file = LogFile { service: name, path: path.clone(), output };
    let (follows, json) = (query.follow, query.json);
    // To compile a pattern takes a while that the services must not feel.
    let wanted = tokio::task::spawn_blocking(move || wanted(&query)).await.map_err(|_| busy())??;
    if follows.unwrap_or_else(|| stream::accepted(&headers)) {
        let begin = last_place(&headers)?.map_or(Begin::Tail(count), Begin::Behind);
        return follow(file, begin, wanted).map(Log::Stream);
    }
    let json = json.unwrap_or_else(|| {
        headers.get_all(header::ACCEPT).iter().any(|kind| kind.to_str().is_ok_and(|kind| kind.contains(LINES)))
    });
    if json {
        read(file, wanted, count, as_documents).await.map(Log::Lines)
    } else {
        read(file, wanted, count, |_, lines| as_written(lines)).await.map(Log::Text)
    }
}

fn as_documents(file: &LogFile, lines: &[Line]) -> String {
    lines.iter().map(|line| log_lines::json(file.service.as_str(), file.output, line) + "\n").collect()
}

fn as_written(lines: &[Line]) -> Vec<u8> {
    let end = |line: &Line| if line.whole { b"\n".as_slice() } else { b"" };
    lines.iter().flat_map(|line| [line.text.as_slice(), end(line)]).collect::<Vec<_>>().concat()
}

fn wanted(query: &LogQuery) -> Result<Wanted, Problem> {
    let wrong = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    let moment = |key: &str, text: &Option<String>| {
        let wrong = || wrong(format!("`{key}` is a time like 2026-11-23T00:21:01Z, or how long ago, like 10m"));
        text.as_deref().map(|text| log_lines::moment(text).ok_or_else(wrong)).transpose()
    };
    let filter = log_lines::filter(query.grep.as_deref(), query.level.as_deref(), &query.field);
    Ok(Wanted {
        filter: filter.map_err(|error| wrong(error.to_string()))?,
        since: moment("since", &query.since)?,
        until: moment("until", &query.until)?,
        generation: query.generation,
    })
}

/// Lines are missing, and an answer of lines has no place to say so.
pub(super) fn warn(file: &LogFile, trouble: &str) {
    tracing::warn!(service = %file.service, file = %file.path.display(), trouble, "a log cannot be read whole");
}

/// What `shape` makes of the lines, off the threads that answer. The search ends when the client is gone.
async fn read<T: Send + 'static>(
    file: LogFile,
    wanted: Wanted,
    count: usize,
    shape: fn(&LogFile, &[Line]) -> T,
) -> Result<T, Problem> {
    struct Gone(Arc<AtomicBool>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let place = READERS.place(&file.path).ok_or_else(busy)?;
    let gone = Gone(Arc::default());
    let stop = Arc::clone(&gone.0);
    let service = file.service.clone();
    let read = tokio::task::spawn_blocking(move || {
        let stop = || stop.load(Ordering::Relaxed);
        let found = supervisor_logs::last(&file.path, &wanted, (count, MAX_BYTES), Unfinished::Shown, &stop);
        let shaped = found.map(|found| {
            found.trouble.iter().for_each(|trouble| warn(&file, trouble));
            shape(&file, &found.lines)
        });
        drop(place);
        shaped
    });
    let read = read.await;
    drop(gone);
    match read {
        Ok(Ok(shaped)) => Ok(shaped),
        Ok(Err(error)) => {
            let detail = format!("the log of `{service}` cannot be read: {error}");
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail))
        }
        Err(_) => Err(busy()),
    }
}

fn busy() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "other logs are being read; try again")
}

fn last_place(headers: &HeaderMap) -> Result<Option<Mark>, Problem> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    let mark = id.to_str().ok().and_then(parse_mark);
    let wrong = || Problem::new(StatusCode::BAD_REQUEST, "`Last-Event-ID` is no place in a log");
    mark.map(Some).ok_or_else(wrong)
}
