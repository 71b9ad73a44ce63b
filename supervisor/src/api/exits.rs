//! How the last runs of a service ended: reports, with the last lines of their output.
//! Not here: where they are kept (`exits`).

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use supervisor_core::ServiceName;
use tokio::sync::Semaphore;

use super::answer::Document;
use super::document::SCHEMA_VERSION;
use super::input::{Input, Query};
use super::problem::Problem;
use super::read::unknown_service;
use super::site::Reader;
use crate::exits::{Files, Report};

/// Each occupies a thread that launches need, too, and a dead disk may keep it.
static READERS: Semaphore = Semaphore::const_new(4);

/// `GET /api/v1/services/NAME/exits`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ExitsDocument {
    pub(crate) schema_version: u32,
    /// The newest first; at most 20 are kept.
    pub(crate) exits: Vec<Report>,
}

impl ExitsDocument {
    pub(crate) fn of(exits: Vec<Report>) -> Self {
        Self { schema_version: SCHEMA_VERSION, exits }
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExitsQuery {
    /// The report of this number only.
    number: Option<u64>,
}

impl Query for ExitsQuery {}

pub(super) async fn exits(
    reader: Reader,
    input: Input<ServiceName, ExitsQuery>,
) -> Result<Document<ExitsDocument>, Problem> {
    let Input { path: name, query, .. } = input;
    let view = reader.cache.latest().view.clone();
    if view.facts.get(&name).is_none() {
        return Err(unknown_service(name.as_str()));
    }
    let busy = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "other reports are being read; try again");
    let permit = READERS.try_acquire().map_err(|_| busy())?;
    let reading = tokio::task::spawn_blocking(move || {
        let mut exits = Files::new(&view.stack.state_dir).reports(&name);
        drop(permit);
        exits.retain(|report| query.number.is_none_or(|number| report.number == number));
        exits
    });
    let exits = reading.await.map_err(|_| busy())?;
    if let Some(number) = query.number.filter(|_| exits.is_empty()) {
        let detail = format!("there is no report {number}: the last 20 ends are kept");
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    }
    Ok(Document::of(&ExitsDocument::of(exits)))
}
