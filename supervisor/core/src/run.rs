//! One run of a service, a generation: where it is, from its birth to the end of its whole tree.
//! Not here: what it is for (see `slot`), and the ways between its stages (`starting`, `ending`, `clearing`).

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::event::SeenOff;
use crate::gates::Gates;
use crate::snapshot::{ExitReport, State};
use crate::spec::{ServiceSpec, Sign};
use crate::time::{Millis, Time};
use crate::vitals::Vitals;

#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Unique over all services for the life of the keeper.
    pub(crate) number: u64,
    /// 1, 2, 3 … per service.
    pub(crate) generation: u64,
    pub(crate) instance: u32,
    /// What it was started with, or has been brought up to since.
    pub(crate) spec: Arc<ServiceSpec>,
    /// When it was asked for: its start slot is counted from here.
    pub(crate) begun: Time,
    pub(crate) stage: Stage,
    /// Why it is where it is.
    pub(crate) cause: String,
    /// What it said at the end of its drain.
    pub(crate) seen_off: Option<SeenOff>,
    /// It will not die, and nobody was told yet.
    pub(crate) alarm: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum Stage {
    /// `Spawn` was given and not answered.
    Spawning { arrival: Arrival, shown: State },
    /// The process lives and is not ready.
    Starting { life: Life, gates: Gates },
    /// Ready, and watched.
    Ready { life: Life, ready: Time, vitals: Vitals },
    /// Another one serves; it finishes what it has begun.
    Draining { life: Life, ready: Time, until: Time },
    /// Its main process was asked to end.
    Stopping { life: Life, ready: Option<Time>, ending: Ending, force: Force },
    /// Its main process is gone; the rest of its tree is being ended.
    Clearing { life: Life, exit: ExitReport, ending: Ending, rest: Rest },
    /// Nothing of it is left, and its end is recorded.
    Over { exit: ExitReport, ending: Ending },
}

/// The facts of a process that exists, or existed until a moment ago.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) pid: i32,
    pub(crate) started: Time,
    pub(crate) status: Option<String>,
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
    /// It never began: somebody else holds its port.
    Busy,
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

impl Run {
    pub(crate) fn life(&self) -> Option<&Life> {
        match &self.stage {
            Stage::Starting { life, .. }
            | Stage::Ready { life, .. }
            | Stage::Draining { life, .. }
            | Stage::Stopping { life, .. }
            | Stage::Clearing { life, .. } => Some(life),
            Stage::Spawning { .. } | Stage::Over { .. } => None,
        }
    }

    /// Lives, and was not asked to end.
    pub(crate) fn unasked(&self) -> bool {
        match &self.stage {
            Stage::Starting { .. } | Stage::Ready { .. } | Stage::Draining { .. } => true,
            Stage::Spawning { .. } | Stage::Stopping { .. } | Stage::Clearing { .. } | Stage::Over { .. } => false,
        }
    }

    /// Ready, and not asked to end.
    pub(crate) fn serves(&self) -> bool {
        matches!(self.stage, Stage::Ready { .. })
    }

    /// It is not ready without this.
    pub(crate) fn awaits(&self, sign: Sign) -> bool {
        match &self.stage {
            Stage::Starting { gates, .. } => gates.awaits(sign),
            Stage::Spawning { .. }
            | Stage::Ready { .. }
            | Stage::Draining { .. }
            | Stage::Stopping { .. }
            | Stage::Clearing { .. }
            | Stage::Over { .. } => false,
        }
    }

    /// When it became ready, while its main process lives.
    pub(crate) fn ready(&self) -> Option<Time> {
        match &self.stage {
            Stage::Ready { ready, .. } | Stage::Draining { ready, .. } => Some(*ready),
            Stage::Stopping { ready, .. } => *ready,
            Stage::Spawning { .. } | Stage::Starting { .. } | Stage::Clearing { .. } | Stage::Over { .. } => None,
        }
    }

    /// Why it ends, if that has begun.
    pub(crate) fn ending_mut(&mut self) -> Option<&mut Ending> {
        match &mut self.stage {
            Stage::Stopping { ending, .. } | Stage::Clearing { ending, .. } => Some(ending),
            Stage::Spawning { .. }
            | Stage::Starting { .. }
            | Stage::Ready { .. }
            | Stage::Draining { .. }
            | Stage::Over { .. } => None,
        }
    }

