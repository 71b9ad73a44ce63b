//! One service: its want, its slots, and what requests do to them.
//! Not here: other services (see `fleet`), one slot (see `slot`), and how it looks (see `view`).

use std::sync::Arc;

use crate::command::Command;
use crate::memory::Memory;
use crate::phase::Phase;
use crate::restart::Random;
use crate::rollout::Rollout;
use crate::run::{Ending, Run, Stage};
use crate::slot::Slot;
use crate::snapshot::{ExitReport, RolloutSnapshot, ServiceSnapshot, State};
use crate::spec::{Kind, ServiceSpec};
use crate::time::Time;
use crate::verdict::Spoken;

/// Why a service is restarted that nobody asked to.
pub(crate) const REPLACED: &str = "replaced by a new configuration";

/// What somebody wants of a service, whatever it does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    Up,
    Down,
}

/// What a service needs besides itself while something is handled, and where its commands go.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) now: Time,
    /// When we last came out of a stall: a failure that began before says nothing.
    pub(crate) resumed: Time,
    pub(crate) random: Random,
    pub(crate) out: Vec<Command>,
}

#[derive(Debug)]
pub(crate) struct Service {
    /// As the plan in force has it; what runs may go by an older one.
    pub(crate) spec: Arc<ServiceSpec>,
    /// What starts go by instead, because the plan's was rolled back.
    pub(crate) fallback: Option<Arc<ServiceSpec>>,
    pub(crate) want: Want,
    /// One for each instance, and those that are too many until they are down. Never empty.
    pub(crate) slots: Vec<Slot>,
    pub(crate) rollout: Option<Rollout>,
    /// What became of the one before.
    pub(crate) last_rollout: Option<RolloutSnapshot>,
    /// The number of the newest rollout.
    pub(crate) rollouts: u64,
    /// The newest generation and its run, over or not.
    pub(crate) generation: u64,
    pub(crate) run: u64,
    /// Not in the plan any more: forgotten as soon as it is down.
    pub(crate) leaving: bool,
    /// Its listeners may be held.
    pub(crate) open: bool,
    /// The state that was reported last, and since when it is so.
    pub(crate) shown: State,
    pub(crate) since: Time,
    /// What was given to `Remember` last.
    pub(crate) remembered: Memory,
    /// While it waits: something that it depends on, at whatever distance, is down and not about to come up.
    pub(crate) in_vain: bool,
    /// Not yet settled, shown and remembered as it is now.
    pub(crate) changed: bool,
    /// The last snapshot, unless it is out of date.
    pub(crate) view: Option<Arc<ServiceSnapshot>>,
}

impl Service {
    pub(crate) fn new(spec: Arc<ServiceSpec>) -> Self {
        let slots = (0..spec.instances.max(1)).map(Slot::new).collect();
        Self {
            spec,
            fallback: None,
            want: Want::Down,
            slots,
            rollout: None,
            last_rollout: None,
            rollouts: 0,
            generation: 0,
            run: 0,
            leaving: false,
            open: false,
            shown: State::Stopped,
            since: Time::default(),
            remembered: Memory::default(),
            in_vain: false,
            changed: false,
            view: None,
        }
    }

    /// Someone named it: its counters begin anew, and no wait holds it.
    pub(crate) fn start(&mut self, turn: &mut Turn) {
        if self.down() {
            self.fallback = None;
        } else if self.is_outdated() {
            self.restart(REPLACED, turn);
        }
        let want = self.want;
        self.planned().for_each(|slot| slot.start(want));
        self.wish(Want::Up);
    }

    /// Something that was started depends on it. What has completed stays so.
    pub(crate) fn need(&mut self, turn: &mut Turn) {
        if self.is_outdated() {
            self.restart(REPLACED, turn);
        }
        let want = self.want;
        self.planned().for_each(|slot| slot.need(want));
        self.wish(Want::Up);
    }

    /// Someone wants it down. What lives is asked to end when it is its turn.
    pub(crate) fn stop(&mut self, turn: &mut Turn) {
        self.wish(Want::Down);
        self.abandon_rollout("asked to stop", turn);
        for slot in &mut self.slots {
            slot.stop(turn);
        }
    }

    /// Someone wants it down at once.
    pub(crate) fn kill(&mut self, turn: &mut Turn) {
        self.stop(turn);
        for slot in &mut self.slots {
            slot.kill_all(turn);
        }
        self.touch();
    }

