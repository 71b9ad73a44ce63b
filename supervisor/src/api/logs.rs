//! The last lines of a service's log. The files are found by service, never by a path of the client's.
//! Not here: following.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::cache::Cache;
use super::problem::Problem;
use super::read::unknown_service;

const DEFAULT_LINES: usize = 100;
const MAX_LINES: usize = 10_000;
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Each occupies a thread that launches need, too, and a dead disk may keep it.
static READERS: Semaphore = Semaphore::const_new(4);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LogQuery {
    tail: Option<usize>,
    stream: Option<Stream>,
}

/// Which of two logs, when the service's output is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stream {
    Out,
    Err,
}

pub(crate) async fn tail(
    State(cache): State<Arc<Cache>>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = match Query::<LogQuery>::try_from_uri(&uri) {
        Ok(Query(query)) => query,
        Err(error) => return Err(Problem::new(StatusCode::BAD_REQUEST, error.body_text())),
    };
    let lines = query.tail.unwrap_or(DEFAULT_LINES).min(MAX_LINES);
    let documents = cache.latest();
    let facts = documents.view.facts.iter().find(|(service, _)| service.as_str() == name);
    let (_, facts) = facts.ok_or_else(|| unknown_service(&name))?;
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
        Ok(Ok(text)) => Ok(plain(text)),
        Ok(Err(error)) => {
            let detail = format!("the log of `{name}` cannot be read: {error}");
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail))
        }
        Err(_) => Err(busy()),
    }
}

fn plain(text: Vec<u8>) -> Response {
    let mut response = (StatusCode::OK, text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    // Bytes of a service are never a page of ours.
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    response
}
