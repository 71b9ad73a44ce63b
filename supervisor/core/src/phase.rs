//! Where a slot is: one run, or the reason why there is none, with its deadline.
//! Not here: the way from one to the next (see `slot` and `verdict`).

use crate::run::Run;
use crate::snapshot::State;
use crate::spec::Condition;
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
    /// A run that serves, comes up or ends.
    Up(Box<Run>),
}

/// What keeps a run from being started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocker {
    Dependency {
        on: usize,
        condition: Condition,
        state: State,
    },
    NoSlot,
    /// An earlier generation is not gone, and two must not run at once.
    Predecessor {
        generation: u64,
    },
}

impl Phase {
    pub(crate) fn run(&self) -> Option<&Run> {
        if let Self::Up(run) = self { Some(run) } else { None }
    }

    pub(crate) fn run_mut(&mut self) -> Option<&mut Run> {
        if let Self::Up(run) = self { Some(run) } else { None }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        match self {
            Self::Failed { retry_at } => *retry_at,
            Self::Backoff { until, .. } => Some(*until),
            Self::Up(run) => run.deadline(),
            Self::Stopped | Self::Completed | Self::Waiting { .. } => None,
        }
    }

    /// When a start is tried next.
    pub(crate) fn next_attempt(&self) -> Option<Time> {
        match self {
            Self::Failed { retry_at } => *retry_at,
            Self::Backoff { until, .. } => Some(*until),
            Self::Stopped | Self::Completed | Self::Waiting { .. } | Self::Up(_) => None,
        }
    }

    /// Clients are refused: nothing will be there soon.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Stopped | Self::Completed | Self::Failed { retry_at: None } => true,
            Self::Failed { retry_at: Some(_) } | Self::Waiting { .. } | Self::Backoff { .. } | Self::Up(_) => false,
        }
    }

    /// Time stood still for `gap`. What would be held against a service comes no sooner than `least`.
    pub(crate) fn shift(&mut self, gap: Millis, now: Time, least: Time) {
        match self {
            Self::Failed { retry_at } => *retry_at = retry_at.map(|at| at.after(gap)),
            Self::Backoff { until, .. } => *until = until.after(gap),
            Self::Up(run) => run.shift(gap, now, least),
            Self::Stopped | Self::Completed | Self::Waiting { .. } => {}
        }
    }
}