    /// Someone wants it by its newest spec, in new processes: without a gap where two may run at once, and of several
    /// instances one after the other in any case.
    pub(crate) fn restart(&mut self, cause: &str, turn: &mut Turn) {
        let want = self.want;
        self.fallback = None;
        let (spec, several) = (Arc::clone(&self.spec), self.spec.instances > 1);
        let rolls = |slot: &Slot| slot.serves() && (several || slot.may_overlap(&spec));
        let rolling = self.planned().filter(|slot| rolls(slot)).map(|slot| slot.instance).collect();
        self.planned().filter(|slot| !rolls(slot)).for_each(|slot| slot.restart(cause, want, turn));
        self.begin_rollout(cause, rolling, turn);
        self.wish(Want::Up);
        self.touch();
    }

    /// The slots that the plan wants.
    pub(crate) fn planned(&mut self) -> impl Iterator<Item = &mut Slot> {
        let instances = self.spec.instances.max(1);
        self.slots.iter_mut().filter(move |slot| slot.instance < instances)
    }

    pub(crate) fn wanted_slots(&self) -> impl Iterator<Item = &Slot> {
        let instances = self.spec.instances.max(1);
        self.slots.iter().filter(move |slot| slot.instance < instances)
    }

    /// As many slots as the plan wants; those that are too many go.
    pub(crate) fn resize(&mut self, turn: &mut Turn) {
        let instances = self.spec.instances.max(1);
        let there = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        for instance in there..instances {
            let mut slot = Slot::new(instance);
            if self.wanted() {
                slot.start(Want::Up);
            }
            self.slots.push(slot);
        }
        for slot in self.slots.iter_mut().filter(|slot| slot.instance >= instances) {
            slot.stop(turn);
        }
        if let Some(rollout) = &mut self.rollout {
            rollout.pending.retain(|instance| *instance < instances);
            rollout.rolled.retain(|(instance, _)| *instance < instances);
        }
        let wanted = self.wanted();
        self.planned()
            .filter(|slot| wanted && matches!(slot.phase, Phase::Stopped))
            .for_each(|slot| slot.start(Want::Up));
        // One that had to go while its process was being made, and is wanted again, may be of a time before.
        let (want, revision) = (self.want, self.start_spec().revision);
        let outdated = |run: &Run| matches!(run.stage, Stage::Spawning { .. }) && run.spec.revision != revision;
        self.planned()
            .filter(|slot| wanted && slot.phase.run().is_some_and(outdated))
            .for_each(|slot| slot.restart(REPLACED, want, turn));
    }

    /// Does what is due by now, and what follows from what has happened.
    pub(crate) fn due(&mut self, turn: &mut Turn) {
        let late = self.deadline().is_some_and(|at| at <= turn.now);
        if !late && !self.changed {
            return;
        }
        for slot in &mut self.slots {
            let others = slot.successor.as_deref_mut().into_iter().chain(&mut slot.leaving);
            slot.phase.run_mut().into_iter().chain(others).for_each(|run| run.due(turn));
        }
        self.touch();
        self.settle(turn);
    }

    /// What follows from what has become of its runs.
    pub(crate) fn settle(&mut self, turn: &mut Turn) {
        for place in 0..self.slots.len() {
            self.sound_alarms(place, turn);
            self.settle_leaving(place, turn);
            self.settle_successor(place, turn);
            self.settle_serving(place, turn);
        }
        self.finish_rollout(turn);
        let instances = self.spec.instances.max(1);
        self.slots.iter_mut().filter(|slot| slot.instance >= instances).for_each(|slot| slot.end_all(turn));
        while self.slots.last().is_some_and(|slot| slot.instance >= instances && slot.down()) {
            self.slots.pop();
        }
        if self.open && self.down() && self.slots.iter().all(|slot| slot.phase.is_closed()) {
            self.open = false;
            turn.out.push(Command::CloseListeners { service: self.spec.name.clone() });
        }
    }

    /// The state is the same, but these are lines that someone should look at.
    fn sound_alarms(&mut self, place: usize, turn: &mut Turn) {
        let slot = &mut self.slots[place];
        let runs = slot.phase.run_mut().into_iter().chain(&mut slot.leaving);
        let alarms: Vec<_> = runs.filter_map(|run| run.alarm.take()).collect();
        for cause in alarms {
            self.show(turn);
            turn.out.push(self.report(self.state(), cause));
        }
    }

