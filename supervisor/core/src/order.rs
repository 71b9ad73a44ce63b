//! What may start now, and what is stopped next: the part of a fleet that looks at more than one service.
//! Not here: what starting and stopping are.

use crate::fleet::Fleet;
use crate::phase::{Again, Blocker, Ending, Phase};
use crate::service::Turn;
use crate::snapshot::State;
use crate::spec::{Condition, Kind};
use crate::time::{Millis, Time};

/// A start slot is free again at ready, or after this long.
const SLOT_SPAN: Millis = 2_000;

impl Fleet {
    /// Stops and starts whatever is next in order.
    pub(crate) fn settle(&mut self, turn: &mut Turn) {
        self.stop_next(turn);
        self.start_next(turn);
    }

    /// When a slot is freed by age, if anyone waits for one.
    pub(crate) fn slot_deadline(&self, now: Time) -> Option<Time> {
        let starved = |phase: &Phase| matches!(phase, Phase::Waiting { blocker: Some(Blocker::NoSlot) });
        if !self.services.iter().any(|service| starved(&service.phase)) {
            return None;
        }
        self.services.iter().filter_map(|service| service.phase.slot_until(SLOT_SPAN)).filter(|&at| at > now).min()
    }

    /// A service that lives and is wanted down is asked to end once nothing above it, that goes down too, is left.
    fn stop_next(&mut self, turn: &mut Turn) {
        let waits = |phase: &Phase| matches!(phase, Phase::Starting { .. } | Phase::Running { .. });
        if !self.services.iter().any(|service| !service.wanted() && waits(&service.phase)) {
            return;
        }
        let mut above: Vec<Option<usize>> = vec![None; self.services.len()];
        for &place in self.graph.downwards() {
            above[place] = self.graph.dependents(place).iter().find_map(|&dependent| {
                let service = &self.services[dependent];
                let goes_down = !service.wanted() && !service.down() && !service.undying();
                if goes_down { Some(dependent) } else { above[dependent] }
            });
            if self.services[place].wanted() || !waits(&self.services[place].phase) {
                continue;
            }
            match above[place] {
                None => {
                    self.services[place].end(Ending::Asked(Again::Fresh), "asked to stop".to_owned(), turn);
                }
                Some(first) => {
                    let cause = format!("waiting for {} to stop", self.services[first].spec.name);
                    self.services[place].explain(cause);
                }
            }
        }
    }

    /// In the order of the specs, as far as dependencies and slots allow.
    fn start_next(&mut self, turn: &mut Turn) {
        let young = |at: &Time| *at > turn.now;
        let taken = self.services.iter().filter_map(|service| service.phase.slot_until(SLOT_SPAN)).filter(young);
        let mut free = self.settings.max_parallel_starts.max(1).saturating_sub(taken.count());
        for place in 0..self.services.len() {
            let known = match &self.services[place].phase {
                Phase::Waiting { blocker } => *blocker,
                Phase::Backoff { until: due, .. } | Phase::Failed { retry_at: Some(due) } if *due <= turn.now => None,
                Phase::Stopped
                | Phase::Completed
                | Phase::Failed { .. }
                | Phase::Backoff { .. }
                | Phase::Spawning { .. }
                | Phase::Starting { .. }
                | Phase::Running { .. }
                | Phase::Stopping { .. }
                | Phase::Clearing { .. } => continue,
            };
            match self.blocker(place, free) {
                None => {
                    free -= 1;
                    let run = self.next_run;
                    self.next_run += 1;
                    self.services[place].spawn(run, self.graph.rank(place), turn);
                }
                Some(blocker) if known == Some(blocker) => {}
                Some(blocker) => {
                    let cause = self.in_words(blocker);
                    self.services[place].enter(Phase::Waiting { blocker: Some(blocker) }, cause);
                }
            }
        }
    }

    fn blocker(&self, place: usize, free: usize) -> Option<Blocker> {
        let unmet = self.graph.dependencies(place).iter().find(|&&(on, condition)| !self.holds(on, condition));
        match unmet {
            Some(&(on, condition)) => Some(Blocker::Dependency { on, condition, state: self.services[on].state() }),
            None => (free == 0).then_some(Blocker::NoSlot),
        }
    }

    fn holds(&self, on: usize, condition: Condition) -> bool {
        let service = &self.services[on];
        let completed = matches!(service.phase, Phase::Completed);
        match condition {
            Condition::Started => {
                let lives = matches!(service.phase, Phase::Starting { .. } | Phase::Running { .. });
                (lives && service.wanted()) || (completed && service.spec.kind == Kind::Oneshot)
            }
            Condition::Ready => service.ready(),
            Condition::Completed => completed,
        }
    }

    fn in_words(&self, blocker: Blocker) -> String {
        match blocker {
            Blocker::NoSlot => {
                format!("waiting for its turn: at most {} start at once", self.settings.max_parallel_starts.max(1))
            }
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
