//! How a service looks to its users and to the log.
//! Not here: anything that changes what it does, and what a later control is told (see `memory`).

use std::sync::Arc;

use crate::command::{Command, Transition};
use crate::phase::Phase;
use crate::run::{Ending, Run, Stage};
use crate::service::{Service, Turn, Want};
use crate::slot::Slot;
use crate::snapshot::{GenerationSnapshot, Role, RolloutPhase, RunSnapshot, ServiceSnapshot, State};

impl Service {
    /// The state as users see it: that of the instance that is farthest from well. What lives while it is wanted down
    /// is on its way there.
    pub(crate) fn state(&self) -> State {
        let worst = self.worst().map_or(State::Stopped, Slot::state);
        let lives = !self.down();
        match (worst, self.want) {
            (_, Want::Down) if lives => State::Stopping,
            (State::Running, Want::Up) if self.rollout.is_some() => State::Rolling,
            (worst, Want::Up | Want::Down) => worst,
        }
    }

    fn cause(&self) -> String {
        let own = self.worst().map_or("", Slot::why).to_owned();
        let Some(rollout) = self.rollout.as_ref().filter(|_| self.state() == State::Rolling) else {
            return own;
        };
        match (self.slots.iter().find_map(|slot| slot.successor.as_deref()), rollout.facts.phase) {
            (Some(Run { generation, .. }), RolloutPhase::Baking) => {
                format!("{}; generation {generation} is ready and must stay so", rollout.facts.cause)
            }
            (Some(Run { generation, cause, .. }), _) => {
                format!("{}; generation {generation}: {cause}", rollout.facts.cause)
            }
            (None, _) => rollout.waits.clone().unwrap_or_else(|| rollout.facts.cause.clone()),
        }
    }

    /// The first of those farthest from well; those that are too many do not count while others are there.
    fn worst(&self) -> Option<&Slot> {
        self.wanted_slots().max_by_key(|slot| {
            // Of equals the first, where `max_by_key` takes the last.
            (badness(slot.state()), std::cmp::Reverse(slot.instance))
        })
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
            turn.out.push(self.report(self.shown, self.cause()));
            self.shown = state;
            self.since = turn.now;
        }
    }

    pub(crate) fn report(&self, from: State, cause: String) -> Command {
        let (service, to) = (self.spec.name.clone(), self.state());
        Command::Report(Transition { service, generation: self.generation, from, to, cause })
    }

    pub(crate) fn snapshot(&mut self) -> Arc<ServiceSnapshot> {
        if let Some(view) = &self.view {
            return Arc::clone(view);
        }
        let first = self.slots.iter().find_map(|slot| slot.phase.run());
        let serving = || self.slots.iter().filter_map(|slot| slot.phase.run());
        let view = Arc::new(ServiceSnapshot {
            name: self.spec.name.clone(),
            kind: self.spec.kind,
            critical: self.spec.critical,
            wanted: self.wanted(),
            state: self.state(),
            cause: self.cause(),
            in_vain: self.in_vain && self.state() == State::Waiting,
            since: self.since,
            run: first.map(run_snapshot),
            instances: self.spec.instances.max(1),
            generations: self.slots.iter().flat_map(generations).collect(),
            rollout: self.shown_rollout().cloned(),
            generation: self.generation,
            restarts: self.slots.iter().map(|slot| slot.restarts).sum(),
            failures: self.slots.iter().map(|slot| slot.failures).max().unwrap_or(0),
            next_attempt: self.slots.iter().filter_map(|slot| slot.phase.next_attempt()).min(),
            last_exit: serving().find_map(newest_exit).or_else(|| self.last_exit()).cloned(),
            failing: serving().flat_map(Run::failing).collect(),
        });
        self.view = Some(Arc::clone(&view));
        view
    }

    fn last_exit(&self) -> Option<&crate::snapshot::ExitReport> {
        self.slots.iter().filter_map(|slot| slot.last_exit.as_ref()).max_by_key(|exit| exit.at)
    }
}

impl Slot {
    /// As users see it while it is wanted.
    fn state(&self) -> State {
        match &self.phase {
            Phase::Stopped => State::Stopped,
            Phase::Completed => State::Completed,
            Phase::Failed { .. } => State::Failed,
            Phase::Waiting { .. } => State::Waiting,
            Phase::Backoff { crash_loop: false, .. } => State::Backoff,
            Phase::Backoff { crash_loop: true, .. } => State::CrashLoop,
            Phase::Up(run) => match &run.stage {
                Stage::Spawning { shown, .. } => *shown,
                Stage::Starting { .. } => State::Starting,
                Stage::Ready { .. } => State::Running,
                Stage::Stopping { ending: Ending::Unhealthy(_), .. }
                | Stage::Clearing { ending: Ending::Unhealthy(_), .. }
                    if !run.undying() =>
                {
                    State::Unhealthy
                }
                Stage::Draining { .. } | Stage::Stopping { .. } | Stage::Clearing { .. } | Stage::Over { .. } => {
                    State::Stopping
                }
            },
        }
    }
}

/// How far a state is from what one wants to see.
fn badness(state: State) -> u32 {
    match state {
        State::Stopped | State::Completed => 0,
        State::Running | State::Rolling => 1,
        State::Waiting => 2,
        State::Starting => 3,
        State::Stopping => 4,
        State::Unhealthy => 5,
        State::Backoff => 6,
        State::CrashLoop => 7,
        State::Failed => 8,
    }
}

fn generations(slot: &Slot) -> impl Iterator<Item = GenerationSnapshot> {
    slot.runs().map(|run| GenerationSnapshot {
        instance: run.instance,
        role: role(slot, run),
        revision: run.spec.revision,
        cause: run.cause.clone(),
        run: run_snapshot(run),
    })
}

fn role(slot: &Slot, run: &Run) -> Role {
    let is = |other: Option<&Run>| other.is_some_and(|other| other.number == run.number);
    match &run.stage {
        Stage::Draining { .. } => Role::Draining,
        _ if is(slot.phase.run()) => Role::Serving,
        Stage::Ready { .. } if is(slot.successor.as_deref()) => Role::Baking,
        Stage::Spawning { .. } | Stage::Starting { .. } if is(slot.successor.as_deref()) => Role::Starting,
        Stage::Spawning { .. }
        | Stage::Starting { .. }
        | Stage::Ready { .. }
        | Stage::Stopping { .. }
        | Stage::Clearing { .. }
        | Stage::Over { .. } => Role::Ending,
    }
}

fn run_snapshot(run: &Run) -> RunSnapshot {
    let life = run.life();
    let gone = matches!(run.stage, Stage::Clearing { .. });
    RunSnapshot {
        run: run.number,
        generation: run.generation,
        pid: life.filter(|_| !gone).map(|life| life.pid),
        started: life.map_or(run.begun, |life| life.started),
        ready: run.ready(),
        status: life.and_then(|life| life.status.clone()),
    }
}

/// Of a main process whose tree is not gone yet.
fn newest_exit(run: &Run) -> Option<&crate::snapshot::ExitReport> {
    if let Stage::Clearing { exit, .. } = &run.stage { Some(exit) } else { None }
}
