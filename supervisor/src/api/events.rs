//! What happened: as a page of JSON, or as it happens.
//! Not here: where it comes from (`journal`).

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use supervisor_core::ServiceName;

use super::answer::{Answer, Document, JSON, Told};
use super::document::SCHEMA_VERSION;
use super::input::{Fixed, Input, Query};
use super::openapi::Schemas;
use super::problem::Problem;
use super::site;
use super::stream::{self, EVENT_STREAM, Source};
use crate::journal::{Entry, Filter, Kind, Note, Page, Reader, Since};
use crate::{sse, timestamp};

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;
/// Of services and kinds, so many may be named.
const MAX_NAMES: usize = 256;

/// `GET /api/v1/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct EventsDocument {
    pub(crate) schema_version: u32,
    /// The oldest first.
    pub(crate) events: Vec<Entry>,
    /// What to give as `since` to go on.
    pub(crate) next: u64,
    /// There are more.
    pub(crate) more: bool,
    /// The oldest that is kept; 0 when none is.
    pub(crate) oldest: u64,
    /// Why events cannot be written now.
    pub(crate) trouble: Option<String>,
}

impl EventsDocument {
    pub(crate) fn of(page: Page, trouble: Option<String>) -> Self {
        let Page { events, next, more, oldest } = page;
        Self { schema_version: SCHEMA_VERSION, events, next, more, oldest, trouble }
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EventsQuery {
    /// Behind the event of this number, or from this time on (RFC 3339 in UTC).
    #[schemars(schema_with = "since_schema")]
    since: Option<String>,
    /// Of these services only; names with commas between.
    #[schemars(schema_with = "services_schema")]
    service: Option<String>,
    /// Of these kinds only; words with commas between.
    #[schemars(schema_with = "kinds_schema")]
    kind: Option<String>,
    /// So many; 100 by default, at most 1,000. With `follow`, so many of the newest first; none by default.
    limit: Option<usize>,
    /// As a stream, for as long as the client listens. So does `Accept: text/event-stream`.
    follow: Option<bool>,
}

impl Query for EventsQuery {}

fn since_schema(_: &mut SchemaGenerator) -> Schema {
    const DAY: &str = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])";
    const TIME: &str = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{3})?";
    json_schema!({ "type": "string", "pattern": format!("^([0-9]{{1,19}}|{DAY}T{TIME}Z)$") })
}

fn services_schema(_: &mut SchemaGenerator) -> Schema {
    const NAME: &str = "[a-z0-9][a-z0-9_-]{0,62}";
    json_schema!({ "type": "string", "pattern": format!("^{NAME}(,{NAME})*$") })
}

fn kinds_schema(_: &mut SchemaGenerator) -> Schema {
    let kind = format!("({})", Kind::ALL.map(Kind::as_str).join("|"));
    json_schema!({ "type": "string", "pattern": format!("^{kind}(,{kind})*$") })
}

/// One of two forms.
pub(super) enum Events {
    Page(Document<EventsDocument>),
    Stream(Response),
}

impl Answer for Events {
    const KINDS: &'static [&'static str] = &[JSON, EVENT_STREAM];

    fn told(schemas: &mut Schemas) -> Vec<Told> {
        let stream = json_schema!({ "description": "server-sent events" });
        let content = vec![(JSON, schemas.given::<EventsDocument>()), (EVENT_STREAM, stream)];
        let about = "the events, the oldest first; in a stream each `data` is one of them, and its `id` its number";
        vec![Told { status: StatusCode::OK, about, headers: &[], content }]
    }

    fn respond(self) -> Response {
        match self {
            Self::Page(page) => page.respond(),
            Self::Stream(response) => response,
        }
    }
}

