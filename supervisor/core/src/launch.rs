//! A run is asked for: numbered, remembered, then made.
//! Not here: when it may be (see `order`), and what becomes of it (see `starting`).

use std::sync::Arc;

use crate::command::Command;
use crate::phase::Phase;
use crate::run::{Arrival, Run, Stage};
use crate::service::{Service, Turn};
use crate::snapshot::State;

impl Service {
    /// The run that is to serve.
    pub(crate) fn spawn(&mut self, place: usize, number: u64, stop_rank: u32, turn: &mut Turn) {
        let mut run = self.conceive(place, number, turn);
        let slot = &mut self.slots[place];
        if let Phase::Failed { .. } = slot.phase {
            // A port that is still held shows as one failure, not as a start every five seconds.
            run.stage = Stage::Spawning { arrival: Arrival::AsWanted, shown: State::Failed };
            run.cause.clone_from(&slot.cause);
        }
        let instance = slot.instance;
        slot.phase = Phase::Up(Box::new(run));
        self.note_start(instance);
        self.touch();
        self.announce(number, stop_rank, turn);
    }

    pub(crate) fn conceive(&mut self, place: usize, number: u64, turn: &Turn) -> Run {
        self.generation += 1;
        self.run = number;
        self.open = true;
        let spec = Arc::clone(self.start_spec());
        Run::new(number, self.generation, self.slots[place].instance, spec, turn.now)
    }

    pub(crate) fn announce(&mut self, number: u64, stop_rank: u32, turn: &mut Turn) {
        // Intent precedes the process: whoever finds the process knows whose it is.
        self.remember(turn);
        let service = self.spec.name.clone();
        if let Some(Run { generation, instance, spec, .. }) = self.run_mut(number) {
            let (generation, instance, revision) = (*generation, *instance, spec.revision);
            turn.out.push(Command::Spawn { service, run: number, generation, instance, revision, stop_rank });
        }
    }
}
