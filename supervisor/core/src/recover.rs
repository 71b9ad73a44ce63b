//! A new control takes over: from what is remembered of a service and what lives of it to its phase.
//! Not here: where the memory was kept.

use std::sync::Arc;

use crate::command::{Command, Memory};
use crate::fleet::Recovered;
use crate::phase::{Again, Ending, Force, Live, Phase, Rest};
use crate::service::{REPLACED, Service, Turn, Want};
use crate::snapshot::ExitReport;
use crate::spec::{Kind, Policy, Readiness, RestartPolicy, RolloutPolicy, ServiceName, ServiceSpec, StopPolicy};
use crate::time::Time;
use crate::words;

impl Service {
    pub(crate) fn recover(&mut self, recovered: Recovered, turn: &mut Turn) {
        let Recovered { memory, run } = recovered;
        self.remembered.clone_from(&memory);
        self.want = if memory.wanted && !self.leaving { Want::Up } else { Want::Down };
        self.generation = memory.generation;
        self.run = memory.run;
        self.revision = memory.revision;
        self.failures = memory.failures;
        self.restarts = memory.restarts;
        self.last_exit.clone_from(&memory.last_exit);
        self.since = turn.now;
        self.touch();
        match run {
            Some((run, pid, started)) => {
                // A newer run than we remember: the earlier control died between its intent and our learning of it.
                if run > memory.run {
                    self.generation += 1;
                }
                let known = run == memory.run;
                self.run = run;
                self.since = started;
                let spec = Arc::clone(&self.spec);
                let live = Live { run, spec, pid, begun: started, started, status: None };
                self.take_over(live, known && memory.ready, known && memory.ending, turn);
                if known && self.wanted() && memory.revision != self.spec.revision {
                    self.restart(REPLACED, turn);
                }
            }
            None if self.end_is_unknown() => match memory.clearing {
                Some(exit) if exit.generation == self.generation => self.clear_known(exit, turn),
                Some(_) | None => self.clear_unknown(turn),
            },
            None => self.take_over_down(memory.completed, memory.given_up, turn),
        }
    }

    fn take_over(&mut self, live: Live, ready: bool, ending: bool, turn: &mut Turn) {
        if ready {
            let started = live.started;
            self.begin_watch(live, started, Vec::new(), "ready; taken over from an earlier control".to_owned(), turn);
        } else {
            self.begin_start(live, turn);
        }
        self.shown = self.state();
        // It may be about to end: to take it for a run that goes on would be wrong, whatever is wanted by now.
        if ending {
            let (again, cause) = match self.want {
                Want::Up => (Again::Restart, "asked to restart"),
                Want::Down => (Again::Fresh, "asked to stop"),
            };
            self.end(Ending::Asked(again), cause.to_owned(), turn);
        }
    }

    /// The newest generation was asked for, and its end was not recorded.
    fn end_is_unknown(&self) -> bool {
        let recorded = self.last_exit.as_ref().map_or(0, |exit| exit.generation);
        self.generation > recorded
    }

    /// An earlier control saw its main process end, but not the rest of its tree.
    fn clear_known(&mut self, exit: ExitReport, turn: &mut Turn) {
        let ending = match (exit.asked, &exit.reason) {
            (false, _) => Ending::Own,
            (true, Some(reason)) => Ending::Unhealthy(reason.clone()),
            (true, None) => Ending::Asked(if self.wanted() { Again::Restart } else { Again::Fresh }),
        };
        let cause = format!("{}; looking for the rest of its tree", words::exit(&exit));
        self.clear(exit, ending, cause, turn);
    }

    /// Its main process is gone, or never was; some of its tree may be left.
    fn clear_unknown(&mut self, turn: &mut Turn) {
        let exit = ExitReport {
            generation: self.generation,
            pid: 0,
            code: None,
            signal: None,
            reason: Some("its end was not seen: control was away".to_owned()),
            asked: false,
            at: turn.now,
            ran: 0,
            cpu: 0,
            max_rss: 0,
            leftovers: Vec::new(),
        };
        let cause = "its end was not seen; looking for the rest of its tree".to_owned();
        self.clear(exit, Ending::Asked(Again::Restart), cause, turn);
    }

    fn clear(&mut self, exit: ExitReport, ending: Ending, cause: String, turn: &mut Turn) {
        let run = self.run;
        let spec = Arc::clone(&self.spec);
        let live = Live { run, spec, pid: exit.pid, begun: Time::default(), started: turn.now, status: None };
        let rest = Rest::new(Force::Polite { kill_at: turn.now.after(self.spec.stop.timeout.max(1)) });
        turn.out.push(Command::Survey { run });
        self.enter(Phase::Clearing { live, exit, ending, rest }, cause);
        self.shown = self.state();
    }

    fn take_over_down(&mut self, completed: bool, given_up: bool, turn: &mut Turn) {
        let how = self.last_exit.as_ref().map_or_else(|| "not started yet".to_owned(), words::exit);
        if self.want == Want::Down {
            self.close(Phase::Stopped, how, turn);
        } else if completed {
            self.close(Phase::Completed, how, turn);
        } else if given_up {
            self.close(Phase::Failed { retry_at: None }, format!("given up: {how}"), turn);
        } else {
            self.enter(Phase::Waiting { blocker: None }, how);
        }
        self.shown = self.state();
    }
}

/// How something is ended of which nobody knows how it wants to be.
const LAST_RESORT: StopPolicy = StopPolicy { signal: 15, timeout: 10_000 };

/// A service that the plan does not know any more, but an earlier control has not forgotten: it is only to be ended.
pub(crate) fn left_behind(name: ServiceName, memory: &Memory) -> Service {
    let spec = ServiceSpec {
        name,
        revision: memory.revision,
        kind: Kind::Service,
        autostart: false,
        critical: false,
        depends_on: Vec::new(),
        restart: RestartPolicy {
            policy: Policy::No,
            delay: 0,
            factor: 1.0,
            max_delay: 0,
            jitter: 0.0,
            reset_after: 1,
            crash_loop: 0,
            max_restarts: 0,
            success_exit_codes: vec![0],
        },
        stop: memory.stop.clone().unwrap_or(LAST_RESORT),
        ready: Readiness { notify: false, delay: None, checks: Vec::new(), interval: 1, deadline: 0 },
        live: None,
        rollout: RolloutPolicy::exclusive(),
        instances: 1,
    };
    Service { leaving: true, ..Service::new(Arc::new(spec)) }
}
