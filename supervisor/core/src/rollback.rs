//! Rollouts that fail: before the switch nothing has happened; soon after it the spec before serves again.
//! Not here: those that go well (see `rollout`).

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::phase::Phase;
use crate::rollout::Aim;
use crate::run::{Ending, Run, Stage};
use crate::service::{Service, Turn};
use crate::slot::Slot;
use crate::snapshot::{ExitReport, RolloutResult};
use crate::spec::ServiceSpec;
use crate::time::Time;
use crate::words;

impl Service {
    /// The successor is ended; the one that serves was not touched, and serves on.
    pub(crate) fn fail_successor(&mut self, place: usize, reason: &str, turn: &mut Turn) {
        let slot = &mut self.slots[place];
        let Some(successor) = slot.successor.take() else {
            return;
        };
        let reason = format!("generation {}: {reason}", successor.generation);
        if matches!(successor.stage, Stage::Over { .. }) {
            self.record(place, *successor);
        } else {
            slot.retire(*successor, turn);
        }
        let slot = &mut self.slots[place];
        let old = slot.phase.run_mut().map(|run| {
            run.cause = format!("rolled back: {reason}");
            Arc::clone(&run.spec)
        });
        self.go_back(old, &reason, turn);
    }

    /// Whether the run that took over and has failed is still warm; while it fails, it stays so.
    pub(crate) fn judge_warmth(&mut self, place: usize, turn: &Turn) {
        let slot = &mut self.slots[place];
        let failed = slot.phase.run().is_some_and(has_failed);
        if let Some(warm) = &mut slot.warm {
            if warm.until < turn.now {
                slot.warm = None;
            } else if failed {
                warm.until = Time(u64::MAX);
            }
        }
    }

    /// The run that took over has failed too soon after: the next one goes by the spec before, at once.
    pub(crate) fn falls_back(&mut self, place: usize, exit: &ExitReport, ending: &Ending, turn: &mut Turn) -> bool {
        let slot = &mut self.slots[place];
        let (instance, warm) = (slot.instance, slot.warm.take());
        let warm = warm.filter(|warm| warm.until == Time(u64::MAX)).map(|warm| warm.spec);
        // While others are still to be rolled, one that fails is a reason to go back, however long ago it took over.
        let forth = self.rollout.as_ref().filter(|rollout| rollout.aim == Aim::Forth && ends_badly(ending));
        let rolled = forth.and_then(|rollout| rollout.rolled.iter().find(|(rolled, _)| *rolled == instance));
        let Some(old) = warm.or_else(|| rolled.map(|(_, old)| Arc::clone(old))) else {
            return false;
        };
        let slot = &mut self.slots[place];
        let reason = format!("generation {}: {}", exit.generation, words::exit(exit));
        slot.restarts += 1;
        slot.enter(Phase::Waiting { blocker: None }, format!("rolled back: {reason}"));
        if let Some(rollout) = &mut self.rollout {
            rollout.rolled.retain(|(rolled, _)| *rolled != instance);
        }
        self.show(turn);
        self.go_back(Some(old), &reason, turn);
        true
    }

    /// The rollout has failed. What was rolled to another spec than `old` goes back to it.
    fn go_back(&mut self, old: Option<Arc<ServiceSpec>>, reason: &str, turn: &mut Turn) {
        let aim = self.rollout.as_ref().map(|rollout| rollout.aim);
        let rolled = self.rollout.as_ref().map(|rollout| rollout.rolled.clone()).unwrap_or_default();
        self.dismiss_successors("the rollout has failed", turn);
        if aim != Some(Aim::Back)
            && let Some(old) = old.filter(|old| old.revision != self.start_spec().revision)
        {
            self.fallback = Some(old);
        }
        match aim {
            Some(_) => self.end_rollout(RolloutResult::RolledBack, reason, turn),
            // It had ended well before.
            None => self.amend_rollout(reason, turn),
        }
        let revision = self.start_spec().revision;
        let stray = |slot: &&Slot| slot.phase.run().is_some_and(|run| run.spec.revision != revision) && slot.serves();
        let back = rolled.iter().map(|(instance, _)| *instance);
        let back = back.filter(|instance| self.slots.iter().filter(stray).any(|slot| slot.instance == *instance));
        let back: BTreeSet<_> = back.collect();
        if aim == Some(Aim::Forth) && !back.is_empty() {
            self.set_out("rolled back", back, Aim::Back, turn);
        }
        self.touch();
    }

    pub(crate) fn may_go_back_to(&self, revision: u64) -> bool {
        let warm = self.slots.iter().filter_map(|slot| slot.warm.as_ref()).map(|warm| &warm.spec);
        let rolled = self.rollout.iter().flat_map(|rollout| &rollout.rolled).map(|(_, spec)| spec);
        warm.chain(rolled).chain(&self.fallback).any(|spec| spec.revision == revision)
    }

    pub(crate) fn revisions(&self) -> BTreeSet<u64> {
        let next = self.wanted().then(|| self.start_spec().revision);
        self.slots.iter().flat_map(Slot::runs).map(|run| run.spec.revision).chain(next).collect()
    }

    fn dismiss_successors(&mut self, cause: &str, turn: &mut Turn) {
        for slot in &mut self.slots {
            if let Some(successor) = slot.successor.take() {
                slot.dismiss(*successor, cause, turn);
            }
        }
    }
}

/// It ends without having been asked to.
pub(crate) fn has_failed(run: &Run) -> bool {
    match &run.stage {
        Stage::Stopping { ending, .. } | Stage::Clearing { ending, .. } | Stage::Over { ending, .. } => {
            ends_badly(ending)
        }
        Stage::Spawning { .. } | Stage::Starting { .. } | Stage::Ready { .. } | Stage::Draining { .. } => false,
    }
}

fn ends_badly(ending: &Ending) -> bool {
    match ending {
        Ending::Own | Ending::Unborn | Ending::Busy | Ending::Unready(_) | Ending::Unhealthy(_) => true,
        Ending::Asked(_) => false,
    }
}
