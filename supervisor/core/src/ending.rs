//! The end of a main process: drained, asked for, then forced.
//! Not here: the order among services (see `order`), and what comes after a main process (see `clearing`).

use crate::command::Command;
use crate::run::{Again, Arrival, Ending, Force, Life, Run, Stage};
use crate::service::Turn;
use crate::time::{Millis, Time};
use crate::words;

/// What is still there this long after `SIGKILL` is not waited for in silence.
pub(crate) const KILLED_GONE_WITHIN: Millis = 5_000;
/// How often what will not die is killed again and looked for.
const UNDYING_RETRY: Millis = 1_000;

impl Run {
    /// Another one serves: it is told, and has its `rollout.drain` to finish what it has begun.
    pub(crate) fn drain(&mut self, cause: &str, turn: &mut Turn) {
        let Stage::Ready { life, ready, .. } = &self.stage else {
            return;
        };
        let (life, ready) = (life.clone(), *ready);
        let policy = &self.spec.rollout;
        let signal = policy.drain_signal.unwrap_or(self.spec.stop.signal);
        turn.out.push(Command::Drain { run: self.number, signal });
        let until = turn.now.after(policy.drain.max(1));
        self.enter(Stage::Draining { life, ready, until }, cause);
    }

    /// Asks the main process to end; it has its `stop.timeout`.
    pub(crate) fn end(&mut self, ending: Ending, cause: &str, turn: &mut Turn) {
        let Some((life, ready)) = self.take_unasked() else {
            return;
        };
        turn.out.push(Command::Stop { run: self.number, signal: self.spec.stop.signal });
        let force = Force::Polite { kill_at: self.kill_at(turn.now) };
        self.enter(Stage::Stopping { life, ready, ending, force }, cause);
    }

    /// Kills what lives, unless that was done; what is being made is killed when it is there.
    pub(crate) fn kill(&mut self, cause: &str, turn: &mut Turn) {
        let killed = Force::Killed { gone_by: turn.now.after(KILLED_GONE_WITHIN) };
        if let Some((life, ready)) = self.take_unasked() {
            turn.out.push(Command::Kill { run: self.number });
            let ending = Ending::Asked(Again::Fresh);
            self.enter(Stage::Stopping { life, ready, ending, force: killed }, cause);
            return;
        }
        match &mut self.stage {
            Stage::Spawning { arrival, .. } => {
                *arrival = Arrival::Kill;
                return;
            }
            Stage::Stopping { force, .. } if force.is_polite() => {
                *force = killed;
                turn.out.push(Command::Kill { run: self.number });
            }
            Stage::Clearing { rest, .. } if rest.force.is_polite() => {
                rest.force = killed;
                rest.kill(self.number, turn);
            }
            Stage::Stopping { .. }
            | Stage::Clearing { .. }
            | Stage::Starting { .. }
            | Stage::Ready { .. }
            | Stage::Draining { .. }
            | Stage::Over { .. } => return,
        }
        cause.clone_into(&mut self.cause);
    }

    /// More force, if the time that was given is over.
    pub(crate) fn press(&mut self, turn: &mut Turn) {
        match self.force() {
            Some(force) if force.deadline() > turn.now => {}
            Some(Force::Polite { .. }) => {
                let timeout = words::span(self.spec.stop.timeout);
                self.kill(&format!("did not end within {timeout}; killed"), turn);
            }
            Some(Force::Killed { .. }) => {
                self.press_undying(turn);
                self.alarm = Some(self.cause.clone());
            }
            Some(Force::Undying { .. }) => self.press_undying(turn),
            None => {}
        }
    }

    fn press_undying(&mut self, turn: &mut Turn) {
        let undying = Force::Undying { again_at: turn.now.after(UNDYING_RETRY) };
        let pids = match &mut self.stage {
            Stage::Clearing { exit, rest, .. } => {
                exit.leftovers = rest.killed.iter().copied().collect();
                rest.force = undying;
                turn.out.push(Command::Survey { run: self.number });
                rest.remaining.clone()
            }
            Stage::Stopping { life, force, .. } => {
                *force = undying;
                turn.out.push(Command::Kill { run: self.number });
                vec![life.pid]
            }
            Stage::Spawning { .. }
            | Stage::Starting { .. }
            | Stage::Ready { .. }
            | Stage::Draining { .. }
            | Stage::Over { .. } => return,
        };
        self.cause = words::undying(&pids);
    }

    /// When its tree is killed, if it is asked to end now.
    pub(crate) fn kill_at(&self, now: Time) -> Time {
        now.after(self.spec.stop.timeout.max(1))
    }

    /// The process of a run that was not asked to end, with the time at which it became ready.
    fn take_unasked(&self) -> Option<(Life, Option<Time>)> {
        if self.unasked() { self.life().cloned().map(|life| (life, self.ready())) } else { None }
    }
}