pub(super) async fn events(reader: site::Reader, input: Input<Fixed, EventsQuery>) -> Result<Events, Problem> {
    let Input { query, headers, .. } = input;
    let mut journal = reader.journal;
    let filter = Filter {
        services: list(query.service.as_deref(), |name| ServiceName::new(name).ok(), "`service` names no service")?,
        kinds: list(query.kind.as_deref(), Kind::parse, &format!("`kind` is one of {}", kinds()))?,
    };
    let since = query.since.as_deref().map(since).transpose()?;
    if query.follow.unwrap_or_else(|| stream::accepted(&headers)) {
        return follow(journal, last_event_id(&headers)?, since, query.limit, filter).await;
    }
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    let page = page(&mut journal, since.unwrap_or(Since::Newest), filter, limit).await?;
    Ok(Events::Page(Document::of(&EventsDocument::of(page, journal.trouble()))))
}

async fn page(journal: &mut Reader, since: Since, filter: Filter, limit: usize) -> Result<Page, Problem> {
    journal.page(since, filter, limit).await.map_err(|error| {
        let detail = format!("the journal of events cannot be read: {error}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })
}

/// Begins behind the last event that the client has seen; else as `since` says; else with the newest `limit`.
async fn follow(
    mut journal: Reader,
    last_id: Option<u64>,
    since: Option<Since>,
    limit: Option<usize>,
    filter: Filter,
) -> Result<Events, Problem> {
    let place = stream::place()?;
    let newest = journal.last().await;
    let first_of = |page: Page| page.events.first().map_or(newest, |first| first.seq - 1);
    let cursor = match (last_id, since) {
        (Some(seq), _) | (None, Some(Since::Seq(seq))) => seq,
        (None, Some(since @ Since::Time(_))) => first_of(page(&mut journal, since, filter.clone(), 1).await?),
        (None, Some(Since::Newest) | None) => {
            let limit = limit.unwrap_or(0).min(MAX_LIMIT);
            first_of(page(&mut journal, Since::Newest, filter.clone(), limit).await?)
        }
    };
    let mut first = Vec::new();
    if cursor > newest {
        let cause = format!("there is no event {cursor}: the journal was begun anew");
        let entry = Entry { seq: newest, note: Note::new(timestamp::now(), Kind::Gap, &cause) };
        let json = serde_json::to_vec(&entry).unwrap_or_default();
        sse::write(&mut first, &newest.to_string(), Kind::Gap.as_str(), &json);
    }
    let source = Following { journal, cursor: cursor.min(newest), filter, first };
    Ok(Events::Stream(stream::answer(source, place)))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    let id = id.to_str().ok().and_then(|id| id.parse().ok());
    id.map(Some).ok_or_else(|| bad("`Last-Event-ID` is the number of an event"))
}

struct Following {
    journal: Reader,
    cursor: u64,
    filter: Filter,
    /// Said before anything else.
    first: Vec<u8>,
}

impl Source for Following {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        let mut text = std::mem::take(&mut self.first);
        while text.is_empty() {
            // What cannot be read ends the stream; the client comes back with the number that it has.
            for line in self.journal.next(self.cursor).await.ok()? {
                self.cursor = line.entry.seq;
                if self.filter.admits(&line.entry.note) {
                    sse::write(&mut text, &self.cursor.to_string(), line.entry.note.kind.as_str(), &line.json);
                }
            }
        }
        Some((text.into(), self))
    }
}

/// A number, or a time.
fn since(text: &str) -> Result<Since, Problem> {
    if let Ok(seq) = text.parse() {
        return Ok(Since::Seq(seq));
    }
    let time = timestamp::parse(text).ok_or_else(|| {
        bad("`since` is the number of an event, or a time as 2026-11-23T00:21:01Z, with or without milliseconds")
    })?;
    Ok(Since::Time(time))
}

fn list<T>(text: Option<&str>, parse: impl Fn(&str) -> Option<T>, wrong: &str) -> Result<Vec<T>, Problem> {
    let words = text.into_iter().flat_map(|text| text.split(',')).take(MAX_NAMES);
    words.map(|word| parse(word).ok_or_else(|| bad(wrong))).collect()
}

fn kinds() -> String {
    Kind::ALL.map(Kind::as_str).join(", ")
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}
