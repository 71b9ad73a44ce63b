//! A run is over, with all its tree: its end is recorded, judged, and followed by what the judgement says.
//! Not here: the judgement itself (see `restart`).

use crate::command::Command;
use crate::phase::{Again, Ending, Phase};
use crate::restart::{self, GiveUp, Next, Outcome};
use crate::service::{Service, Turn};
use crate::snapshot::ExitReport;
use crate::spec::Policy;
use crate::words;

impl Service {
    pub(crate) fn over(&mut self, run: u64, exit: ExitReport, ending: Ending, turn: &mut Turn) {
        let how = match ending {
            Ending::Unborn => format!("could not be started: {}", words::exit(&exit)),
            Ending::Own | Ending::Unready(_) | Ending::Unhealthy(_) | Ending::Asked(_) => words::exit(&exit),
        };
        let success = exit.code.is_some_and(|code| self.spec.restart.success_exit_codes.contains(&code));
        let ran = exit.ran;
        self.record(run, exit, turn);
        if !self.wanted() {
            self.close(Phase::Stopped, format!("stopped: {how}"), turn);
            return;
        }
        let (outcome, ran) = match ending {
            Ending::Asked(again) => {
                self.restarts += u64::from(again == Again::Restart);
                self.enter(Phase::Waiting { blocker: None }, how);
                return;
            }
            Ending::Own if success => (Outcome::Success, ran),
            Ending::Own => (Outcome::Failure, ran),
            // However long it took: no moment of it was good.
            Ending::Unborn | Ending::Unready(_) => (Outcome::Failure, 0),
            Ending::Unhealthy(_) => (Outcome::Unhealthy, ran),
        };
        let random = &mut turn.random;
        let verdict = restart::judge(self.spec.kind, &self.spec.restart, outcome, ran, self.failures, random);
        self.failures = verdict.failures;
        self.follow(verdict.next, how, turn);
        // Before the next start changes it again: the log must say how each run ended.
        self.show(turn);
    }

    /// The one recorded end of a run.
    pub(crate) fn record(&mut self, run: u64, exit: ExitReport, turn: &mut Turn) {
        let (service, cause) = (self.spec.name.clone(), words::exit(&exit));
        turn.out.push(Command::Ended { service, exit: Box::new(exit.clone()), cause });
        self.last_exit = Some(exit);
        turn.out.push(Command::Release { service: self.spec.name.clone(), run });
    }

    fn follow(&mut self, next: Next, how: String, turn: &mut Turn) {
        let failed = Phase::Failed { retry_at: None };
        match next {
            Next::Complete => self.close(Phase::Completed, how, turn),
            Next::GiveUp(GiveUp::Policy) => {
                let policy = match self.spec.restart.policy {
                    Policy::Always => "always",
                    Policy::OnFailure => "on-failure",
                    Policy::No => "no",
                };
                self.close(failed, format!("{how}; the restart policy is `{policy}`"), turn);
            }
            Next::GiveUp(GiveUp::MaxRestarts) => {
                let restarts = self.spec.restart.max_restarts;
                self.close(failed, format!("given up after {restarts} restarts in a row: {how}"), turn);
            }
            Next::Again { delay, crash_loop } => {
                self.restarts += 1;
                let until = turn.now.after(delay);
                let cause = if crash_loop { format!("{how}; {} failures in a row", self.failures) } else { how };
                self.enter(Phase::Backoff { until, crash_loop }, cause);
            }
        }
    }
}
