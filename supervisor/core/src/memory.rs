//! What must survive a restart of control.
//! Not here: where it is kept, and what a new control makes of it (see `recover`).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::phase::Phase;
use crate::rollout::Aim;
use crate::run::{Run, Stage};
use crate::service::{Service, Turn};
use crate::slot::Slot;
use crate::snapshot::{ExitReport, RolloutSnapshot};
use crate::spec::{Sign, StopPolicy};
use crate::time::Time;

/// What must survive a restart of control, per service.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Wanted up.
    pub wanted: bool,
    /// The newest generation that was started.
    pub generation: u64,
    /// The run of that generation.
    pub run: u64,
    /// The revision that starts go by, when that of the plan was rolled back.
    pub fallback: Option<u64>,
    /// One for each instance.
    pub slots: Vec<SlotMemory>,
    /// The number of the newest rollout.
    pub rollouts: u64,
    /// The one that is under way.
    pub rollout: Option<RolloutMemory>,
    /// What became of the last one.
    pub last_rollout: Option<RolloutSnapshot>,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SlotMemory {
    /// The run that serves, or is the next one to, or ends with nobody after it.
    pub serving: Option<RunMemory>,
    /// The run that comes up beside it.
    pub successor: Option<RunMemory>,
    /// The runs that drain or are ended, the oldest first.
    pub leaving: Vec<RunMemory>,
    /// Failures in a row, as the restart policy counts them.
    pub failures: u32,
    /// Restarts since the service was last started by hand.
    pub restarts: u64,
    /// It ended with success, and the restart policy wants no other run (a oneshot: it has completed).
    pub completed: bool,
    /// The restart policy wants no other run.
    pub given_up: bool,
    /// How the last run ended.
    pub last_exit: Option<ExitReport>,
    /// The revision to go back to, and until when.
    pub warm: Option<(u64, Time)>,
}

/// A run that is not over.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunMemory {
    /// The run.
    pub run: u64,
    /// The generation.
    pub generation: u64,
    /// The revision of the spec it was started with.
    pub revision: u64,
    /// How it is to be asked to end, even if its service is not in the plan any more.
    pub stop: Option<StopPolicy>,
    /// What it has said by itself while it starts: it will not say so again.
    pub signs: BTreeSet<Sign>,
    /// It became ready.
    pub ready: bool,
    /// It was told that another one serves.
    pub draining: bool,
    /// It was asked to end; if its service is wanted nevertheless, another one is to follow it.
    pub ending: bool,
    /// How its main process ended, while the rest of its tree is looked for.
    pub clearing: Option<ExitReport>,
}

/// A rollout that is under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutMemory {
    /// How far it has come.
    pub facts: RolloutSnapshot,
    /// Instances whose successor has not taken over.
    pub pending: Vec<u32>,
    /// Those whose successor has, with the revision before.
    pub rolled: Vec<(u32, u64)>,
    /// It leads back to an older spec.
    pub back: bool,
}

impl Memory {
    /// Every run that is not over. One that was started by the newest generation's number and is not among them is.
    pub fn runs(&self) -> impl Iterator<Item = &RunMemory> {
        self.slots.iter().flat_map(|slot| slot.serving.iter().chain(&slot.successor).chain(&slot.leaving))
    }
}

impl Service {
    pub(crate) fn remember(&mut self, turn: &mut Turn) {
        let memory = self.memory();
        if memory != self.remembered {
            self.remembered.clone_from(&memory);
            turn.out.push(Command::Remember { service: self.spec.name.clone(), memory: Box::new(memory) });
        }
    }

    fn memory(&self) -> Memory {
        Memory {
            wanted: self.wanted(),
            generation: self.generation,
            run: self.run,
            fallback: self.fallback.as_ref().map(|spec| spec.revision),
            slots: self.slots.iter().map(Slot::memory).collect(),
            rollouts: self.rollouts,
            rollout: self.rollout.as_ref().map(|rollout| RolloutMemory {
                facts: rollout.facts.clone(),
                pending: rollout.pending.iter().copied().collect(),
                rolled: rollout.rolled.iter().map(|(instance, spec)| (*instance, spec.revision)).collect(),
                back: rollout.aim == Aim::Back,
            }),
            last_rollout: self.last_rollout.clone(),
        }
    }
}

impl Slot {
    fn memory(&self) -> SlotMemory {
        SlotMemory {
            serving: self.phase.run().map(Run::memory),
            successor: self.successor.as_deref().map(Run::memory),
            leaving: self.leaving.iter().map(Run::memory).collect(),
            failures: self.failures,
            restarts: self.restarts,
            completed: matches!(self.phase, Phase::Completed),
            given_up: matches!(self.phase, Phase::Failed { retry_at: None }),
            last_exit: self.last_exit.clone(),
            warm: self.warm.as_ref().map(|warm| (warm.spec.revision, warm.until)),
        }
    }
}

impl Run {
    fn memory(&self) -> RunMemory {
        let (mut ready, mut draining, mut ending, mut clearing) = (false, false, false, None);
        let mut signs = BTreeSet::new();
        match &self.stage {
            Stage::Spawning { .. } | Stage::Over { .. } => {}
            Stage::Starting { gates, .. } => signs.clone_from(gates.signs()),
            Stage::Ready { .. } => ready = true,
            Stage::Draining { .. } => (ready, draining) = (true, true),
            Stage::Stopping { ready: since, .. } => (ready, ending) = (since.is_some(), true),
            Stage::Clearing { exit, .. } => clearing = Some(exit.clone()),
        }
        let stop = Some(self.spec.stop.clone());
        let (run, generation, revision) = (self.number, self.generation, self.spec.revision);
        RunMemory { run, generation, revision, stop, signs, ready, draining, ending, clearing }
    }
}
