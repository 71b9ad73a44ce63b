//! What the world may see of a fleet.
//! Not here: wall-clock time; the shell converts.

use serde::{Deserialize, Serialize};

use crate::spec::{Kind, ServiceName};
use crate::time::{Millis, Time};

/// The states of interface, as users see them. Anything finer is a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Down, and wanted down.
    Stopped,
    /// Wanted up, but a dependency (or a start slot) is not there yet.
    Waiting,
    /// Its process exists or is being made; not ready.
    Starting,
    /// Ready.
    Running,
    /// Ready once, but its liveness failed; it is being replaced.
    Unhealthy,
    /// Two generations at once.
    Rolling,
    /// Ended; waiting for its next start.
    Backoff,
    /// Ended again and again; waiting for its next start at the longest delay.
    CrashLoop,
    /// Being stopped.
    Stopping,
    /// Ran to completion with success.
    Completed,
    /// Down although wanted up, and not tried again soon.
    Failed,
}

impl State {
    /// Ready, or completed with success.
    #[must_use]
    pub fn is_well(self) -> bool {
        match self {
            Self::Running | Self::Rolling | Self::Completed => true,
            Self::Stopped
            | Self::Waiting
            | Self::Starting
            | Self::Unhealthy
            | Self::Backoff
            | Self::CrashLoop
            | Self::Stopping
            | Self::Failed => false,
        }
    }

    /// The word that users see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Unhealthy => "unhealthy",
            Self::Rolling => "rolling",
            Self::Backoff => "backoff",
            Self::CrashLoop => "crash-loop",
            Self::Stopping => "stopping",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExitReport {
    /// The generation.
    pub generation: u64,
    /// Its main process; 0 when none came to be.
    pub pid: i32,
    /// The exit code, when it exited.
    pub code: Option<i32>,
    /// The number of the signal, when one ended it.
    pub signal: Option<i32>,
    /// Why no process came to be, or why we ended it (`start deadline of 60s passed`).
    pub reason: Option<String>,
    /// We asked it to end.
    pub asked: bool,
    /// When (monotonic).
    pub at: Time,
    /// How long it ran, in milliseconds.
    pub ran: Millis,
    /// CPU time of the main process and its waited-for children, in milliseconds.
    pub cpu: Millis,
    /// Greatest resident set of the main process, in bytes.
    pub max_rss: u64,
    /// Processes of its tree that had to be killed after it, or that could not be.
    pub leftovers: Vec<i32>,
}

/// A live run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSnapshot {
    /// The run.
    pub run: u64,
    /// The generation.
    pub generation: u64,
    /// Its main process; `None` while it is being made or when only the rest of its tree lives.
    pub pid: Option<i32>,
    /// When it was started.
    pub started: Time,
    /// When it became ready.
    pub ready: Option<Time>,
    /// The service's own words (`STATUS=`).
    pub status: Option<String>,
}

/// One service, as the world may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSnapshot {
    /// Its name.
    pub name: ServiceName,
    /// Runs for ever, or to completion.
    pub kind: Kind,
    /// Counts in the aggregate health.
    pub critical: bool,
    /// Wanted up.
    pub wanted: bool,
    /// Its state.
    pub state: State,
    /// Why, in words.
    pub cause: String,
    /// Since when.
    pub since: Time,
    /// The live run, if any.
    pub run: Option<RunSnapshot>,
    /// The newest generation.
    pub generation: u64,
    /// Restarts since it was last started by hand.
    pub restarts: u64,
    /// Failures in a row, as the restart policy counts them.
    pub failures: u32,
    /// When it is tried next.
    pub next_attempt: Option<Time>,
    /// How the last run ended.
    pub last_exit: Option<ExitReport>,
    /// The last failed try of each check of the live run: title, answer.
    pub failing: Vec<(String, String)>,
}
