//! One instance of a service: the run that serves, the one that is to follow it, and those that are on their way out.
//! Not here: the service as a whole (see `service`), and how one generation follows another (see `rollout`).

use std::sync::Arc;

use crate::phase::Phase;
use crate::run::{Again, Arrival, Ending, Run, Stage};
use crate::service::{Turn, Want};
use crate::snapshot::ExitReport;
use crate::spec::ServiceSpec;
use crate::time::{Millis, Time};

/// So many generations may drain at once; the oldest is killed beyond that, or a client that never leaves would keep
/// every generation there ever was.
const MOST_DRAINING: usize = 3;

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) instance: u32,
    pub(crate) phase: Phase,
    /// Of a phase without a run.
    pub(crate) cause: String,
    /// It comes up while the other serves.
    pub(crate) successor: Option<Box<Run>>,
    /// They drain, or are ended; the oldest first.
    pub(crate) leaving: Vec<Run>,
    /// The last switch, while the one that took over may still turn out to be bad.
    pub(crate) warm: Option<Warm>,
    pub(crate) failures: u32,
    pub(crate) restarts: u64,
    /// Of the last run that is over with all its tree.
    pub(crate) last_exit: Option<ExitReport>,
}

/// What to go back to.
#[derive(Debug, Clone)]
pub(crate) struct Warm {
    pub(crate) spec: Arc<ServiceSpec>,
    pub(crate) until: Time,
}

impl Slot {
    pub(crate) fn new(instance: u32) -> Self {
        Self {
            instance,
            phase: Phase::Stopped,
            cause: "not started yet".to_owned(),
            successor: None,
            leaving: Vec::new(),
            warm: None,
            failures: 0,
            restarts: 0,
            last_exit: None,
        }
    }

    /// Someone named it: its counters begin anew, and no wait holds it.
    pub(crate) fn start(&mut self, want: Want) {
        match &mut self.phase {
            Phase::Stopped
            | Phase::Completed
            | Phase::Failed { .. }
            | Phase::Backoff { .. }
            | Phase::Waiting { .. } => {
                self.begin_anew();
                self.enter(Phase::Waiting { blocker: None }, "asked to start");
            }
            Phase::Up(run) => {
                let Some(ending) = run.ending_mut() else { return };
                let on_its_way = want == Want::Up && *ending == Ending::Asked(Again::Restart);
                if !on_its_way {
                    *ending = Ending::Asked(Again::Fresh);
                    self.begin_anew();
                }
            }
        }
    }

    /// Something that was started depends on it. What has completed stays so.
    pub(crate) fn need(&mut self, want: Want) {
        match &mut self.phase {
            Phase::Stopped | Phase::Failed { .. } | Phase::Backoff { .. } => {
                self.enter(Phase::Waiting { blocker: None }, "needed by another service");
            }
            Phase::Up(run) => {
                if let Some(ending) = run.ending_mut()
                    && want == Want::Down
                {
                    *ending = Ending::Asked(Again::Fresh);
                }
            }
            Phase::Completed | Phase::Waiting { .. } => {}
        }
    }

    /// Nobody wants it any more. What lives is asked to end when it is its turn.
    pub(crate) fn stop(&mut self, turn: &mut Turn) {
        self.warm = None;
        if let Some(successor) = self.successor.take() {
            self.dismiss(*successor, "asked to stop", turn);
        }
        match &mut self.phase {
            Phase::Completed | Phase::Failed { .. } | Phase::Waiting { .. } | Phase::Backoff { .. } => {
                self.enter(Phase::Stopped, "stopped");
            }
            Phase::Up(run) => {
                if let Stage::Spawning { arrival, .. } = &mut run.stage
                    && *arrival == Arrival::Replace
                {
                    *arrival = Arrival::AsWanted;
                }
            }
            Phase::Stopped => {}
        }
    }

    /// Everything of it that lives is asked to end, now.
    pub(crate) fn end_all(&mut self, turn: &mut Turn) {
        for run in self.phase.run_mut().into_iter().chain(&mut self.leaving) {
            run.end(Ending::Asked(Again::Fresh), "asked to stop", turn);
        }
    }

    /// Everything of it that lives is killed, now.
    pub(crate) fn kill_all(&mut self, turn: &mut Turn) {
        for run in self.phase.run_mut().into_iter().chain(&mut self.leaving) {
            run.kill("killed, as asked", turn);
        }
    }

