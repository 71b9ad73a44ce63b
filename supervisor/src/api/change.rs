//! The JSON in which the API is asked for changes, and tells what became of them.
//! Not here: what is (`document`), HTTP.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use supervisor_core::ServiceName;

use super::words::{Name, OperationNumber};
use crate::control::{OperationKind, Outcome, Plan};

/// `GET /api/v1/operations/ID`, and the answer to every change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct OperationDocument {
    pub(crate) schema_version: u32,
    pub(crate) operation: OperationEntry,
}

/// `GET /api/v1/operations`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct OperationsDocument {
    pub(crate) schema_version: u32,
    /// The last ones, the newest first.
    pub(crate) operations: Vec<OperationEntry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct OperationEntry {
    #[schemars(with = "OperationNumber")]
    pub(crate) id: String,
    pub(crate) kind: OperationKind,
    pub(crate) state: Outcome,
    #[schemars(with = "Vec<Name>")]
    pub(crate) services: Vec<ServiceName>,
    pub(crate) started_at: String,
    pub(crate) ended_at: Option<String>,
    /// What has become of each service.
    #[schemars(with = "BTreeMap<String, OutcomeEntry>")]
    pub(crate) outcomes: BTreeMap<ServiceName, OutcomeEntry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct OutcomeEntry {
    pub(crate) outcome: Outcome,
    /// Why, in words.
    pub(crate) cause: String,
}

/// The body of `POST /api/v1/{start,restart}`. No names means all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServicesRequest {
    #[schemars(with = "Vec<Name>")]
    pub(crate) services: Vec<ServiceName>,
}

/// The body of `POST /api/v1/stop`. No names means all, and the supervisor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StopRequest {
    #[schemars(with = "Vec<Name>")]
    pub(crate) services: Vec<ServiceName>,
    /// Kill at once.
    pub(crate) now: bool,
}

/// The answer to `POST /api/v1/reload`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ReloadDocument {
    pub(crate) schema_version: u32,
    pub(crate) result: ReloadResult,
    /// The configuration that is in force now.
    pub(crate) revision: Option<u64>,
    /// From the beginning of the reading until it was in force.
    pub(crate) took_ms: u64,
    #[serde(flatten)]
    pub(crate) plan: Plan,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ReloadResult {
    /// The files say what is in force already.
    Unchanged,
    /// What would be done, as `dry_run` asks.
    Planned,
    Applied,
}

/// The body of `POST /api/v1/alerts/test`. No names means all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AlertTestRequest {
    pub(crate) alerts: Vec<String>,
}

/// The answer to `POST /api/v1/alerts/test`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AlertTestDocument {
    pub(crate) schema_version: u32,
    pub(crate) alerts: Vec<AlertTestEntry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AlertTestEntry {
    pub(crate) name: String,
    pub(crate) arrived: bool,
    /// Why not, without secrets.
    pub(crate) error: Option<String>,
}
