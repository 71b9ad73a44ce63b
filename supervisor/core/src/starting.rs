//! The life of a run until its end begins: asked for, alive, ready, watched.
//! Not here: when one may start (see `order`), and the end (see `ending`).

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::command::Command;
use crate::event::{Failure, ProbeOutcome, SeenOff};
use crate::gates::Gates;
use crate::run::{Again, Arrival, Ending, Life, Run, Stage};
use crate::service::Turn;
use crate::snapshot::{ExitReport, State};
use crate::spec::{CheckId, ServiceSpec, Sign};
use crate::time::Time;
use crate::vitals::Vitals;
use crate::words;

impl Run {
    /// Asked for now.
    pub(crate) fn new(number: u64, generation: u64, instance: u32, spec: Arc<ServiceSpec>, begun: Time) -> Self {
        Self {
            number,
            generation,
            instance,
            spec,
            begun,
            stage: Stage::Spawning { arrival: Arrival::AsWanted, shown: State::Starting },
            cause: "its process is being made".to_owned(),
            seen_off: None,
            alarm: None,
        }
    }

    pub(crate) fn spawned(&mut self, pid: i32, turn: &mut Turn) {
        let Stage::Spawning { arrival, .. } = self.stage else {
            return;
        };
        self.begin_start(Life { pid, started: turn.now, status: None }, BTreeSet::new(), turn);
        match arrival {
            Arrival::AsWanted => {}
            Arrival::Replace => self.end(Ending::Asked(Again::Restart), "asked to restart", turn),
            Arrival::Kill => self.kill("killed, as asked", turn),
        }
    }

    pub(crate) fn spawn_failed(&mut self, failure: &Failure, turn: &mut Turn) {
        let Stage::Spawning { .. } = self.stage else {
            return;
        };
        let ending = match failure {
            Failure::Launch { .. } => Ending::Unborn,
            Failure::PortBusy { .. } => Ending::Busy,
        };
        let reason = Some(failure.message().to_owned());
        let exit = ExitReport { generation: self.generation, reason, at: turn.now, ..ExitReport::default() };
        self.over(exit, ending, turn);
    }

    /// The process lives, and has given these signs: shut the other gates, or call it ready if there are none.
    pub(crate) fn begin_start(&mut self, life: Life, seen: BTreeSet<Sign>, turn: &Turn) {
        let gates = Gates::new(&self.spec.ready, seen, turn.now);
        self.enter(Stage::Starting { life, gates }, "its process runs; not ready yet");
        self.step_start(turn);
    }

    /// Ready if every gate is open now.
    fn step_start(&mut self, turn: &Turn) {
        let Stage::Starting { life, gates } = &self.stage else {
            return;
        };
        if gates.open(turn.now) {
            let (life, strays) = (life.clone(), gates.checks.strays.clone());
            let cause = match turn.now.since(life.started) {
                0 => "ready at once".to_owned(),
                took => format!("ready after {}", words::span(took)),
            };
            self.begin_watch(life, turn.now, strays, cause, turn);
            return;
        }
        let missing = gates.missing();
        self.cause = if missing.is_empty() {
            "its process runs; its delay is not over".to_owned()
        } else {
            format!("not ready yet: {}", missing.join("; "))
        };
    }

    pub(crate) fn begin_watch(&mut self, life: Life, ready: Time, strays: Vec<CheckId>, cause: String, turn: &Turn) {
        let vitals = Vitals::new(self.spec.live.as_ref(), strays, turn.now);
        self.enter(Stage::Ready { life, ready, vitals }, cause);
    }

    pub(crate) fn sign_seen(&mut self, sign: Sign, turn: &Turn) {
        if let Stage::Starting { gates, .. } = &mut self.stage {
            gates.sign_seen(sign);
            self.step_start(turn);
        }
    }

    pub(crate) fn sign_lost(&mut self, sign: Sign, reason: &str, turn: &mut Turn) {
        if self.awaits(sign) {
            let reason = format!("never ready: {reason}");
            self.end(Ending::Unready(reason.clone()), &reason, turn);
        }
    }

    pub(crate) fn notified_watchdog(&mut self, now: Time) {
        if let Stage::Ready { vitals, .. } = &mut self.stage {
            vitals.notified(now);
        }
    }

    pub(crate) fn notified_status(&mut self, text: String) {
        match &mut self.stage {
            Stage::Starting { life, .. }
            | Stage::Ready { life, .. }
            | Stage::Draining { life, .. }
            | Stage::Stopping { life, .. } => life.status = Some(text),
            Stage::Spawning { .. } | Stage::Clearing { .. } | Stage::Over { .. } => {}
        }
    }

    pub(crate) fn notified_drained(&mut self, seen_off: SeenOff) {
        self.seen_off = Some(seen_off);
    }

    pub(crate) fn probed(&mut self, check: CheckId, began: Time, outcome: ProbeOutcome, turn: &Turn) {
        let from_stall = began < turn.resumed && matches!(outcome, ProbeOutcome::Failed(_));
        match &mut self.stage {
            Stage::Starting { gates, .. } if from_stall => gates.checks.try_again(check, turn.now),
            Stage::Ready { vitals, .. } if from_stall => vitals.checks.try_again(check, turn.now),
            Stage::Starting { gates, .. } => {
                gates.probed(check, outcome, turn.now);
                self.step_start(turn);
            }
            Stage::Ready { vitals, .. } => vitals.probed(check, outcome, turn.now),
            Stage::Spawning { .. }
            | Stage::Draining { .. }
            | Stage::Stopping { .. }
            | Stage::Clearing { .. }
            | Stage::Over { .. } => {}
        }
    }

    /// Does what is due by now.
    pub(crate) fn due(&mut self, turn: &mut Turn) {
        match &mut self.stage {
            Stage::Starting { gates, .. } => {
                if gates.open(turn.now) {
                    self.step_start(turn);
                } else if let Some(missing) = gates.overdue(turn.now) {
                    let within = words::span(self.spec.ready.deadline);
                    let reason = format!("not ready within {within} ({missing})");
                    self.end(Ending::Unready(reason.clone()), &reason, turn);
                } else {
                    let due = gates.checks.take_due(turn.now);
                    self.probe(due, turn);
                }
            }
            Stage::Ready { vitals, .. } => {
                if let Some(reason) = vitals.dead(turn.now) {
                    self.end(Ending::Unhealthy(reason.clone()), &reason, turn);
                } else {
                    let due = vitals.checks.take_due(turn.now);
                    self.probe(due, turn);
                }
            }
            Stage::Draining { until, .. } if *until <= turn.now => {
                let cause = format!("has not drained within {}", words::span(self.spec.rollout.drain));
                self.end(Ending::Asked(Again::Fresh), &cause, turn);
            }
            Stage::Stopping { .. } | Stage::Clearing { .. } => self.press(turn),
            Stage::Spawning { .. } | Stage::Draining { .. } | Stage::Over { .. } => {}
        }
    }

    fn probe(&self, due: Vec<CheckId>, turn: &mut Turn) {
        for check in due {
            turn.out.push(Command::Probe { service: self.spec.name.clone(), run: self.number, check });
        }
    }
}
