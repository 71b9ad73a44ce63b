//! The JSON in which the API tells what is, and which the CLI reads.
//! Not here: changes (`change`), HTTP. Never here: environment, arguments, or anything else that may hold a secret.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use supervisor_core::{HealthStatus, Kind, OutOfMemory, Role, RolloutPhase, RolloutResult, ServiceName, State};

use super::policy::{DependencyDocument, RestartDocument};
use super::words::{
    HealthWord, KindWord, Name, OutOfMemoryWord, RoleWord, RolloutPhaseWord, RolloutResultWord, StateWord,
};
use crate::certificates::Certificate;
use crate::config::Diagnostic;

/// Grows when a field changes its meaning or goes away; new fields do not count.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// `GET /api/v1/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct StatusDocument {
    pub(crate) schema_version: u32,
    #[serde(flatten)]
    pub(crate) supervisor: SupervisorDocument,
    pub(crate) config: ConfigDocument,
    /// In the order of the file.
    #[serde(default)]
    pub(crate) alerts: Vec<AlertDocument>,
    /// In the order of the file.
    pub(crate) services: Vec<ServiceDocument>,
}

/// The configuration in force, and what became of the last one that was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ConfigDocument {
    /// 1 at the start; one more for each configuration that changed something.
    pub(crate) revision: u64,
    pub(crate) loaded_at: String,
    pub(crate) auto_reload: bool,
    /// The files say something else, which cannot be.
    pub(crate) rejected: Option<RejectedDocument>,
    /// Keys whose new values count from the next start of the supervisor on.
    pub(crate) pending: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RejectedDocument {
    pub(crate) at: String,
    /// The first one first, in the order of the files.
    pub(crate) errors: Vec<Diagnostic>,
    /// So many more are not listed.
    pub(crate) more: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SupervisorDocument {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) file: PathBuf,
    /// The supervisor's own.
    #[serde(default)]
    pub(crate) log: Option<PathBuf>,
    pub(crate) keeper_pid: i32,
    pub(crate) control_pid: u32,
    /// Where `[http] listen` ended up.
    pub(crate) http: Option<SocketAddr>,
    pub(crate) shutting_down: bool,
    #[schemars(with = "HealthWord")]
    pub(crate) health: HealthStatus,
    /// Grows with every change of anything.
    pub(crate) view: u64,
}

/// One `[[alerts]]`, and how it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AlertDocument {
    pub(crate) name: String,
    /// `webhook`, `slack`, `discord`, `ntfy`, `email`, `command` or `desktop`.
    pub(crate) way: String,
    /// What is on its way.
    pub(crate) queued: u64,
    pub(crate) sent: u64,
    /// What was given up, or pushed out by newer ones.
    pub(crate) lost: u64,
    pub(crate) sent_at: Option<String>,
    /// Why the last try failed, without secrets; `null` after one that did not.
    pub(crate) error: Option<String>,
}

/// One service: an entry of `services`, and `GET /api/v1/services/NAME`. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ServiceDocument {
    #[schemars(with = "Name")]
    pub(crate) name: ServiceName,
    #[schemars(with = "KindWord")]
    pub(crate) kind: Kind,
    pub(crate) critical: bool,
    pub(crate) wanted: bool,
    #[schemars(with = "StateWord")]
    pub(crate) state: State,
    /// Why, in words.
    pub(crate) cause: String,
    /// It waits, and something that it depends on, at whatever distance, is down and not about to come up.
    #[serde(default)]
    pub(crate) waits_in_vain: bool,
    pub(crate) since: String,
    pub(crate) generation: u64,
    /// The configuration in which what it runs with last changed; `None` when it never ran.
    pub(crate) revision: Option<u64>,
    /// The same, of what it should run with.
    pub(crate) wanted_revision: Option<u64>,
    pub(crate) pid: Option<i32>,
    pub(crate) started: Option<String>,
    pub(crate) ready_since: Option<String>,
    pub(crate) restarts: u64,
    pub(crate) failures: u32,
    pub(crate) next_attempt: Option<String>,
    pub(crate) last_exit: Option<ExitDocument>,
    pub(crate) port: Option<u16>,
    pub(crate) ports: BTreeMap<String, u16>,
    pub(crate) bind: String,
    /// Where clients find it: a URL, or, where its port is only seen to accept, address and port.
    pub(crate) address: Option<String>,
    /// Its own words (`STATUS=`).
    pub(crate) status_text: Option<String>,
    pub(crate) failing: Vec<FailingCheck>,
    pub(crate) logs: Vec<PathBuf>,
    /// Output that the logs could not take, by this supervisor's count.
    pub(crate) log_dropped_bytes: u64,
    pub(crate) log_dropped_lines: u64,
    /// What is wrong with the logs now.
    pub(crate) log_error: Option<String>,
    /// That its checks over TLS saw last; of several, the one that ends first.
    #[serde(default)]
    pub(crate) certificate: Option<Certificate>,
    pub(crate) executable: Option<ExecutableDocument>,
    /// How many of it run side by side.
    pub(crate) instances: u32,
    /// `null` for a service that the configuration in force does not know any more.
    #[serde(default)]
    pub(crate) restart: Option<RestartDocument>,
    #[serde(default)]
    pub(crate) depends_on: Vec<DependencyDocument>,
    /// Every generation of which something lives: the ones that serve first.
    pub(crate) generations: Vec<GenerationDocument>,
    /// The rollout that is under way, or the last one.
    pub(crate) rollout: Option<RolloutDocument>,
    /// Only with `?resources=true`, and while something of its tree lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resources: Option<ResourcesDocument>,
}

