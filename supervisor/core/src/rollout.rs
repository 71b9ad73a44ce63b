//! How one generation follows another while it serves: up, ready, baked, switched; or back, and nothing has happened.
//! Not here: restarts with a gap (see `slot`), and when a successor may start (see `order`).

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::command::Command;
use crate::event::SeenOff;
use crate::phase::{Blocker, Phase};
use crate::rollback::has_failed;
use crate::run::{Again, Ending, Run, Stage};
use crate::service::{Service, Turn};
use crate::slot::Warm;
use crate::snapshot::{RolloutPhase, RolloutResult, RolloutSnapshot};
use crate::spec::ServiceSpec;
use crate::time::Time;
use crate::words;

/// A rollout that is under way: one instance after the other.
#[derive(Debug, Clone)]
pub(crate) struct Rollout {
    pub(crate) facts: RolloutSnapshot,
    /// Instances whose successor has not taken over.
    pub(crate) pending: BTreeSet<u32>,
    /// Those whose successor has, with what they ran by before.
    pub(crate) rolled: Vec<(u32, Arc<ServiceSpec>)>,
    pub(crate) aim: Aim,
    pub(crate) blocker: Option<Blocker>,
    /// The same in words.
    pub(crate) waits: Option<String>,
    /// When the instance that is being rolled entered its phase.
    pub(crate) since: Time,
}

/// Where a rollout leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// To the newest spec.
    Forth,
    /// To the one before, because the newest has failed elsewhere. It has no way back of its own.
    Back,
}

impl Service {
    /// These instances are to be followed by new generations. Whatever was under way is out of date by that.
    pub(crate) fn begin_rollout(&mut self, cause: &str, pending: BTreeSet<u32>, turn: &mut Turn) {
        let untouched = self.slots.iter().all(|slot| slot.successor.is_none());
        let same = self.rollout.as_ref().is_some_and(|old| old.aim == Aim::Forth && old.pending == pending);
        if same && untouched {
            return;
        }
        self.end_rollout(RolloutResult::Superseded, "a newer request", turn);
        for slot in &mut self.slots {
            if let Some(mut successor) = slot.successor.take() {
                successor.kill("killed for a newer request", turn);
                slot.retire(*successor, turn);
            }
        }
        for slot in self.slots.iter_mut().filter(|slot| pending.contains(&slot.instance)) {
            // What it would go back to is not what anybody asks for now.
            slot.warm = None;
        }
        if !pending.is_empty() {
            self.rollouts += 1;
            self.set_out(cause, pending, Aim::Forth, turn);
        }
    }

    pub(crate) fn set_out(&mut self, cause: &str, pending: BTreeSet<u32>, aim: Aim, turn: &mut Turn) {
        let facts = RolloutSnapshot::new(self.rollouts, cause, turn.now);
        let rolled = Vec::new();
        self.rollout = Some(Rollout { facts, pending, rolled, aim, blocker: None, waits: None, since: turn.now });
        self.tell_rollout(turn);
    }

    /// The slot whose successor is to be started next, if it is time for one: one at a time.
    pub(crate) fn next_to_roll(&self) -> Option<usize> {
        let rollout = self.rollout.as_ref()?;
        if self.slots.iter().any(|slot| slot.successor.is_some()) {
            return None;
        }
        if !self.steady(rollout) {
            return None;
        }
        let place = self.slots.iter().position(|slot| rollout.pending.contains(&slot.instance) && slot.serves())?;
        let slot = &self.slots[place];
        // One that was given up leaves before the next one comes, or a storm of requests would be one of processes.
        let serving = slot.phase.run().map_or(0, |run| run.generation);
        let given_up = slot.leaving.iter().any(|run| run.generation > serving && !run.undying());
        (!given_up).then_some(place)
    }

    /// Every instance that was rolled serves.
    fn steady(&self, rollout: &Rollout) -> bool {
        let serves =
            |&(instance, _): &(u32, _)| self.slots.iter().any(|slot| slot.instance == instance && slot.serves());
        rollout.rolled.iter().all(serves)
    }

    /// It has to wait for its turn.
    pub(crate) fn hold_rollout(&mut self, blocker: Blocker, cause: String) {
        if let Some(rollout) = &mut self.rollout
            && rollout.blocker != Some(blocker)
        {
            (rollout.blocker, rollout.waits) = (Some(blocker), Some(cause));
            self.touch();
        }
    }

    pub(crate) fn roll(&mut self, place: usize, run: u64, stop_rank: u32, turn: &mut Turn) {
        let from = self.slots[place].phase.run().map_or(0, |run| run.generation);
        let successor = self.conceive(place, run, turn);
        if let Some(rollout) = &mut self.rollout {
            let facts = &mut rollout.facts;
            (facts.instance, facts.from, facts.to) = (successor.instance, from, successor.generation);
            facts.waited = Some(turn.now.since(rollout.since));
            facts.phase = RolloutPhase::Starting;
            (rollout.blocker, rollout.waits, rollout.since) = (None, None, turn.now);
        }
        self.slots[place].successor = Some(Box::new(successor));
        self.announce(run, stop_rank, turn);
        self.tell_rollout(turn);
    }

