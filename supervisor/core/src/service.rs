//! One service: its want, its phase, and what requests do to them.
//! Not here: other services (see `fleet`); the life of a run (see `starting` and `ending`); how it looks (see `view`).

use std::sync::Arc;

use crate::command::{Command, Memory};
use crate::phase::{Again, Arrival, Ending, Phase};
use crate::restart::Random;
use crate::snapshot::{ExitReport, ServiceSnapshot, State};
use crate::spec::{Kind, ServiceSpec};
use crate::time::Time;

/// What somebody wants of a service, whatever it does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    Up,
    Down,
}

/// What a service needs besides itself while something is handled, and where its commands go.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) now: Time,
    /// When we last came out of a stall: a failure that began before says nothing.
    pub(crate) resumed: Time,
    pub(crate) random: Random,
    pub(crate) out: Vec<Command>,
}

/// Why a service is restarted that nobody asked to.
pub(crate) const REPLACED: &str = "replaced by a new configuration";

#[derive(Debug)]
pub(crate) struct Service {
    /// As the plan in force has it; what runs may go by an older one.
    pub(crate) spec: Arc<ServiceSpec>,
    pub(crate) want: Want,
    pub(crate) phase: Phase,
    pub(crate) cause: String,
    pub(crate) generation: u64,
    /// The run of the newest generation, over or not.
    pub(crate) run: u64,
    /// The revision of the newest generation.
    pub(crate) revision: u64,
    /// Not in the plan any more: forgotten as soon as it is down.
    pub(crate) leaving: bool,
    pub(crate) failures: u32,
    pub(crate) restarts: u64,
    /// Of the last run that is over with all its tree.
    pub(crate) last_exit: Option<ExitReport>,
    /// The state that was reported last, and since when it is so.
    pub(crate) shown: State,
    pub(crate) since: Time,
    /// What was given to `Remember` last.
    pub(crate) remembered: Memory,
    /// Not yet shown and remembered as it is now.
    pub(crate) changed: bool,
    /// The last snapshot, unless it is out of date.
    pub(crate) view: Option<Arc<ServiceSnapshot>>,
}

impl Service {
    pub(crate) fn new(spec: Arc<ServiceSpec>) -> Self {
        Self {
            spec,
            want: Want::Down,
            phase: Phase::Stopped,
            cause: "not started yet".to_owned(),
            generation: 0,
            run: 0,
            revision: 0,
            leaving: false,
            failures: 0,
            restarts: 0,
            last_exit: None,
            shown: State::Stopped,
            since: Time::default(),
            remembered: Memory::default(),
            changed: false,
            view: None,
        }
    }

    /// Someone named it: its counters begin anew, and no wait holds it.
    pub(crate) fn start(&mut self, turn: &mut Turn) {
        if self.is_outdated() {
            self.restart(REPLACED, turn);
        }
        match &mut self.phase {
            Phase::Stopped
            | Phase::Completed
            | Phase::Failed { .. }
            | Phase::Backoff { .. }
            | Phase::Waiting { .. } => {
                self.begin_anew();
                self.enter(Phase::Waiting { blocker: None }, "asked to start");
            }
            Phase::Spawning { .. } | Phase::Starting { .. } | Phase::Running { .. } => {}
            Phase::Stopping { ending, .. } | Phase::Clearing { ending, .. } => {
                let on_its_way = self.want == Want::Up && *ending == Ending::Asked(Again::Restart);
                if !on_its_way {
                    *ending = Ending::Asked(Again::Fresh);
                    self.begin_anew();
                }
            }
        }
        self.wish(Want::Up);
    }

    /// Something that was started depends on it. What has completed stays so.
    pub(crate) fn need(&mut self, turn: &mut Turn) {
        if self.is_outdated() {
            self.restart(REPLACED, turn);
        }
        match &mut self.phase {
            Phase::Stopped | Phase::Failed { .. } | Phase::Backoff { .. } => {
                self.enter(Phase::Waiting { blocker: None }, "needed by another service");
            }
            Phase::Stopping { ending, .. } | Phase::Clearing { ending, .. } => {
                if self.want == Want::Down {
                    *ending = Ending::Asked(Again::Fresh);
                }
            }
            Phase::Completed
            | Phase::Waiting { .. }
            | Phase::Spawning { .. }
            | Phase::Starting { .. }
            | Phase::Running { .. } => {}
        }
        self.wish(Want::Up);
    }

    /// Someone wants it down. What lives is asked to end when it is its turn.
    pub(crate) fn stop(&mut self, turn: &mut Turn) {
        self.wish(Want::Down);
        match &self.phase {
            Phase::Completed | Phase::Failed { .. } | Phase::Waiting { .. } | Phase::Backoff { .. } => {
                self.close(Phase::Stopped, "stopped", turn);
            }
            Phase::Stopped
            | Phase::Spawning { .. }
            | Phase::Starting { .. }
            | Phase::Running { .. }
            | Phase::Stopping { .. }
            | Phase::Clearing { .. } => {}
        }
    }

    /// Someone wants it ended and started again.
    pub(crate) fn restart(&mut self, cause: &str, turn: &mut Turn) {
        match &mut self.phase {
            Phase::Stopped | Phase::Completed | Phase::Failed { .. } => self.start(turn),
            Phase::Waiting { .. } => {}
            Phase::Backoff { .. } => {
                self.failures = 0;
                self.enter(Phase::Waiting { blocker: None }, cause);
            }
            Phase::Spawning { arrival, .. } => {
                if *arrival == Arrival::AsWanted {
                    *arrival = Arrival::Replace;
                }
            }
            Phase::Starting { .. } | Phase::Running { .. } => {
                self.end(Ending::Asked(Again::Restart), cause.to_owned(), turn);
            }
            Phase::Stopping { ending, .. } | Phase::Clearing { ending, .. } => {
                *ending = Ending::Asked(Again::Restart);
            }
        }
        self.wish(Want::Up);
    }

    pub(crate) fn begin_anew(&mut self) {
        self.failures = 0;
        self.restarts = 0;
    }

    pub(crate) fn wish(&mut self, want: Want) {
        if self.want != want {
            self.want = want;
            self.touch();
        }
    }

    pub(crate) fn enter(&mut self, phase: Phase, cause: impl Into<String>) {
        self.phase = phase;
        self.cause = cause.into();
        self.touch();
    }

    /// Enters a phase in which clients are refused.
    pub(crate) fn close(&mut self, phase: Phase, cause: impl Into<String>, turn: &mut Turn) {
        self.enter(phase, cause);
        turn.out.push(Command::CloseListeners { service: self.spec.name.clone() });
    }

    /// The same phase, for another reason.
    pub(crate) fn explain(&mut self, cause: String) {
        if self.cause != cause {
            self.cause = cause;
            self.touch();
        }
    }

    pub(crate) fn touch(&mut self) {
        self.changed = true;
        self.view = None;
    }

    /// What lives was to go, and is not what the plan in force means.
    fn is_outdated(&self) -> bool {
        !self.wanted() && self.phase.spec().is_some_and(|spec| spec.revision != self.spec.revision)
    }

    pub(crate) fn wanted(&self) -> bool {
        self.want == Want::Up
    }

    /// Nothing of it lives, as far as anyone can tell.
    pub(crate) fn down(&self) -> bool {
        self.phase.run().is_none()
    }

    /// It is as it should be while it is wanted: what depends on its being ready may start.
    pub(crate) fn ready(&self) -> bool {
        match self.spec.kind {
            Kind::Service => matches!(self.state(), State::Running | State::Rolling),
            Kind::Oneshot => matches!(self.phase, Phase::Completed),
        }
    }
}
