//! What can happen to a fleet.
//! Not here: what is done about it.

use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::snapshot::ExitReport;
use crate::spec::{CheckId, ServiceName, Sign};
use crate::time::{Millis, Time};

/// Everything that can happen. News of a run carries its number; news of a run that is over is ignored.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Someone wants these services up, with all that they depend on.
    StartRequested(Vec<ServiceName>),
    /// Someone wants these services down; those among them that depend on others go first.
    StopRequested(Vec<ServiceName>),
    /// Someone wants these services down at once: their trees are killed.
    KillRequested(Vec<ServiceName>),
    /// Someone wants each of these services ended and started again; one that is down is started.
    RestartRequested(Vec<ServiceName>),
    /// A validated new configuration is in force. Ignored during a shutdown.
    Replanned(Plan),
    /// Everything down, in order, by `within`; nothing starts any more. Ends with `Command::FinishShutdown`.
    ShutdownRequested {
        /// How long the whole may take.
        within: Millis,
    },
    /// As `ShutdownRequested`, but every tree is killed at once.
    ShutdownNowRequested,
    /// The process of `run` exists.
    Spawned {
        /// The run.
        run: u64,
        /// Its main process.
        pid: i32,
    },
    /// No process came to be for `run`.
    SpawnFailed {
        /// The run.
        run: u64,
        /// Why.
        failure: Failure,
    },
    /// The main process of `run` is gone.
    Exited {
        /// The run.
        run: u64,
        /// How.
        exit: ExitReport,
        /// Nothing else can be left of its tree (the cheap proof held); otherwise a survey is needed.
        alone: bool,
    },
    /// The rest of the tree of `run`, whose main process is gone: these processes live.
    Surveyed {
        /// The run.
        run: u64,
        /// Process ids; empty when the tree is gone.
        remaining: Vec<i32>,
    },
    /// A try of a check has ended.
    Probed {
        /// The run.
        run: u64,
        /// Which check.
        check: CheckId,
        /// When the try began.
        began: Time,
        /// What came of it.
        outcome: ProbeOutcome,
    },
    /// The service said by itself that it is ready.
    SignSeen {
        /// The run.
        run: u64,
        /// How.
        sign: Sign,
    },
    /// It cannot say so any more. Means nothing once it has.
    SignLost {
        /// The run.
        run: u64,
        /// How it would have.
        sign: Sign,
        /// Why not, in words: `descriptor 3 was closed without a newline`.
        reason: String,
    },
    /// `STATUS=…`, already made one printable line of at most 256 bytes.
    NotifiedStatus {
        /// The run.
        run: u64,
        /// The text.
        status: String,
    },
    /// `WATCHDOG=1`.
    NotifiedWatchdog {
        /// The run.
        run: u64,
    },
    /// `X_DRAINED=` and `X_CUT=`: how a drain has gone.
    NotifiedDrained {
        /// The run.
        run: u64,
        /// What became of its connections.
        seen_off: SeenOff,
    },
    /// A run uses more than it may. Told again as long as that is so.
    Overran {
        /// The run.
        run: u64,
        /// By how much.
        excess: Excess,
    },
    /// `next_deadline` has come.
    DeadlineReached,
}

/// What a generation says at the end of its drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenOff {
    /// Connections that were served to their end.
    pub drained: u64,
    /// Connections that were cut at the deadline.
    pub cut: u64,
}

impl SeenOff {
    /// Both together. They are a service's own words, so they may be any numbers.
    pub(crate) fn plus(self, other: Self) -> Self {
        let Self { drained, cut } = other;
        Self { drained: self.drained.saturating_add(drained), cut: self.cut.saturating_add(cut) }
    }
}

/// More than a run may use, in words: `uses 80 MiB of memory, more than limits.memory (64 MiB)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Excess {
    /// More than it should: it is replaced in its own time, once it has run for `restart.reset_after`.
    Soft(String),
    /// More than it may: its tree is killed.
    Hard(String),
}

/// What came of one try of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// It passed.
    Passed,
    /// It did not; the text says what was seen, in one line.
    Failed(String),
    /// It could not be tried, as the machine is short of something. That says nothing of the service.
    Untried(String),
}

/// Why no process came to be, or could not be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Failure {
    /// A step of the launch failed: counts as a failed run, with backoff.
    Launch {
        /// In words: `exec /usr/bin/node: no such file or directory (ENOENT)`.
        message: String,
    },
    /// A port is held by someone else: the service is `failed` and tried again every 5 s.
    PortBusy {
        /// In words: `port 8001 is held by pid 4242 (node)`.
        message: String,
    },
}

impl Failure {
    /// The cause in words.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Launch { message } | Self::PortBusy { message } => message,
        }
    }
}
