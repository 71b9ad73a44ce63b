//! The life of a run until its end begins: asked for, alive, ready, watched.
//! Not here: when a service may start (see `order`), and the end (see `ending`).

use std::sync::Arc;

use crate::checks::{Gates, Vitals};
use crate::command::Command;
use crate::event::{Failure, ProbeOutcome};
use crate::phase::{Again, Arrival, Ending, Live, Phase};
use crate::service::{Service, Turn};
use crate::snapshot::{ExitReport, State};
use crate::spec::CheckId;
use crate::time::{Millis, Time};
use crate::words;

/// How soon a service whose port is taken is tried again.
const BUSY_PORT_RETRY: Millis = 5_000;

impl Service {
    pub(crate) fn spawn(&mut self, run: u64, stop_rank: u32, turn: &mut Turn) {
        // A port that is still held shows as one failure, not as a start every five seconds.
        let shown = if matches!(self.phase, Phase::Failed { .. }) { State::Failed } else { State::Starting };
        self.generation += 1;
        self.run = run;
        self.revision = self.spec.revision;
        let cause = if shown == State::Failed { self.cause.clone() } else { "its process is being made".to_owned() };
        self.enter(
            Phase::Spawning { run, spec: Arc::clone(&self.spec), begun: turn.now, arrival: Arrival::AsWanted, shown },
            cause,
        );
        // Intent precedes the process: whoever finds the process knows whose it is.
        self.remember(turn);
        turn.out.push(Command::Spawn {
            service: self.spec.name.clone(),
            run,
            generation: self.generation,
            revision: self.revision,
            stop_rank,
        });
    }

    pub(crate) fn spawned(&mut self, pid: i32, turn: &mut Turn) {
        let Phase::Spawning { run, ref spec, begun, arrival, .. } = self.phase else {
            return;
        };
        let live = Live { run, spec: Arc::clone(spec), pid, begun, started: turn.now, status: None };
        self.begin_start(live, turn);
        match arrival {
            Arrival::AsWanted => {}
            Arrival::Replace => {
                if self.wanted() {
                    self.end(Ending::Asked(Again::Restart), "asked to restart".to_owned(), turn);
                }
            }
            Arrival::Kill => self.kill_run("killed, as asked".to_owned(), turn),
        }
    }

    /// The process lives: shut the gates, or call it ready if there are none.
    pub(crate) fn begin_start(&mut self, live: Live, turn: &Turn) {
        let gates = Gates::new(&live.spec.ready, turn.now);
        self.enter(Phase::Starting { live, gates }, "its process runs; not ready yet");
        self.step_start(turn);
    }

    /// Ready if every gate is open now.
    fn step_start(&mut self, turn: &Turn) {
        let Phase::Starting { live, gates } = &self.phase else {
            return;
        };
        if gates.open(turn.now) {
            let (live, strays) = (live.clone(), gates.strays());
            let cause = format!("ready after {}", words::span(turn.now.since(live.started)));
            self.begin_watch(live, turn.now, strays, cause, turn);
            return;
        }
        let missing = gates.missing();
        if missing.is_empty() {
            self.explain("its process runs; its delay is not over".to_owned());
        } else {
            self.explain(format!("not ready yet: {}", missing.join("; ")));
        }
    }

    pub(crate) fn begin_watch(&mut self, live: Live, ready: Time, strays: Vec<CheckId>, cause: String, turn: &Turn) {
        let vitals = Vitals::new(live.spec.live.as_ref(), strays, turn.now);
        self.enter(Phase::Running { live, ready, vitals }, cause);
    }

