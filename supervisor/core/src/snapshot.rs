//! What the world may see of a fleet.
//! Not here: wall-clock time; the shell converts.

use serde::{Deserialize, Serialize};

use crate::event::SeenOff;
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

    /// Whether someone should look, and what at.
    #[must_use]
    pub fn alarm(self) -> Option<Alarm> {
        match self {
            Self::CrashLoop => Some(Alarm::CrashLoop),
            Self::Failed => Some(Alarm::Failed),
            Self::Unhealthy => Some(Alarm::Unhealthy),
            Self::Stopped
            | Self::Waiting
            | Self::Starting
            | Self::Running
            | Self::Rolling
            | Self::Backoff
            | Self::Stopping
            | Self::Completed => None,
        }
    }

    /// No run of it serves or comes up, and none is about to.
    #[must_use]
    pub fn is_down(self) -> bool {
        match self {
            Self::Stopped | Self::Completed | Self::Failed => true,
            Self::Waiting
            | Self::Starting
            | Self::Running
            | Self::Unhealthy
            | Self::Rolling
            | Self::Backoff
            | Self::CrashLoop
            | Self::Stopping => false,
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

/// A state that someone should look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// It ends again and again.
    CrashLoop,
    /// It is down, and not tried again soon.
    Failed,
    /// It lives, and does not answer.
    Unhealthy,
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
    /// The kernel wrote a core.
    #[serde(default)]
    pub core_dumped: bool,
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
    /// What it said of its connections at the end of its drain.
    pub seen_off: Option<SeenOff>,
    /// Whether memory was short; `None`: nothing hints at that.
    #[serde(default)]
    pub oom: Option<OutOfMemory>,
}

/// Why the kernel killed a process of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutOfMemory {
    /// It had come up against its own limit.
    Limit,
    /// The machine, or what is around the supervisor, was short of it.
    Machine,
    /// The machine killed something meanwhile. Whether it was this, nobody tells us.
    Unknown,
}

impl ExitReport {
    /// How it ended, or why we ended it.
    #[must_use]
    pub fn in_words(&self) -> String {
        crate::words::exit(self)
    }
}

impl OutOfMemory {
    /// As causes tell it.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Limit => "out of memory, at its own limit",
            Self::Machine => "out of memory, the machine was short of it",
            Self::Unknown => "perhaps out of memory, as the machine killed something then",
        }
    }
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

/// What a generation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It serves, or is the next one to, with nobody beside it.
    Serving,
    /// It comes up beside the one that serves.
    Starting,
    /// It is ready, and must stay so before it takes over.
    Baking,
    /// Another one serves; it finishes what it has begun.
    Draining,
    /// It is being ended.
    Ending,
}

/// A generation that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationSnapshot {
    /// Which instance it is.
    pub instance: u32,
    /// What it is for.
    pub role: Role,
    /// The revision of its spec.
    pub revision: u64,
    /// Why it is where it is, in words.
    pub cause: String,
    /// The facts of its run.
    pub run: RunSnapshot,
}

/// How far a rollout has come, for the instance that is being rolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutPhase {
    /// For its turn.
    Waiting,
    /// The successor comes up.
    Starting,
    /// The successor is ready, and must stay so.
    Baking,
    /// The successor serves; the one before finishes what it has begun.
    Draining,
    /// Nothing is left to do.
    Over,
}

/// What came of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutResult {
    /// Every instance is served by a new generation.
    Done,
    /// A new generation failed; the old spec serves.
    RolledBack,
    /// A newer request took its place.
    Superseded,
    /// The service was stopped meanwhile.
    Abandoned,
}

/// A rollout, as the world may see it. Spans are of the instance that was rolled last, if nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutSnapshot {
    /// 1, 2, 3 … per service.
    pub number: u64,
    /// Who wanted it, in words.
    pub cause: String,
    /// When (monotonic).
    pub asked: Time,
    /// How far it has come.
    pub phase: RolloutPhase,
    /// What came of it.
    pub result: Option<RolloutResult>,
    /// Why, when it did not go well.
    pub reason: Option<String>,
    /// Which instance is, or was last, rolled.
    pub instance: u32,
    /// The generation that served; 0 before there is a successor.
    pub from: u64,
    /// The generation that follows it; 0 before there is one.
    pub to: u64,
    /// How long the successor waited for its turn.
    pub waited: Option<Millis>,
    /// How long it took to be ready.
    pub starting: Option<Millis>,
    /// How long it baked.
    pub baking: Option<Millis>,
    /// How long after the result the last of those before was gone.
    pub draining: Option<Millis>,
    /// What those before said of their connections, over all instances.
    pub seen_off: Option<SeenOff>,
    /// The generations that it has replaced and that are not gone yet.
    #[serde(default)]
    pub leaving: Vec<u64>,
    /// From the request to the result, over all instances.
    pub took: Option<Millis>,
}

impl RolloutSnapshot {
    pub(crate) fn new(number: u64, cause: &str, asked: Time) -> Self {
        Self {
            number,
            cause: cause.to_owned(),
            asked,
            phase: RolloutPhase::Waiting,
            result: None,
            reason: None,
            instance: 0,
            from: 0,
            to: 0,
            waited: None,
            starting: None,
            baking: None,
            draining: None,
            seen_off: None,
            leaving: Vec::new(),
            took: None,
        }
    }
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
    /// It waits, and something that it depends on, at whatever distance, is down and not about to come up.
    pub in_vain: bool,
    /// Since when.
    pub since: Time,
    /// The live run that serves or is the next one to, if any; of several instances the first.
    pub run: Option<RunSnapshot>,
    /// How many instances the plan wants.
    pub instances: u32,
    /// Every generation that is not over.
    pub generations: Vec<GenerationSnapshot>,
    /// The rollout that is under way, or the last one.
    pub rollout: Option<RolloutSnapshot>,
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
