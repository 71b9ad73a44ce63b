//! What may start now, and what is stopped next: the part of a fleet that looks at more than one service.
//! Not here: what starting and stopping are.

use crate::fleet::{Fleet, Settings};
use crate::phase::{Blocker, Phase};
use crate::roster::Trait;
use crate::service::{Service, Turn};
use crate::slot::Slot;
use crate::snapshot::State;
use crate::spec::{Condition, Kind, ServiceSpec};
use crate::time::{Millis, Time};

/// A start slot is free again at ready, or after this long.
const SLOT_SPAN: Millis = 2_000;

/// Start slots that are free.
struct Free {
    starts: usize,
    /// These and those of services that are ready as soon as they run.
    launches: usize,
}

impl Free {
    /// While nothing starts.
    fn of(settings: &Settings) -> Self {
        let starts = settings.max_parallel_starts.max(1);
        Self { starts, launches: settings.max_parallel_launches.max(starts) }
    }

    fn take(&mut self, spec: &ServiceSpec) {
        self.launches = self.launches.saturating_sub(1);
        if !spec.ready.at_once() {
            self.starts = self.starts.saturating_sub(1);
        }
    }

    fn is_none(&self, spec: &ServiceSpec) -> bool {
        self.launches == 0 || self.starts == 0 && !spec.ready.at_once()
    }
}

impl Fleet {
    /// Stops and starts whatever is next in order.
    pub(crate) fn settle(&mut self, turn: &mut Turn) {
        self.stop_next(turn);
        self.start_next(turn);
    }

    /// When a slot is freed by age, if anyone waits for one.
    pub(crate) fn slot_deadline(&self, now: Time) -> Option<Time> {
        let starved = |slot: &Slot| matches!(slot.phase, Phase::Waiting { blocker: Some(Blocker::NoSlot) });
        let held = |service: &Service| {
            service.rollout.as_ref().is_some_and(|rollout| rollout.blocker == Some(Blocker::NoSlot))
        };
        let mut waiting = self.services.with(Trait::ToStart).map(|place| &self.services[place]);
        if !waiting.any(|service| service.slots.iter().any(starved) || held(service)) {
            return None;
        }
        self.taken().map(|(at, _)| at).filter(|&at| at > now).min()
    }

    /// When each start slot that is taken is free again.
    fn taken(&self) -> impl Iterator<Item = (Time, &ServiceSpec)> {
        let starting = self.services.with(Trait::Starts).map(|place| &self.services[place]);
        let runs = starting.flat_map(|service| &service.slots).flat_map(Slot::runs);
        runs.filter_map(|run| Some((run.slot_until(SLOT_SPAN)?, &*run.spec)))
    }

    /// A service that lives and is wanted down is asked to end once nothing above it, that goes down too, is left.
    fn stop_next(&mut self, turn: &mut Turn) {
        if !self.services.any(Trait::ToEnd) {
            return;
        }
        let mut above: Vec<Option<usize>> = vec![None; self.services.len()];
        for &place in self.graph.downwards() {
            above[place] = self.graph.dependents(place).iter().find_map(|&dependent| {
                let service = &self.services[dependent];
                let goes_down = !service.wanted() && !service.down() && !service.undying();
                if goes_down { Some(dependent) } else { above[dependent] }
            });
            if !self.services[place].ends_next() {
                continue;
            }
            let first = above[place].map(|first| format!("waiting for {} to stop", self.services[first].spec.name));
            let service = &mut self.services[place];
            match first {
                None => service.slots.iter_mut().for_each(|slot| slot.end_all(turn)),
                Some(cause) => {
                    let runs = service.slots.iter_mut().filter_map(|slot| slot.phase.run_mut());
                    runs.filter(|run| run.unasked()).for_each(|run| run.cause.clone_from(&cause));
                }
            }
            service.touch();
        }
    }

    /// In the order of the specs, as far as dependencies and slots allow.
    fn start_next(&mut self, turn: &mut Turn) {
        let waiting: Vec<usize> = self.services.with(Trait::ToStart).collect();
        if waiting.is_empty() {
            return;
        }
        let mut free = Free::of(&self.settings);
        self.taken().filter(|(at, _)| *at > turn.now).for_each(|(_, spec)| free.take(spec));
        // Nobody starts upon what is stopped now, to be replaced.
        for &place in &waiting {
            if self.services[place].next_to_roll().is_some_and(|slot| !self.services[place].may_overlap(slot)) {
                self.roll_next(place, &mut free, turn);
            }
        }
        for place in waiting {
            for slot in 0..self.services[place].slots.len() {
                self.start_slot(place, slot, &mut free, turn);
            }
            self.roll_next(place, &mut free, turn);
        }
    }

