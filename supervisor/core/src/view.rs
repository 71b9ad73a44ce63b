//! How a service looks: to its users, to the log, and to a control that comes after us.
//! Not here: anything that changes what it does.

use std::sync::Arc;

use crate::command::{Command, Memory, Transition};
use crate::phase::{Ending, Live, Phase};
use crate::service::{Service, Turn};
use crate::snapshot::{ExitReport, RunSnapshot, ServiceSnapshot, State};
use crate::time::Time;

impl Service {
    /// The state as users see it. What lives while it is wanted down is on its way there.
    pub(crate) fn state(&self) -> State {
        let if_wanted = match &self.phase {
            Phase::Stopped => return State::Stopped,
            Phase::Completed => return State::Completed,
            Phase::Failed { .. } => return State::Failed,
            Phase::Waiting { .. } => return State::Waiting,
            Phase::Backoff { crash_loop: false, .. } => return State::Backoff,
            Phase::Backoff { crash_loop: true, .. } => return State::CrashLoop,
            Phase::Spawning { shown, .. } => *shown,
            Phase::Starting { .. } => State::Starting,
            Phase::Running { .. } => State::Running,
            Phase::Stopping { ending: Ending::Unhealthy(_), .. }
            | Phase::Clearing { ending: Ending::Unhealthy(_), .. }
                if !self.undying() =>
            {
                State::Unhealthy
            }
            Phase::Stopping { .. } | Phase::Clearing { .. } => State::Stopping,
        };
        if self.wanted() { if_wanted } else { State::Stopping }
    }

    /// Tells the log and the keeper what is different from what they were told last.
    pub(crate) fn flush(&mut self, turn: &mut Turn) {
        if self.changed {
            self.changed = false;
            self.show(turn);
            if !(self.leaving && self.down()) {
                self.remember(turn);
            }
        }
    }

    /// Reports the state if it is another one.
    pub(crate) fn show(&mut self, turn: &mut Turn) {
        let state = self.state();
        if state != self.shown {
            turn.out.push(Command::Report(Transition {
                service: self.spec.name.clone(),
                generation: self.generation,
                from: self.shown,
                to: state,
                cause: self.cause.clone(),
            }));
            self.shown = state;
            self.since = turn.now;
        }
    }

    pub(crate) fn remember(&mut self, turn: &mut Turn) {
        let memory = self.memory();
        if memory != self.remembered {
            self.remembered.clone_from(&memory);
            turn.out.push(Command::Remember { service: self.spec.name.clone(), memory: Box::new(memory) });
        }
    }

    fn memory(&self) -> Memory {
        Memory {
            wanted: self.wanted(),
            generation: self.generation,
            run: self.run,
            revision: self.revision,
            stop: self.phase.spec().map(|spec| spec.stop.clone()),
            ready: self.became_ready().is_some(),
            ending: matches!(self.phase, Phase::Stopping { .. }),
            failures: self.failures,
            restarts: self.restarts,
            completed: matches!(self.phase, Phase::Completed),
            given_up: matches!(self.phase, Phase::Failed { retry_at: None }),
            clearing: self.clearing().cloned(),
            last_exit: self.last_exit.clone(),
        }
    }

    fn clearing(&self) -> Option<&ExitReport> {
        if let Phase::Clearing { exit, .. } = &self.phase { Some(exit) } else { None }
    }

    pub(crate) fn snapshot(&mut self) -> Arc<ServiceSnapshot> {
        if let Some(view) = &self.view {
            return Arc::clone(view);
        }
        let view = Arc::new(ServiceSnapshot {
            name: self.spec.name.clone(),
            kind: self.spec.kind,
            critical: self.spec.critical,
            wanted: self.wanted(),
            state: self.state(),
            cause: self.cause.clone(),
            since: self.since,
            run: self.run_snapshot(),
            generation: self.generation,
            restarts: self.restarts,
            failures: self.failures,
            next_attempt: self.next_attempt(),
            last_exit: self.newest_exit().cloned(),
            failing: match &self.phase {
                Phase::Starting { gates, .. } => gates.failing(),
                Phase::Running { vitals, .. } => vitals.failing(),
                Phase::Stopped
                | Phase::Completed
                | Phase::Failed { .. }
                | Phase::Waiting { .. }
                | Phase::Backoff { .. }
                | Phase::Spawning { .. }
                | Phase::Stopping { .. }
                | Phase::Clearing { .. } => Vec::new(),
            },
        });
        self.view = Some(Arc::clone(&view));
        view
    }

    fn run_snapshot(&self) -> Option<RunSnapshot> {
        let of = |live: &Live, pid, ready| RunSnapshot {
            run: live.run,
            generation: self.generation,
            pid,
            started: live.started,
            ready,
            status: live.status.clone(),
        };
        match &self.phase {
            Phase::Spawning { run, begun, .. } => Some(RunSnapshot {
                run: *run,
                generation: self.generation,
                pid: None,
                started: *begun,
                ready: None,
                status: None,
            }),
            Phase::Starting { live, .. } => Some(of(live, Some(live.pid), None)),
            Phase::Running { live, ready, .. } => Some(of(live, Some(live.pid), Some(*ready))),
            Phase::Stopping { live, ready, .. } => Some(of(live, Some(live.pid), *ready)),
            Phase::Clearing { live, .. } => Some(of(live, None, None)),
            Phase::Stopped
            | Phase::Completed
            | Phase::Failed { .. }
            | Phase::Waiting { .. }
            | Phase::Backoff { .. } => None,
        }
    }

    fn next_attempt(&self) -> Option<Time> {
        match &self.phase {
            Phase::Failed { retry_at } => *retry_at,
            Phase::Backoff { until, .. } => Some(*until),
            Phase::Stopped
            | Phase::Completed
            | Phase::Waiting { .. }
            | Phase::Spawning { .. }
            | Phase::Starting { .. }
            | Phase::Running { .. }
            | Phase::Stopping { .. }
            | Phase::Clearing { .. } => None,
        }
    }

    /// When the live run became ready.
    pub(crate) fn became_ready(&self) -> Option<Time> {
        match &self.phase {
            Phase::Running { ready, .. } => Some(*ready),
            Phase::Stopping { ready, .. } => *ready,
            Phase::Stopped
            | Phase::Completed
            | Phase::Failed { .. }
            | Phase::Waiting { .. }
            | Phase::Backoff { .. }
            | Phase::Spawning { .. }
            | Phase::Starting { .. }
            | Phase::Clearing { .. } => None,
        }
    }

    /// Also of a main process whose tree is not gone yet.
    fn newest_exit(&self) -> Option<&ExitReport> {
        if let Phase::Clearing { exit, .. } = &self.phase { Some(exit) } else { self.last_exit.as_ref() }
    }
}
