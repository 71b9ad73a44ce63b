//! `POST /api/v1/reload`: reads the files again, and says what came of it.
//! Not here: the reload itself.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::answer::Document;
use super::change::{ReloadDocument, ReloadResult};
use super::document::SCHEMA_VERSION;
use super::input::{Fixed, Input, Query};
use super::problem::Problem;
use super::site::Actor;
use crate::config::{Diagnostic, Diagnostics};
use crate::control::{Mode, Plan, Refusal, ReloadAsk, Reloaded};

/// A storm of changes is held back for ten seconds; then the files are read.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(25);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReloadQuery {
    /// Only say what would be done.
    dry_run: bool,
}

impl Query for ReloadQuery {}

pub(super) async fn reload(
    actor: Arc<Actor>,
    input: Input<Fixed, ReloadQuery>,
) -> Result<Document<ReloadDocument>, Problem> {
    let mode = if input.query.dry_run { Mode::DryRun } else { Mode::Apply };
    let unavailable = |detail: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
    let (sender, receiver) = oneshot::channel();
    actor.reloads.try_send(ReloadAsk { mode, answer: sender }).map_err(|error| match error {
        TrySendError::Full(_) => unavailable("too many requests wait already; try again"),
        TrySendError::Closed(_) => unavailable("the supervisor is ending"),
    })?;
    match tokio::time::timeout(ANSWER_TIMEOUT, receiver).await {
        Ok(Ok(Ok(reloaded))) => told(reloaded).map(|document| Document::of(&document)),
        Ok(Ok(Err(Refusal::ShuttingDown))) => {
            Err(Problem::new(StatusCode::CONFLICT, "the supervisor is shutting down"))
        }
        Ok(Ok(Err(Refusal::Busy | Refusal::UnknownService(_) | Refusal::NotRunning(_)))) => {
            Err(unavailable("too many requests wait already; try again"))
        }
        Ok(Err(_)) => Err(unavailable("the supervisor is ending")),
        Err(_) => Err(unavailable("the files were not read in time; see the supervisor's own log")),
    }
}

fn told(reloaded: Reloaded) -> Result<ReloadDocument, Problem> {
    let nothing = || ReloadDocument {
        schema_version: SCHEMA_VERSION,
        result: ReloadResult::Unchanged,
        revision: None,
        took_ms: 0,
        plan: Plan::default(),
    };
    match reloaded {
        Reloaded::Unchanged { revision } => Ok(ReloadDocument { revision: Some(revision), ..nothing() }),
        Reloaded::Planned { plan } => {
            Ok(ReloadDocument { result: ReloadResult::Planned, plan: Plan::clone(&plan), ..nothing() })
        }
        Reloaded::Applied { revision, took, plan } => Ok(ReloadDocument {
            result: ReloadResult::Applied,
            revision: Some(revision),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            plan: Plan::clone(&plan),
            ..nothing()
        }),
        Reloaded::Rejected { diagnostics } => Err(rejected(&diagnostics)),
    }
}

fn rejected(diagnostics: &Diagnostics) -> Problem {
    let errors = diagnostics.list.clone();
    let first = errors.first().map(Diagnostic::in_short).unwrap_or_default();
    let further = match errors.len().saturating_sub(1) + diagnostics.more {
        0 => String::new(),
        further => format!(" (and {further} more)"),
    };
    let detail = format!("the configuration is rejected, nothing has changed: {first}{further}");
    let mut problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
    problem.errors = errors;
    problem
}
