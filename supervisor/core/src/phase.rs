//! Where a service is: the phases, each with what only it has, its deadlines included.
//! Not here: the way from one to the next (see `service` and its parts).

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::checks::{Gates, Vitals};
use crate::snapshot::{ExitReport, State};
use crate::spec::{Condition, ServiceSpec};
use crate::time::{Millis, Time};

#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// Down because nobody wants it.
    Stopped,
    /// Down because it is done.
    Completed,
    /// Down although it is wanted; for good without `retry_at`.
    Failed { retry_at: Option<Time> },
    /// Started as soon as nothing blocks it.
    Waiting { blocker: Option<Blocker> },
    /// Ended; started again at `until`.
    Backoff { until: Time, crash_loop: bool },
    /// `Spawn` was given and not answered.
    Spawning { run: u64, spec: Arc<ServiceSpec>, begun: Time, arrival: Arrival, shown: State },
    /// The process lives and is not ready.
    Starting { live: Live, gates: Gates },
    /// Ready.
    Running { live: Live, ready: Time, vitals: Vitals },
    /// Its main process was asked to end.
    Stopping { live: Live, ready: Option<Time>, ending: Ending, force: Force },
    /// Its main process is gone; the rest of its tree is being ended.
    Clearing { live: Live, exit: ExitReport, ending: Ending, rest: Rest },
}

/// The facts of a run whose process exists, or existed until a moment ago.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) run: u64,
    /// What it was started with, or has been brought up to since.
    pub(crate) spec: Arc<ServiceSpec>,
    pub(crate) pid: i32,
    /// When it was asked for: its start slot is counted from here.
    pub(crate) begun: Time,
    pub(crate) started: Time,
    pub(crate) status: Option<String>,
}

/// What keeps a waiting service from being started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocker {
    Dependency { on: usize, condition: Condition, state: State },
    NoSlot,
}

/// What is done with a process that is being made, once it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Whatever is wanted then.
    AsWanted,
    /// It is stopped and started again: it was asked for before the restart was.
    Replace,
    /// It is killed.
    Kill,
}

/// Why a run ends, which says what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By itself.
    Own,
    /// It never began: no process came to be.
    Unborn,
    /// We ended it: it was not ready in time.
    Unready(String),
    /// We ended it: its liveness failed.
    Unhealthy(String),
    /// Someone asked for it. If it is wanted by then, it is started again at once.
    Asked(Again),
}

/// As what a start after a requested end counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// As one by hand.
    Fresh,
    /// As a restart.
    Restart,
}

/// How hard a tree is pressed to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Force {
    /// Asked politely; killed at `kill_at`.
    Polite { kill_at: Time },
    /// Killed; should be gone by `gone_by`.
    Killed { gone_by: Time },
    /// It will not die. It is killed again at `again_at`.
    Undying { again_at: Time },
}

/// What is left of a tree without its main process.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    pub(crate) force: Force,
    /// As the last survey told.
    pub(crate) remaining: Vec<i32>,
    /// Those that got `SIGTERM`.
    pub(crate) asked: BTreeSet<i32>,
    /// Those that got `SIGKILL`.
    pub(crate) killed: BTreeSet<i32>,
}

impl Phase {
    /// The run that is not over.
    pub(crate) fn run(&self) -> Option<u64> {
        match self {
            Self::Spawning { run, .. } => Some(*run),
            Self::Starting { live, .. }
            | Self::Running { live, .. }
            | Self::Stopping { live, .. }
            | Self::Clearing { live, .. } => Some(live.run),
            Self::Stopped | Self::Completed | Self::Failed { .. } | Self::Waiting { .. } | Self::Backoff { .. } => None,
        }
    }

