//! After a main process: the rest of its tree is ended, and the run is over.
//! Not here: what follows (see `verdict`).

use crate::command::Command;
use crate::ending::KILLED_GONE_WITHIN;
use crate::run::{Ending, Force, Life, Rest, Run, Stage};
use crate::service::Turn;
use crate::snapshot::ExitReport;
use crate::words;

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

impl Run {
    /// The main process is gone; with `alone`, so is all its tree.
    pub(crate) fn exited(&mut self, mut exit: ExitReport, alone: bool, turn: &mut Turn) {
        let own = (Ending::Own, Force::Polite { kill_at: self.kill_at(turn.now) });
        let (life, (ending, force)) = match &self.stage {
            Stage::Starting { life, .. } | Stage::Ready { life, .. } => (life.clone(), own),
            // It was told that another one serves, and has seen its last client off.
            Stage::Draining { life, .. } => (life.clone(), (Ending::Asked(crate::run::Again::Fresh), own.1)),
            Stage::Stopping { life, ending, force, .. } => (life.clone(), (ending.clone(), *force)),
            // Its exit overtook the news of its birth.
            Stage::Spawning { .. } => (Life { pid: exit.pid, started: self.begun.min(exit.at), status: None }, own),
            Stage::Clearing { .. } | Stage::Over { .. } => return,
        };
        exit.generation = self.generation;
        exit.ran = exit.at.since(life.started);
        exit.leftovers.clear();
        match &ending {
            Ending::Own | Ending::Unborn | Ending::Busy => exit.asked = false,
            Ending::Unready(reason) | Ending::Unhealthy(reason) => {
                exit.asked = true;
                exit.reason = Some(reason.clone());
            }
            Ending::Asked(_) => exit.asked = true,
        }
        if alone {
            self.over(exit, ending, turn);
            return;
        }
        let force = match force {
            Force::Polite { .. } => force,
            // The rest is killed as soon as it is found, and has its own time to be gone.
            Force::Killed { .. } | Force::Undying { .. } => {
                Force::Killed { gone_by: turn.now.after(KILLED_GONE_WITHIN) }
            }
        };
        turn.out.push(Command::Survey { run: self.number });
        let cause = format!("{}; looking for the rest of its tree", words::exit(&exit));
        self.enter(Stage::Clearing { life, exit, ending, rest: Rest::new(force) }, cause);
    }

    /// These processes of its tree are left; none: the run is over.
    pub(crate) fn surveyed(&mut self, mut remaining: Vec<i32>, turn: &mut Turn) {
        let run = self.number;
        let Stage::Clearing { exit, ending, rest, .. } = &mut self.stage else {
            return;
        };
        if remaining.is_empty() {
            let mut exit = exit.clone();
            exit.leftovers = rest.killed.iter().copied().collect();
            let ending = ending.clone();
            self.over(exit, ending, turn);
            return;
        }
        remaining.sort_unstable();
        remaining.dedup();
        rest.remaining = remaining;
        let left = format!("{}; {}", words::exit(exit), words::left(&rest.remaining));
        self.cause = match rest.force {
            Force::Polite { .. } => {
                rest.ask(run, turn);
                left
            }
            Force::Killed { .. } => {
                rest.kill(run, turn);
                left
            }
            Force::Undying { .. } => {
                rest.kill(run, turn);
                words::undying(&rest.remaining)
            }
        };
    }

    /// Its one end is recorded.
    pub(crate) fn over(&mut self, mut exit: ExitReport, ending: Ending, turn: &mut Turn) {
        exit.seen_off = self.seen_off;
        let (service, run, cause) = (self.spec.name.clone(), self.number, words::exit(&exit));
        let (of, told) = (service.clone(), Box::new(exit.clone()));
        turn.out.push(Command::Ended { service: of, run, exit: told, cause: cause.clone() });
        turn.out.push(Command::Release { service, run });
        self.enter(Stage::Over { exit, ending }, cause);
    }
}

impl Rest {
    /// Asks those that were not asked before.
    fn ask(&mut self, run: u64, turn: &mut Turn) {
        let asked = &mut self.asked;
        let pids: Vec<_> = self.remaining.iter().copied().filter(|pid| asked.insert(*pid)).collect();
        if !pids.is_empty() {
            turn.out.push(Command::SignalRest { run, pids, signal: SIGTERM });
        }
    }

    pub(crate) fn kill(&mut self, run: u64, turn: &mut Turn) {
        if !self.remaining.is_empty() {
            self.killed.extend(&self.remaining);
            turn.out.push(Command::SignalRest { run, pids: self.remaining.clone(), signal: SIGKILL });
        }
    }
}