    fn start_slot(&mut self, place: usize, slot: usize, free: &mut Free, turn: &mut Turn) {
        let known = match &self.services[place].slots[slot].phase {
            Phase::Waiting { blocker } => *blocker,
            Phase::Backoff { until: due, .. } | Phase::Failed { retry_at: Some(due) } if *due <= turn.now => None,
            Phase::Stopped | Phase::Completed | Phase::Failed { .. } | Phase::Backoff { .. } | Phase::Up(_) => return,
        };
        match self.predecessor(place, slot).or_else(|| self.blocker(place, free)) {
            None => {
                free.take(self.services[place].start_spec());
                let run = self.take_number();
                self.services[place].spawn(slot, run, self.graph.rank(place), turn);
            }
            Some(blocker) if known == Some(blocker) => {}
            Some(blocker) => {
                let cause = self.in_words(place, blocker);
                let service = &mut self.services[place];
                service.slots[slot].enter(Phase::Waiting { blocker: Some(blocker) }, cause);
                service.touch();
            }
        }
    }

    /// A successor of what runs. What it depends on is rolled first.
    fn roll_next(&mut self, place: usize, free: &mut Free, turn: &mut Turn) {
        let Some(slot) = self.services[place].next_to_roll() else {
            return;
        };
        let rolls = |on: usize| self.services[on].rollout.is_some();
        let first = self.graph.dependencies(place).iter().find(|&&(on, _)| rolls(on));
        let first = first.map(|&(on, condition)| Blocker::Dependency { on, condition, state: State::Rolling });
        match self.blocker(place, free).or(first) {
            None if self.services[place].may_overlap(slot) => {
                free.take(self.services[place].start_spec());
                let run = self.take_number();
                self.services[place].roll(slot, run, self.graph.rank(place), turn);
            }
            // It needs its start slot when it is gone.
            None => self.services[place].step(slot, turn),
            Some(blocker) => {
                let cause = self.in_words(place, blocker);
                self.services[place].hold_rollout(blocker, cause);
            }
        }
    }

    fn take_number(&mut self) -> u64 {
        let run = self.next_run;
        self.next_run += 1;
        run
    }

    /// One that is on its way out, beside which nothing may run.
    fn predecessor(&self, place: usize, slot: usize) -> Option<Blocker> {
        let service = &self.services[place];
        let alone = !service.start_spec().rollout.overlap;
        let first = service.slots[slot].leaving.first().filter(|_| alone)?;
        Some(Blocker::Predecessor { generation: first.generation })
    }

    fn blocker(&self, place: usize, free: &Free) -> Option<Blocker> {
        let unmet = self.graph.dependencies(place).iter().find(|&&(on, condition)| !self.holds(on, condition));
        match unmet {
            Some(&(on, condition)) => Some(Blocker::Dependency { on, condition, state: self.services[on].state() }),
            None => free.is_none(self.services[place].start_spec()).then_some(Blocker::NoSlot),
        }
    }

    fn holds(&self, on: usize, condition: Condition) -> bool {
        let service = &self.services[on];
        match condition {
            Condition::Started => service.started() || (service.completed() && service.spec.kind == Kind::Oneshot),
            Condition::Ready => service.ready(),
            Condition::Completed => service.completed(),
        }
    }

    fn in_words(&self, place: usize, blocker: Blocker) -> String {
        match blocker {
            Blocker::NoSlot => {
                let all = Free::of(&self.settings);
                let most = if self.services[place].start_spec().ready.at_once() { all.launches } else { all.starts };
                format!("waiting for its turn: at most {most} start at once")
            }
            Blocker::Predecessor { generation } => format!("waiting for generation {generation} to be gone"),
            Blocker::Dependency { on, condition, state } => {
                let name = &self.services[on].spec.name;
                let condition = match condition {
                    Condition::Started => "started",
                    Condition::Ready if self.services[on].spec.kind == Kind::Oneshot => "completed",
                    Condition::Ready => "ready",
                    Condition::Completed => "completed",
                };
                format!("waiting for {name} to be {condition} ({name} is {})", State::as_str(state))
            }
        }
    }
}
