//! After a main process: the rest of its tree is ended, and the run is over.
//! Not here: what follows (see `verdict`).

use std::mem;

use crate::command::Command;
use crate::ending::KILLED_GONE_WITHIN;
use crate::phase::{Ending, Force, Live, Phase, Rest};
use crate::service::{Service, Turn};
use crate::snapshot::ExitReport;
use crate::words;

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

impl Service {
    /// The main process is gone; with `alone`, so is all its tree.
    pub(crate) fn exited(&mut self, mut exit: ExitReport, alone: bool, turn: &mut Turn) {
        let (live, how) = match mem::replace(&mut self.phase, Phase::Stopped) {
            Phase::Starting { live, .. } | Phase::Running { live, .. } => (live, None),
            Phase::Stopping { live, ending, force, .. } => (live, Some((ending, force))),
            // Its exit overtook the news of its birth.
            Phase::Spawning { run, spec, begun, .. } => {
                (Live { run, spec, pid: exit.pid, begun, started: begun.min(exit.at), status: None }, None)
            }
            other @ (Phase::Stopped
            | Phase::Completed
            | Phase::Failed { .. }
            | Phase::Waiting { .. }
            | Phase::Backoff { .. }
            | Phase::Clearing { .. }) => {
                self.phase = other;
                return;
            }
        };
        let (ending, force) = how.unwrap_or_else(|| (Ending::Own, Force::Polite { kill_at: live.kill_at(turn.now) }));
        exit.generation = self.generation;
        exit.ran = exit.at.since(live.started);
        exit.leftovers.clear();
        match &ending {
            Ending::Own | Ending::Unborn => exit.asked = false,
            Ending::Unready(reason) | Ending::Unhealthy(reason) => {
                exit.asked = true;
                exit.reason = Some(reason.clone());
            }
            Ending::Asked(_) => exit.asked = true,
        }
        if alone {
            self.over(live.run, exit, ending, turn);
            return;
        }
        let force = match force {
            Force::Polite { .. } => force,
            // The rest is killed as soon as it is found, and has its own time to be gone.
            Force::Killed { .. } | Force::Undying { .. } => {
                Force::Killed { gone_by: turn.now.after(KILLED_GONE_WITHIN) }
            }
        };
        turn.out.push(Command::Survey { run: live.run });
        let cause = format!("{}; looking for the rest of its tree", words::exit(&exit));
        self.enter(Phase::Clearing { live, exit, ending, rest: Rest::new(force) }, cause);
    }

    /// These processes of its tree are left; none: the run is over.
    pub(crate) fn surveyed(&mut self, mut remaining: Vec<i32>, turn: &mut Turn) {
        let Phase::Clearing { live, exit, ending, rest } = &mut self.phase else {
            return;
        };
        let run = live.run;
        if remaining.is_empty() {
            let mut exit = exit.clone();
            exit.leftovers = rest.killed.iter().copied().collect();
            let ending = ending.clone();
            self.over(run, exit, ending, turn);
            return;
        }
        remaining.sort_unstable();
        remaining.dedup();
        rest.remaining = remaining;
        let left = format!("{}; {}", words::exit(exit), words::left(&rest.remaining));
        let cause = match rest.force {
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
        self.explain(cause);
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