/// A generation of which something lives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct GenerationDocument {
    /// From 0.
    pub(crate) instance: u32,
    pub(crate) generation: u64,
    #[schemars(with = "RoleWord")]
    pub(crate) role: Role,
    /// The number of the configuration that it was started with.
    pub(crate) revision: u64,
    pub(crate) pid: Option<i32>,
    pub(crate) started: String,
    pub(crate) ready_since: Option<String>,
    /// Why it is where it is, in words.
    pub(crate) cause: String,
}

/// One generation followed by the next. Spans are of the instance that was rolled last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RolloutDocument {
    /// Counts per service.
    pub(crate) number: u64,
    #[schemars(with = "RolloutPhaseWord")]
    pub(crate) phase: RolloutPhase,
    /// `null` while it is under way.
    #[schemars(with = "Option<RolloutResultWord>")]
    pub(crate) result: Option<RolloutResult>,
    /// How far it has come, in words.
    pub(crate) text: String,
    pub(crate) asked_at: String,
    pub(crate) instance: u32,
    /// The generation that served; 0 before there is a next one.
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) waited_ms: Option<u64>,
    pub(crate) starting_ms: Option<u64>,
    pub(crate) baking_ms: Option<u64>,
    pub(crate) draining_ms: Option<u64>,
    /// Over all instances, from the request to the result.
    pub(crate) took_ms: Option<u64>,
    /// Connections that the one before served to their end, if it says so.
    pub(crate) drained: Option<u64>,
    /// Connections that it had to cut.
    pub(crate) cut: Option<u64>,
}

/// What the whole tree of a service uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ResourcesDocument {
    pub(crate) sampled_at: String,
    /// Cores in use since the sample before, if that was less than a minute ago; else on average since the start.
    pub(crate) cpu_cores: f64,
    /// CPU time of all its runs that this control has seen.
    pub(crate) cpu_ms: u64,
    /// Resident sets (RSS) added up: shared pages count for each process.
    pub(crate) memory_bytes: u64,
    /// `null` where the kernel does not tell.
    pub(crate) open_fds: Option<u64>,
    pub(crate) threads: Option<u64>,
    pub(crate) processes: u64,
}

/// How the last run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ExitDocument {
    pub(crate) generation: u64,
    pub(crate) pid: i32,
    pub(crate) code: Option<i32>,
    /// Without `SIG`.
    pub(crate) signal: Option<String>,
    /// The kernel wrote a core.
    #[serde(default)]
    pub(crate) core_dumped: bool,
    pub(crate) reason: Option<String>,
    /// We asked it to end.
    pub(crate) asked: bool,
    pub(crate) at: String,
    pub(crate) ran_ms: u64,
    pub(crate) cpu_ms: u64,
    pub(crate) max_rss_bytes: u64,
    pub(crate) leftovers: Vec<i32>,
    /// Whether the kernel killed it, or a part of it, for want of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<OutOfMemoryWord>")]
    pub(crate) oom: Option<OutOfMemory>,
}

/// A check of the live run whose last try failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FailingCheck {
    pub(crate) check: String,
    pub(crate) answer: String,
}

/// The file that the newest generation was started from, as it was then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ExecutableDocument {
    pub(crate) path: PathBuf,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) modified_ns: i64,
    pub(crate) size: u64,
}

/// `GET /api/v1/services`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ServicesDocument {
    pub(crate) schema_version: u32,
    pub(crate) services: Vec<ServiceDocument>,
}

/// `GET /api/v1/services/NAME`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct OneServiceDocument {
    pub(crate) schema_version: u32,
    #[serde(flatten)]
    pub(crate) service: ServiceDocument,
}

/// `GET /health`: the services that are wanted up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct HealthDocument {
    pub(crate) schema_version: u32,
    #[schemars(with = "HealthWord")]
    pub(crate) status: HealthStatus,
    #[schemars(with = "BTreeMap<String, HealthEntry>")]
    pub(crate) services: BTreeMap<ServiceName, HealthEntry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct HealthEntry {
    #[schemars(with = "StateWord")]
    pub(crate) state: State,
    pub(crate) critical: bool,
    pub(crate) since: String,
    pub(crate) cause: String,
}

/// `GET /status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ShortDocument {
    pub(crate) schema_version: u32,
    pub(crate) name: String,
    #[schemars(with = "HealthWord")]
    pub(crate) status: HealthStatus,
    #[schemars(with = "BTreeMap<String, ShortEntry>")]
    pub(crate) services: BTreeMap<ServiceName, ShortEntry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ShortEntry {
    #[schemars(with = "StateWord")]
    pub(crate) state: State,
    pub(crate) pid: Option<i32>,
    pub(crate) started: Option<String>,
    pub(crate) restarts: u64,
    pub(crate) address: Option<String>,
}

/// `GET /livez`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AliveDocument {
    pub(crate) schema_version: u32,
    pub(crate) status: Alive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Alive {
    Alive,
}

/// RFC 9457. `type` is always `about:blank`: the title is that of the status code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ProblemDocument {
    pub(crate) schema_version: u32,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) status: u16,
    pub(crate) detail: String,
    /// The path that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) instance: Option<String>,
    /// Of a configuration that is rejected: all that is wrong with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<Diagnostic>,
}