    /// The next generation of this instance may come up beside the one that serves.
    pub(crate) fn may_overlap(&self, place: usize) -> bool {
        self.slots[place].may_overlap(self.start_spec())
    }

    /// The one that serves is stopped, and started again when it is gone; the others serve meanwhile.
    pub(crate) fn step(&mut self, place: usize, turn: &mut Turn) {
        let Some(old) = self.slots[place].phase.run().map(|run| (run.generation, Arc::clone(&run.spec))) else {
            return;
        };
        let instance = self.slots[place].instance;
        let cause = self.rollout.as_ref().map_or_else(String::new, |rollout| rollout.facts.cause.clone());
        self.slots[place].restart(&cause, self.want, turn);
        if let Some(rollout) = &mut self.rollout {
            let facts = &mut rollout.facts;
            (facts.instance, facts.from, facts.to) = (instance, old.0, 0);
            facts.waited = Some(turn.now.since(rollout.since));
            facts.phase = RolloutPhase::Starting;
            (rollout.blocker, rollout.waits, rollout.since) = (None, None, turn.now);
            rollout.pending.remove(&instance);
            rollout.rolled.push((instance, old.1));
        }
        self.tell_rollout(turn);
    }

    /// What was stopped for a rollout is started again.
    pub(crate) fn note_start(&mut self, instance: u32) {
        let generation = self.generation;
        if let Some(rollout) = &mut self.rollout
            && rollout.facts.to == 0
            && rollout.facts.from > 0
            && rollout.facts.instance == instance
        {
            rollout.facts.to = generation;
        }
    }

    /// What has become of a successor.
    pub(crate) fn settle_successor(&mut self, place: usize, turn: &mut Turn) {
        let Some(successor) = &mut self.slots[place].successor else {
            return;
        };
        let failed = match &successor.stage {
            Stage::Spawning { .. } | Stage::Starting { .. } => return,
            Stage::Ready { .. } | Stage::Draining { .. } => None,
            Stage::Stopping { .. } => Some(successor.cause.clone()),
            Stage::Clearing { exit, .. } | Stage::Over { exit, .. } => Some(words::exit(exit)),
        };
        match failed {
            Some(reason) => self.fail_successor(place, &reason, turn),
            None => self.bake(place, turn),
        }
    }

    /// It is ready: tried at once by what will watch it later, and let serve after its `bake`.
    fn bake(&mut self, place: usize, turn: &mut Turn) {
        if let Some(rollout) = &mut self.rollout
            && rollout.facts.phase == RolloutPhase::Starting
        {
            rollout.facts.starting = Some(turn.now.since(rollout.since));
            rollout.facts.phase = RolloutPhase::Baking;
            rollout.since = turn.now;
            if let Some(Run { stage: Stage::Ready { vitals, .. }, .. }) = self.slots[place].successor.as_deref_mut() {
                vitals.hasten(turn.now);
            }
            self.tell_rollout(turn);
        }
        if let Some(successor) = &mut self.slots[place].successor {
            successor.due(turn);
        }
        let slot = &mut self.slots[place];
        if slot.bake_deadline().is_some_and(|at| at <= turn.now)
            && let Some(successor) = slot.successor.take()
        {
            let cause = format!("generation {} serves", successor.generation);
            let old = self.take_over(place, *successor, turn);
            if let Some(mut old) = old {
                old.drain(&cause, turn);
                self.slots[place].retire(old, turn);
            }
        }
    }

    /// The successor serves from now on; gives the one that did.
    fn take_over(&mut self, place: usize, mut successor: Run, turn: &mut Turn) -> Option<Run> {
        let slot = &mut self.slots[place];
        let instance = slot.instance;
        let patience = if successor.serves() { 0 } else { successor.spec.ready.deadline };
        let warm = successor.spec.rollout.warm;
        if successor.serves() {
            successor.cause = format!("generation {} has taken over", successor.generation);
        }
        let Phase::Up(old) = std::mem::replace(&mut slot.phase, Phase::Up(Box::new(successor))) else {
            return None;
        };
        slot.restarts += 1;
        slot.warm = None;
        if let Some(rollout) = &mut self.rollout {
            if warm > 0 && rollout.aim == Aim::Forth {
                slot.warm =
                    Some(Warm { spec: Arc::clone(&old.spec), until: turn.now.after(patience.saturating_add(warm)) });
            }
            if rollout.facts.phase == RolloutPhase::Baking {
                rollout.facts.baking = Some(turn.now.since(rollout.since));
            }
            rollout.pending.remove(&instance);
            rollout.rolled.push((instance, Arc::clone(&old.spec)));
            if !matches!(old.stage, Stage::Over { .. }) {
                rollout.facts.leaving.push(old.generation);
            }
            rollout.facts.phase =
                if rollout.pending.is_empty() { RolloutPhase::Draining } else { RolloutPhase::Waiting };
            rollout.since = turn.now;
        }
        self.touch();
        if self.rollout.as_ref().is_some_and(|rollout| !rollout.pending.is_empty()) {
            self.tell_rollout(turn);
        }
        Some(*old)
    }