    /// Someone wants it ended and started again; never two at once.
    pub(crate) fn restart(&mut self, cause: &str, want: Want, turn: &mut Turn) {
        self.warm = None;
        if let Some(successor) = self.successor.take() {
            self.dismiss(*successor, cause, turn);
        }
        match &mut self.phase {
            Phase::Stopped | Phase::Completed | Phase::Failed { .. } => self.start(want),
            Phase::Waiting { .. } => {}
            Phase::Backoff { .. } => {
                self.failures = 0;
                self.enter(Phase::Waiting { blocker: None }, cause);
            }
            Phase::Up(run) => match &mut run.stage {
                Stage::Spawning { arrival, .. } => {
                    if *arrival == Arrival::AsWanted {
                        *arrival = Arrival::Replace;
                    }
                }
                Stage::Starting { .. } | Stage::Ready { .. } | Stage::Draining { .. } => {
                    run.end(Ending::Asked(Again::Restart), cause, turn);
                }
                Stage::Stopping { ending, .. } | Stage::Clearing { ending, .. } | Stage::Over { ending, .. } => {
                    *ending = Ending::Asked(Again::Restart);
                }
            },
        }
    }

    /// A run that is not to take over, or not any more: it is ended, and whatever comes of it is only recorded.
    pub(crate) fn dismiss(&mut self, mut run: Run, cause: &str, turn: &mut Turn) {
        match run.stage {
            Stage::Spawning { .. } => run.kill(cause, turn),
            Stage::Starting { .. }
            | Stage::Ready { .. }
            | Stage::Draining { .. }
            | Stage::Stopping { .. }
            | Stage::Clearing { .. }
            | Stage::Over { .. } => run.end(Ending::Asked(Again::Fresh), cause, turn),
        }
        self.retire(run, turn);
    }

    /// One more on its way out.
    pub(crate) fn retire(&mut self, run: Run, turn: &mut Turn) {
        self.leaving.push(run);
        let many = self.leaving.len().saturating_sub(MOST_DRAINING);
        for run in self.leaving.iter_mut().take(many) {
            run.kill("too many generations are on their way out; killed", turn);
        }
    }

    pub(crate) fn begin_anew(&mut self) {
        self.failures = 0;
        self.restarts = 0;
    }

    pub(crate) fn enter(&mut self, phase: Phase, cause: impl Into<String>) {
        self.phase = phase;
        self.cause = cause.into();
    }

    /// Why it is where it is.
    pub(crate) fn why(&self) -> &str {
        self.phase.run().map_or(&self.cause, |run| &run.cause)
    }

    /// Every run of it that is not over, the one that serves first.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.phase.run().into_iter().chain(self.successor.as_deref()).chain(&self.leaving)
    }

    pub(crate) fn run_mut(&mut self, number: u64) -> Option<&mut Run> {
        let runs = self.phase.run_mut().into_iter().chain(self.successor.as_deref_mut()).chain(&mut self.leaving);
        runs.into_iter().find(|run| run.number == number)
    }

    /// Nothing of it lives, as far as anyone can tell.
    pub(crate) fn down(&self) -> bool {
        self.runs().next().is_none()
    }

    /// It is ready, and another generation could follow it without a gap.
    pub(crate) fn serves(&self) -> bool {
        self.phase.run().is_some_and(Run::serves)
    }

    /// What runs and a run by `spec` may be there at once.
    pub(crate) fn may_overlap(&self, spec: &ServiceSpec) -> bool {
        spec.rollout.overlap && self.phase.run().is_some_and(|run| run.spec.rollout.overlap)
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let others = self.successor.as_deref().into_iter().chain(&self.leaving).filter_map(Run::deadline);
        others.chain(self.phase.deadline()).chain(self.bake_deadline()).min()
    }

    /// When its successor is ready for long enough.
    pub(crate) fn bake_deadline(&self) -> Option<Time> {
        let successor = self.successor.as_deref()?;
        match &successor.stage {
            // A check that fails is tried again; that is a deadline of its own.
            Stage::Ready { ready, vitals, .. } if vitals.sound() => Some(ready.after(successor.spec.rollout.bake)),
            Stage::Ready { .. }
            | Stage::Spawning { .. }
            | Stage::Starting { .. }
            | Stage::Draining { .. }
            | Stage::Stopping { .. }
            | Stage::Clearing { .. }
            | Stage::Over { .. } => None,
        }
    }

    /// Time stood still for `gap`.
    pub(crate) fn shift(&mut self, gap: Millis, now: Time, least: Time) {
        self.phase.shift(gap, now, least);
        for run in self.successor.as_deref_mut().into_iter().chain(&mut self.leaving) {
            run.shift(gap, now, least);
        }
        if let Some(warm) = &mut self.warm {
            warm.until = warm.until.after(gap);
        }
    }
}
