//! The run that served is over, with all its tree: its end is judged, and followed by what the judgement says.
//! Not here: the judgement itself (see `restart`), and what a rollout makes of it (see `rollout`).

use crate::phase::Phase;
use crate::restart::{self, GiveUp, Next, Outcome};
use crate::run::{Again, Ending};
use crate::service::{Turn, Want};
use crate::slot::Slot;
use crate::snapshot::ExitReport;
use crate::spec::{Policy, ServiceSpec};
use crate::time::Millis;
use crate::words;

/// How soon a service whose port is taken is tried again.
const BUSY_PORT_RETRY: Millis = 5_000;

/// Whether a verdict was spoken that the log must tell before the next start changes the state again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoken {
    Yes,
    No,
}

impl Slot {
    pub(crate) fn follow_end(
        &mut self,
        exit: &ExitReport,
        ending: &Ending,
        want: Want,
        spec: &ServiceSpec,
        turn: &mut Turn,
    ) -> Spoken {
        let how = words::exit(exit);
        let unborn = format!("could not be started: {how}");
        if want == Want::Down {
            let how = if matches!(ending, Ending::Unborn | Ending::Busy) { unborn } else { how };
            self.enter(Phase::Stopped, format!("stopped: {how}"));
            return Spoken::No;
        }
        let success = exit.code.is_some_and(|code| spec.restart.success_exit_codes.contains(&code));
        let (outcome, ran, how) = match ending {
            Ending::Asked(again) => {
                self.restarts += u64::from(*again == Again::Restart);
                self.enter(Phase::Waiting { blocker: None }, how);
                return Spoken::No;
            }
            Ending::Busy => {
                self.enter(Phase::Failed { retry_at: Some(turn.now.after(BUSY_PORT_RETRY)) }, how);
                return Spoken::No;
            }
            Ending::Own if success => (Outcome::Success, exit.ran, how),
            Ending::Own => (Outcome::Failure, exit.ran, how),
            // However long it took: no moment of it was good.
            Ending::Unborn => (Outcome::Failure, 0, unborn),
            Ending::Unready(_) => (Outcome::Failure, 0, how),
            Ending::Unhealthy(_) => (Outcome::Unhealthy, exit.ran, how),
        };
        let verdict = restart::judge(spec.kind, &spec.restart, outcome, ran, self.failures, &mut turn.random);
        self.failures = verdict.failures;
        self.follow(verdict.next, how, spec, turn);
        Spoken::Yes
    }

    fn follow(&mut self, next: Next, how: String, spec: &ServiceSpec, turn: &mut Turn) {
        let failed = Phase::Failed { retry_at: None };
        match next {
            Next::Complete => self.enter(Phase::Completed, how),
            Next::GiveUp(GiveUp::Policy) => {
                let policy = match spec.restart.policy {
                    Policy::Always => "always",
                    Policy::OnFailure => "on-failure",
                    Policy::No => "no",
                };
                self.enter(failed, format!("{how}; the restart policy is `{policy}`"));
            }
            Next::GiveUp(GiveUp::MaxRestarts) => {
                let restarts = spec.restart.max_restarts;
                self.enter(failed, format!("given up after {restarts} restarts in a row: {how}"));
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