    fn settle_leaving(&mut self, place: usize, turn: &mut Turn) {
        let slot = &mut self.slots[place];
        let over: Vec<_> = slot.leaving.extract_if(.., |run| matches!(run.stage, Stage::Over { .. })).collect();
        for run in over {
            if let Some((exit, _)) = self.record(place, run) {
                self.note_drained(exit.generation, exit.seen_off, turn);
            }
        }
    }

    fn settle_serving(&mut self, place: usize, turn: &mut Turn) {
        self.judge_warmth(place, turn);
        if self.hand_over(place, turn) {
            return;
        }
        let slot = &mut self.slots[place];
        let Some(Stage::Over { .. }) = slot.phase.run().map(|run| &run.stage) else {
            return;
        };
        let Phase::Up(run) = std::mem::replace(&mut slot.phase, Phase::Stopped) else {
            return;
        };
        let old = Arc::clone(&run.spec);
        let Some((mut exit, ending)) = self.record(place, *run) else {
            return;
        };
        self.touch();
        let want = self.want_of(place);
        if ending == Ending::Busy && self.fallback.is_some() {
            // The port is not the one that the files name.
            exit.reason = exit.reason.map(|reason| format!("rolled back, and {reason}"));
        }
        if want == Want::Up && self.falls_back(place, &exit, &ending, turn) {
            return;
        }
        let ending = self.asked_meanwhile(place, old, ending);
        let spec = Arc::clone(self.start_spec());
        let spoken = self.slots[place].follow_end(&exit, &ending, want, &spec, turn);
        if spoken == Spoken::Yes {
            // Before the next start changes it again: the log must say how each run ended.
            self.show(turn);
        }
    }

    /// A run that is over is the last one that ended.
    pub(crate) fn record(&mut self, place: usize, run: Run) -> Option<(ExitReport, Ending)> {
        let Stage::Over { exit, ending } = run.stage else {
            return None;
        };
        self.slots[place].last_exit = Some(exit.clone());
        self.touch();
        Some((exit, ending))
    }

    /// What is wanted of one slot.
    pub(crate) fn want_of(&self, place: usize) -> Want {
        if self.slots[place].instance < self.spec.instances.max(1) { self.want } else { Want::Down }
    }

    /// What a start goes by.
    pub(crate) fn start_spec(&self) -> &Arc<ServiceSpec> {
        self.fallback.as_ref().unwrap_or(&self.spec)
    }

    pub(crate) fn begin_anew(&mut self) {
        self.slots.iter_mut().for_each(Slot::begin_anew);
    }

    pub(crate) fn wish(&mut self, want: Want) {
        if self.want != want {
            self.want = want;
        }
        self.touch();
    }

    pub(crate) fn touch(&mut self) {
        self.changed = true;
        self.view = None;
    }

    /// What lives was to go, and is not what the plan in force means.
    fn is_outdated(&self) -> bool {
        let revision = self.start_spec().revision;
        !self.wanted() && self.slots.iter().filter_map(|slot| slot.phase.run()).any(|run| run.spec.revision != revision)
    }

    pub(crate) fn wanted(&self) -> bool {
        self.want == Want::Up
    }

    /// Nothing of it lives, as far as anyone can tell.
    pub(crate) fn down(&self) -> bool {
        self.slots.iter().all(Slot::down)
    }

    /// All that lives of it outlived `SIGKILL`: nobody should wait for it.
    pub(crate) fn undying(&self) -> bool {
        let mut runs = self.slots.iter().flat_map(Slot::runs).peekable();
        runs.peek().is_some() && runs.all(Run::undying)
    }

    /// It is as it should be while it is wanted: what depends on its being ready may start.
    pub(crate) fn ready(&self) -> bool {
        match self.spec.kind {
            Kind::Service => matches!(self.state(), State::Running | State::Rolling),
            Kind::Oneshot => self.completed(),
        }
    }

    pub(crate) fn completed(&self) -> bool {
        self.wanted_slots().all(|slot| matches!(slot.phase, Phase::Completed))
    }

    /// Every instance has a process that is not about to end.
    pub(crate) fn started(&self) -> bool {
        let lives = |slot: &Slot| slot.phase.run().is_some_and(Run::unasked);
        let settled = |slot: &Slot| lives(slot) || matches!(slot.phase, Phase::Completed);
        self.wanted() && self.wanted_slots().all(settled) && self.wanted_slots().any(lives)
    }

    pub(crate) fn run_mut(&mut self, number: u64) -> Option<&mut Run> {
        self.slots.iter_mut().find_map(|slot| slot.run_mut(number))
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.slots.iter().filter_map(Slot::deadline).min()
    }
}