    /// The one that serves has failed: whoever comes up is not asked to wait any longer.
    pub(crate) fn hand_over(&mut self, place: usize, turn: &mut Turn) -> bool {
        let slot = &mut self.slots[place];
        let failed = slot.phase.run().is_some_and(has_failed);
        if !failed {
            return false;
        }
        let Some(successor) = slot.successor.take() else {
            return false;
        };
        if let Some(old) = self.take_over(place, *successor, turn) {
            if matches!(old.stage, Stage::Over { .. }) {
                self.record(place, old);
            } else {
                self.slots[place].retire(old, turn);
            }
        }
        true
    }

    /// It was to be followed by another one anyway: its end is no verdict on the service.
    pub(crate) fn asked_meanwhile(&mut self, place: usize, old: Arc<ServiceSpec>, ending: Ending) -> Ending {
        let instance = self.slots[place].instance;
        let Some(rollout) = &mut self.rollout else {
            return ending;
        };
        if !rollout.pending.remove(&instance) {
            return ending;
        }
        rollout.rolled.push((instance, old));
        Ending::Asked(Again::Restart)
    }

    /// Nobody wants it any more.
    pub(crate) fn abandon_rollout(&mut self, reason: &str, turn: &mut Turn) {
        self.end_rollout(RolloutResult::Abandoned, reason, turn);
    }

    /// Every instance has been rolled.
    pub(crate) fn finish_rollout(&mut self, turn: &mut Turn) {
        let done = self.rollout.as_ref().is_some_and(|rollout| {
            // The last one has taken over. One that was stopped first is not there before it serves.
            let taken_over = rollout.facts.phase == RolloutPhase::Draining;
            rollout.pending.is_empty() && (taken_over || self.steady(rollout))
        });
        if done && self.slots.iter().all(|slot| slot.successor.is_none()) {
            self.end_rollout(RolloutResult::Done, "", turn);
        }
    }

    pub(crate) fn end_rollout(&mut self, result: RolloutResult, reason: &str, turn: &mut Turn) {
        let Some(Rollout { mut facts, aim, .. }) = self.rollout.take() else {
            return;
        };
        self.touch();
        if aim == Aim::Back {
            // What is told is the rollout that made it necessary.
            return;
        }
        facts.result = Some(result);
        facts.reason = (!reason.is_empty()).then(|| reason.to_owned());
        facts.took = Some(turn.now.since(facts.asked));
        facts.phase = match result {
            RolloutResult::Done if !facts.leaving.is_empty() => RolloutPhase::Draining,
            RolloutResult::Done | RolloutResult::RolledBack | RolloutResult::Superseded | RolloutResult::Abandoned => {
                RolloutPhase::Over
            }
        };
        self.last_rollout = Some(facts);
        self.tell_rollout(turn);
    }

    pub(crate) fn amend_rollout(&mut self, reason: &str, turn: &mut Turn) {
        if let Some(facts) = &mut self.last_rollout {
            facts.result = Some(RolloutResult::RolledBack);
            facts.reason = Some(reason.to_owned());
            facts.phase = RolloutPhase::Over;
            self.tell_rollout(turn);
        }
    }

    /// A generation that was on its way out is gone.
    pub(crate) fn note_drained(&mut self, generation: u64, seen_off: Option<SeenOff>, turn: &mut Turn) {
        let current = self.rollout.as_mut().map(|rollout| &mut rollout.facts);
        let mut told = current.into_iter().chain(&mut self.last_rollout);
        let Some(facts) = told.find(|facts| facts.leaving.contains(&generation)) else {
            return;
        };
        facts.leaving.retain(|leaving| *leaving != generation);
        facts.seen_off = match (facts.seen_off, seen_off) {
            (Some(sum), Some(one)) => Some(sum.plus(one)),
            (sum, one) => sum.or(one),
        };
        if facts.leaving.is_empty()
            && facts.phase == RolloutPhase::Draining
            && let Some(took) = facts.took
        {
            facts.draining = Some(turn.now.since(facts.asked.after(took)));
            facts.phase = RolloutPhase::Over;
            self.tell_rollout(turn);
        }
    }

    /// The rollout that is shown: the one under way, or the last one.
    pub(crate) fn shown_rollout(&self) -> Option<&RolloutSnapshot> {
        let current = self.rollout.as_ref().filter(|rollout| rollout.aim == Aim::Forth);
        current.map(|rollout| &rollout.facts).or(self.last_rollout.as_ref())
    }

    fn tell_rollout(&mut self, turn: &mut Turn) {
        self.touch();
        if self.rollout.as_ref().is_some_and(|rollout| rollout.aim == Aim::Back) {
            return;
        }
        if let Some(facts) = self.shown_rollout() {
            let rollout = Box::new(facts.clone());
            turn.out.push(Command::Rollout { service: self.spec.name.clone(), rollout });
        }
    }
}