    /// It ends because another one is to follow it.
    pub(crate) fn to_be_restarted(&self) -> bool {
        match &self.stage {
            Stage::Stopping { ending, .. } | Stage::Clearing { ending, .. } | Stage::Over { ending, .. } => {
                *ending == Ending::Asked(Again::Restart)
            }
            Stage::Spawning { .. } | Stage::Starting { .. } | Stage::Ready { .. } | Stage::Draining { .. } => false,
        }
    }

    /// When the start slot that it holds is free again.
    pub(crate) fn slot_until(&self, span: Millis) -> Option<Time> {
        match &self.stage {
            Stage::Spawning { .. } | Stage::Starting { .. } => Some(self.begun.after(span)),
            Stage::Ready { .. }
            | Stage::Draining { .. }
            | Stage::Stopping { .. }
            | Stage::Clearing { .. }
            | Stage::Over { .. } => None,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        match &self.stage {
            Stage::Starting { gates, .. } => gates.deadline(),
            Stage::Ready { vitals, .. } => vitals.deadline(),
            Stage::Draining { until, .. } => Some(*until),
            Stage::Stopping { force, .. } => Some(force.deadline()),
            Stage::Clearing { rest, .. } => Some(rest.force.deadline()),
            Stage::Spawning { .. } | Stage::Over { .. } => None,
        }
    }

    /// How hard its tree is pressed to end.
    pub(crate) fn force(&self) -> Option<Force> {
        match &self.stage {
            Stage::Stopping { force, .. } => Some(*force),
            Stage::Clearing { rest, .. } => Some(rest.force),
            Stage::Spawning { .. }
            | Stage::Starting { .. }
            | Stage::Ready { .. }
            | Stage::Draining { .. }
            | Stage::Over { .. } => None,
        }
    }

    /// It has a process that outlived `SIGKILL`: nobody should wait for it.
    pub(crate) fn undying(&self) -> bool {
        matches!(self.force(), Some(Force::Undying { .. }))
    }

    /// What its checks saw last, of those that fail.
    pub(crate) fn failing(&self) -> Vec<(String, String)> {
        match &self.stage {
            Stage::Starting { gates, .. } => gates.checks.failing(),
            Stage::Ready { vitals, .. } => vitals.checks.failing(),
            Stage::Spawning { .. }
            | Stage::Draining { .. }
            | Stage::Stopping { .. }
            | Stage::Clearing { .. }
            | Stage::Over { .. } => Vec::new(),
        }
    }

    /// Time stood still for `gap`. What would be held against it comes no sooner than `least`.
    pub(crate) fn shift(&mut self, gap: Millis, now: Time, least: Time) {
        match &mut self.stage {
            Stage::Starting { gates, .. } => gates.shift(gap, least),
            Stage::Ready { vitals, .. } => vitals.shift(gap, now),
            Stage::Draining { until, .. } => *until = until.after(gap).max(least),
            Stage::Stopping { force, .. } => force.shift(gap, least),
            Stage::Clearing { rest, .. } => rest.force.shift(gap, least),
            Stage::Spawning { .. } | Stage::Over { .. } => {}
        }
    }

    /// It goes by `new` from now on.
    pub(crate) fn update(&mut self, new: &Arc<ServiceSpec>, now: Time) {
        match &mut self.stage {
            Stage::Starting { gates, .. } => gates.update(&self.spec.ready, &new.ready, now),
            Stage::Ready { vitals, .. } => vitals.update(new.live.as_ref(), now),
            Stage::Spawning { .. }
            | Stage::Draining { .. }
            | Stage::Stopping { .. }
            | Stage::Clearing { .. }
            | Stage::Over { .. } => {}
        }
        self.spec = Arc::clone(new);
    }

    pub(crate) fn enter(&mut self, stage: Stage, cause: impl Into<String>) {
        self.stage = stage;
        self.cause = cause.into();
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

    fn shift(&mut self, gap: Millis, least: Time) {
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