    /// The facts of the run whose process exists, or existed until a moment ago.
    pub(crate) fn live(&self) -> Option<&Live> {
        match self {
            Self::Starting { live, .. }
            | Self::Running { live, .. }
            | Self::Stopping { live, .. }
            | Self::Clearing { live, .. } => Some(live),
            Self::Stopped
            | Self::Completed
            | Self::Failed { .. }
            | Self::Waiting { .. }
            | Self::Backoff { .. }
            | Self::Spawning { .. } => None,
        }
    }

    /// What the run that is not over goes by.
    pub(crate) fn spec(&self) -> Option<&Arc<ServiceSpec>> {
        if let Self::Spawning { spec, .. } = self { Some(spec) } else { self.live().map(|live| &live.spec) }
    }

    /// When the start slot that it holds is free again.
    pub(crate) fn slot_until(&self, span: Millis) -> Option<Time> {
        match self {
            Self::Spawning { begun, .. } => Some(begun.after(span)),
            Self::Starting { live, .. } => Some(live.begun.after(span)),
            Self::Running { .. }
            | Self::Stopping { .. }
            | Self::Clearing { .. }
            | Self::Stopped
            | Self::Completed
            | Self::Failed { .. }
            | Self::Waiting { .. }
            | Self::Backoff { .. } => None,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        match self {
            Self::Failed { retry_at } => *retry_at,
            Self::Backoff { until, .. } => Some(*until),
            Self::Starting { gates, .. } => gates.deadline(),
            Self::Running { vitals, .. } => vitals.deadline(),
            Self::Stopping { force, .. } => Some(force.deadline()),
            Self::Clearing { rest, .. } => Some(rest.force.deadline()),
            Self::Stopped | Self::Completed | Self::Waiting { .. } | Self::Spawning { .. } => None,
        }
    }

    /// How hard its tree is pressed to end.
    pub(crate) fn force(&self) -> Option<Force> {
        match self {
            Self::Stopping { force, .. } => Some(*force),
            Self::Clearing { rest, .. } => Some(rest.force),
            Self::Stopped
            | Self::Completed
            | Self::Failed { .. }
            | Self::Waiting { .. }
            | Self::Backoff { .. }
            | Self::Spawning { .. }
            | Self::Starting { .. }
            | Self::Running { .. } => None,
        }
    }

    pub(crate) fn set_force(&mut self, new: Force) {
        if let Self::Stopping { force, .. } | Self::Clearing { rest: Rest { force, .. }, .. } = self {
            *force = new;
        }
    }

    /// Time stood still for `gap`. What would be held against a service comes no sooner than `least`.
    pub(crate) fn shift(&mut self, gap: Millis, now: Time, least: Time) {
        match self {
            Self::Failed { retry_at } => *retry_at = retry_at.map(|at| at.after(gap)),
            Self::Backoff { until, .. } => *until = until.after(gap),
            Self::Starting { gates, .. } => gates.shift(gap, least),
            Self::Running { vitals, .. } => vitals.shift(gap, now),
            Self::Stopping { force, .. } => force.shift(gap, least),
            Self::Clearing { rest, .. } => rest.force.shift(gap, least),
            Self::Stopped | Self::Completed | Self::Waiting { .. } | Self::Spawning { .. } => {}
        }
    }
}

impl Force {
    pub(crate) fn is_polite(self) -> bool {
        match self {
            Self::Polite { .. } => true,
            Self::Killed { .. } | Self::Undying { .. } => false,
        }
    }

    pub(crate) fn deadline(self) -> Time {
        match self {
            Self::Polite { kill_at } => kill_at,
            Self::Killed { gone_by } => gone_by,
            Self::Undying { again_at } => again_at,
        }
    }

    pub(crate) fn shift(&mut self, gap: Millis, least: Time) {
        match self {
            Self::Polite { kill_at: at } | Self::Killed { gone_by: at } | Self::Undying { again_at: at } => {
                *at = at.after(gap).max(least);
            }
        }
    }
}

impl Rest {
    pub(crate) fn new(force: Force) -> Self {
        Self { force, remaining: Vec::new(), asked: BTreeSet::new(), killed: BTreeSet::new() }
    }
}
