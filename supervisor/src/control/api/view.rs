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
    pub(crate) facts: Arc<Known>,
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

/// The facts of each service, in the order of names. Where many start, each view has one that differs in a few: a copy
/// shares all of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known(Vec<Arc<(ServiceName, Facts)>>);

impl Known {
    pub(crate) fn get(&self, service: &ServiceName) -> Option<&Facts> {
        let place = self.place(service).ok()?;
        self.0.get(place).map(|known| &known.1)
    }

    pub(crate) fn get_mut(&mut self, service: &ServiceName) -> Option<&mut Facts> {
        let place = self.place(service).ok()?;
        self.0.get_mut(place).map(|known| &mut Arc::make_mut(known).1)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ServiceName, &Facts)> {
        self.0.iter().map(|known| (&known.0, &known.1))
    }

    pub(crate) fn remove(&mut self, service: &ServiceName) {
        if let Ok(place) = self.place(service) {
            self.0.remove(place);
        }
    }

    fn place(&self, service: &ServiceName) -> Result<usize, usize> {
        self.0.binary_search_by(|known| known.0.cmp(service))
    }
}

impl FromIterator<(ServiceName, Facts)> for Known {
    fn from_iter<I: IntoIterator<Item = (ServiceName, Facts)>>(facts: I) -> Self {
        // One for each name, in order.
        let facts: BTreeMap<ServiceName, Facts> = facts.into_iter().collect();
        Self(facts.into_iter().map(Arc::new).collect())
    }
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
