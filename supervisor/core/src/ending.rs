//! The end of a main process: asked for, then forced.
//! Not here: the order among services (see `order`), and what comes after a main process (see `clearing`).

use crate::command::{Command, Transition};
use crate::phase::{Again, Arrival, Ending, Force, Live, Phase};
use crate::service::{Service, Turn};
use crate::time::{Millis, Time};
use crate::words;

/// What is still there this long after `SIGKILL` is not waited for in silence.
pub(crate) const KILLED_GONE_WITHIN: Millis = 5_000;
/// How often what will not die is killed again and looked for.
const UNDYING_RETRY: Millis = 1_000;

impl Service {
    /// Asks the main process to end; it has its `stop.timeout`.
    pub(crate) fn end(&mut self, ending: Ending, cause: String, turn: &mut Turn) {
        let Some((live, ready)) = self.unasked() else {
            return;
        };
        turn.out.push(Command::Stop { run: live.run, signal: live.spec.stop.signal });
        let force = Force::Polite { kill_at: live.kill_at(turn.now) };
        self.enter(Phase::Stopping { live, ready, ending, force }, cause);
    }

    /// Someone wants it down at once.
    pub(crate) fn kill(&mut self, turn: &mut Turn) {
        self.stop(turn);
        if let Phase::Spawning { arrival, .. } = &mut self.phase {
            *arrival = Arrival::Kill;
        }
        self.kill_run("killed, as asked".to_owned(), turn);
    }

    /// Kills what lives, unless that was done.
    pub(crate) fn kill_run(&mut self, cause: String, turn: &mut Turn) {
        let killed = Force::Killed { gone_by: turn.now.after(KILLED_GONE_WITHIN) };
        if let Some((live, ready)) = self.unasked() {
            turn.out.push(Command::Kill { run: live.run });
            let ending = Ending::Asked(Again::Fresh);
            self.enter(Phase::Stopping { live, ready, ending, force: killed }, cause);
            return;
        }
        match &mut self.phase {
            Phase::Stopping { live, force, .. } if force.is_polite() => {
                *force = killed;
                turn.out.push(Command::Kill { run: live.run });
            }
            Phase::Clearing { live, rest, .. } if rest.force.is_polite() => {
                rest.force = killed;
                rest.kill(live.run, turn);
            }
            Phase::Stopping { .. }
            | Phase::Clearing { .. }
            | Phase::Starting { .. }
            | Phase::Running { .. }
            | Phase::Spawning { .. }
            | Phase::Stopped
            | Phase::Completed
            | Phase::Failed { .. }
            | Phase::Waiting { .. }
            | Phase::Backoff { .. } => return,
        }
        self.explain(cause);
    }

    /// More force, if the time that was given is over.
    pub(crate) fn press(&mut self, turn: &mut Turn) {
        match self.phase.force() {
            Some(force) if force.deadline() > turn.now => {}
            Some(Force::Polite { .. }) => {
                let timeout = self.phase.live().map_or(0, |live| live.spec.stop.timeout);
                let timeout = words::span(timeout);
                self.kill_run(format!("did not end within {timeout}; killed"), turn);
            }
            Some(Force::Killed { .. }) => {
                let cause = self.press_undying(turn);
                self.show(turn);
                let state = self.state();
                // The state is the same, but this is the line that someone should look at.
                turn.out.push(Command::Report(Transition {
                    service: self.spec.name.clone(),
                    generation: self.generation,
                    from: state,
                    to: state,
                    cause,
                }));
            }
            Some(Force::Undying { .. }) => {
                self.press_undying(turn);
            }
            None => {}
        }
    }

    fn press_undying(&mut self, turn: &mut Turn) -> String {
        let pids = match &mut self.phase {
            Phase::Clearing { live, exit, rest, .. } => {
                exit.leftovers = rest.killed.iter().copied().collect();
                turn.out.push(Command::Survey { run: live.run });
                rest.remaining.clone()
            }
            Phase::Stopping { live, .. } => {
                turn.out.push(Command::Kill { run: live.run });
                vec![live.pid]
            }
            Phase::Stopped
            | Phase::Completed
            | Phase::Failed { .. }
            | Phase::Waiting { .. }
            | Phase::Backoff { .. }
            | Phase::Spawning { .. }
            | Phase::Starting { .. }
            | Phase::Running { .. } => Vec::new(),
        };
        self.phase.set_force(Force::Undying { again_at: turn.now.after(UNDYING_RETRY) });
        let cause = words::undying(&pids);
        self.explain(cause.clone());
        cause
    }

    /// It has a process that outlived `SIGKILL`: nobody should wait for it.
    pub(crate) fn undying(&self) -> bool {
        matches!(self.phase.force(), Some(Force::Undying { .. }))
    }

    /// A run that lives and was not asked to end, with the time at which it became ready.
    fn unasked(&self) -> Option<(Live, Option<Time>)> {
        match &self.phase {
            Phase::Starting { live, .. } => Some((live.clone(), None)),
            Phase::Running { live, ready, .. } => Some((live.clone(), Some(*ready))),
            Phase::Stopped
            | Phase::Completed
            | Phase::Failed { .. }
            | Phase::Waiting { .. }
            | Phase::Backoff { .. }
            | Phase::Spawning { .. }
            | Phase::Stopping { .. }
            | Phase::Clearing { .. } => None,
        }
    }
}

impl Live {
    /// When its tree is killed, if it is asked to end now.
    pub(crate) fn kill_at(&self, now: Time) -> Time {
        now.after(self.spec.stop.timeout.max(1))
    }
}
