//! What control shows to the API, and what the API may ask of control.
//! Not here: JSON, HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use supervisor_core::{ServiceName, ServiceSnapshot};
use tokio::sync::oneshot;

use crate::alerts::AlertState;
use crate::config::{Diagnostics, Launch, Stack};
use crate::control::api::operations::Operation;
use crate::control::telling::certificates::Shown;

/// One moment of the whole, published by the loop after each batch of events. Reading it takes no lock.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// Grows with each view.
    pub(crate) version: u64,
    pub(crate) stack: Arc<Stack>,
    pub(crate) config: Arc<ConfigView>,
    /// In the order of the file; empty until they have been looked at.
    pub(crate) alerts: Arc<Vec<AlertState>>,
    /// In the order of the file.
    pub(crate) services: Arc<Vec<Arc<ServiceSnapshot>>>,
    pub(crate) facts: Arc<BTreeMap<ServiceName, Arc<Facts>>>,
    pub(crate) certificates: Arc<Shown>,
    /// The oldest first.
    pub(crate) operations: Arc<Vec<Arc<Operation>>>,
    /// Add to a monotonic `Time` to get milliseconds since 1970, by the clock as it was then.
    pub(crate) wall_offset_ms: i64,
    pub(crate) keeper_pid: i32,
    /// Where `[http] listen` ended up.
    pub(crate) http: Option<SocketAddr>,
    pub(crate) shutting_down: bool,
}

/// Where the configuration in force comes from, and what became of the last one that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ConfigView {
    /// Grows with each configuration that changes something.
    pub(crate) revision: u64,
    /// In milliseconds since 1970.
    pub(crate) loaded_ms: i64,
    pub(crate) rejected: Option<Arc<Rejected>>,
    /// Keys that count from the next start of the supervisor on.
    pub(crate) pending: Vec<String>,
}

/// A configuration that is not in force, as it cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejected {
    /// When it was read first, in milliseconds since 1970.
    pub(crate) at_ms: i64,
    pub(crate) diagnostics: Arc<Diagnostics>,
}

/// What the shell knows about a service beyond decisions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// The executable of the newest generation, as it was when it was started.
    pub(crate) executable: Option<Executable>,
    /// The configuration that its newest generation was started with.
    pub(crate) revision: Option<u64>,
    /// How that was: after a rollback not as the files say.
    pub(crate) launch: Option<Arc<Launch>>,
    /// Its log files (one, or two when split).
    pub(crate) logs: Vec<PathBuf>,
    /// What went wrong with them.
    pub(crate) log_trouble: LogTrouble,
}

/// Output that a service's logs could not take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LogTrouble {
    pub(crate) dropped_bytes: u64,
    pub(crate) dropped_lines: u64,
    /// What is wrong now.
    pub(crate) error: Option<String>,
}

/// Identity of a file's content, as far as `stat` tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Executable {
    pub(crate) path: PathBuf,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// Nanoseconds since 1970.
    pub(crate) modified_ns: i64,
    pub(crate) size: u64,
}

/// A request to the loop. It is answered as soon as it is taken; what comes of it shows in later views.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) what: What,
    pub(crate) answer: oneshot::Sender<Result<Arc<Operation>, Refusal>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// With no name: all with autostart.
    Start(Vec<ServiceName>),
    /// With no name: everything and the supervisor.
    Stop {
        services: Vec<ServiceName>,
        now: bool,
    },
    /// With no name: all that are wanted up.
    Restart(Vec<ServiceName>),
    Signal {
        service: ServiceName,
        signal: i32,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    UnknownService(ServiceName),
    /// It has no process now.
    NotRunning(ServiceName),
    /// Nothing starts any more.
    ShuttingDown,
    /// Too many wait already.
    Busy,
}