    pub(crate) fn spawn_failed(&mut self, failure: &Failure, turn: &mut Turn) {
        let Phase::Spawning { run, .. } = self.phase else {
            return;
        };
        let exit = ExitReport {
            generation: self.generation,
            pid: 0,
            code: None,
            signal: None,
            reason: Some(failure.message().to_owned()),
            asked: false,
            at: turn.now,
            ran: 0,
            cpu: 0,
            max_rss: 0,
            leftovers: Vec::new(),
        };
        match failure {
            Failure::Launch { .. } => self.over(run, exit, Ending::Unborn, turn),
            Failure::PortBusy { message } => {
                if self.wanted() {
                    self.record(run, exit, turn);
                    let retry_at = Some(turn.now.after(BUSY_PORT_RETRY));
                    self.enter(Phase::Failed { retry_at }, message.clone());
                } else {
                    self.over(run, exit, Ending::Unborn, turn);
                }
            }
        }
    }

    pub(crate) fn notified_ready(&mut self, turn: &Turn) {
        if let Phase::Starting { gates, .. } = &mut self.phase {
            gates.notified();
            self.step_start(turn);
        }
    }

    pub(crate) fn notified_watchdog(&mut self, now: Time) {
        if let Phase::Running { vitals, .. } = &mut self.phase {
            vitals.notified(now);
        }
    }

    pub(crate) fn notified_status(&mut self, status: String) {
        match &mut self.phase {
            Phase::Starting { live, .. } | Phase::Running { live, .. } | Phase::Stopping { live, .. } => {
                live.status = Some(status);
                self.touch();
            }
            Phase::Stopped
            | Phase::Completed
            | Phase::Failed { .. }
            | Phase::Waiting { .. }
            | Phase::Backoff { .. }
            | Phase::Spawning { .. }
            | Phase::Clearing { .. } => {}
        }
    }

    pub(crate) fn probed(&mut self, check: CheckId, began: Time, outcome: ProbeOutcome, turn: &Turn) {
        let from_stall = began < turn.resumed && matches!(outcome, ProbeOutcome::Failed(_));
        match &mut self.phase {
            Phase::Starting { gates, .. } if from_stall => gates.try_again(check, turn.now),
            Phase::Running { vitals, .. } if from_stall => vitals.try_again(check, turn.now),
            Phase::Starting { gates, .. } => {
                gates.probed(check, outcome, turn.now);
                self.touch();
                self.step_start(turn);
            }
            Phase::Running { vitals, .. } => {
                vitals.probed(check, outcome, turn.now);
                self.touch();
            }
            Phase::Stopped
            | Phase::Completed
            | Phase::Failed { .. }
            | Phase::Waiting { .. }
            | Phase::Backoff { .. }
            | Phase::Spawning { .. }
            | Phase::Stopping { .. }
            | Phase::Clearing { .. } => {}
        }
    }

    /// Does what is due by now.
    pub(crate) fn due(&mut self, turn: &mut Turn) {
        match &mut self.phase {
            Phase::Starting { live, gates } => {
                let run = live.run;
                if gates.open(turn.now) {
                    self.step_start(turn);
                } else if let Some(missing) = gates.overdue(turn.now) {
                    let within = words::span(live.spec.ready.deadline);
                    let reason = format!("not ready within {within} ({missing})");
                    self.end(Ending::Unready(reason.clone()), reason, turn);
                } else {
                    let due = gates.take_due(turn.now);
                    self.probe(run, due, turn);
                }
            }
            Phase::Running { live, vitals, .. } => {
                let run = live.run;
                if let Some(reason) = vitals.dead(turn.now) {
                    self.end(Ending::Unhealthy(reason.clone()), reason, turn);
                } else {
                    let due = vitals.take_due(turn.now);
                    self.probe(run, due, turn);
                }
            }
            Phase::Stopping { .. } | Phase::Clearing { .. } => self.press(turn),
            Phase::Stopped
            | Phase::Completed
            | Phase::Failed { .. }
            | Phase::Waiting { .. }
            | Phase::Backoff { .. }
            | Phase::Spawning { .. } => {}
        }
    }

    fn probe(&self, run: u64, due: Vec<CheckId>, turn: &mut Turn) {
        for check in due {
            turn.out.push(Command::Probe { service: self.spec.name.clone(), run, check });
        }
    }
}
