//! A new control takes over: from what is remembered of a service and what lives of it to its slots.
//! Not here: where the memory was kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::command::Command;
use crate::fleet::Recovered;
use crate::memory::{Memory, RolloutMemory, RunMemory, SlotMemory};
use crate::phase::Phase;
use crate::rollout::{Aim, Rollout};
use crate::run::{Again, Ending, Force, Life, Rest, Run, Stage};
use crate::service::{REPLACED, Service, Turn, Want};
use crate::slot::{Slot, Warm};
use crate::snapshot::{ExitReport, RolloutPhase};
use crate::spec::{ServiceName, ServiceSpec, StopPolicy};
use crate::time::Time;
use crate::words;

/// How something is ended of which nobody knows how it wants to be.
const LAST_RESORT: StopPolicy = StopPolicy { signal: 15, timeout: 10_000 };

/// Live main processes that no remembered run has claimed yet.
type Alive = BTreeMap<u64, (i32, Time)>;

impl Service {
    pub(crate) fn recover(&mut self, recovered: Recovered, turn: &mut Turn) {
        let Recovered { memory, runs, older } = recovered;
        let mut alive: Alive = runs.into_iter().map(|(run, pid, started)| (run, (pid, started))).collect();
        self.remembered.clone_from(&memory);
        self.want = if memory.wanted && !self.leaving { Want::Up } else { Want::Down };
        (self.generation, self.run) = (memory.generation, memory.run);
        (self.rollouts, self.last_rollout) = (memory.rollouts, memory.last_rollout.clone());
        self.fallback = memory.fallback.map(|revision| self.spec_of(revision, None, &older));
        // What an earlier control held, if anything, is held.
        self.open = true;
        for (instance, kept) in (0..).zip(&memory.slots) {
            let slot = self.recover_slot(instance, kept, &mut alive, &older, turn);
            match self.slots.get_mut(instance as usize) {
                Some(place) => *place = slot,
                None => self.slots.push(slot),
            }
        }
        self.rollout = memory.rollout.as_ref().map(|kept| self.recover_rollout(kept, &older, turn.now));
        self.take_unknown(alive, turn);
        self.touch();
        let started = self.slots.iter().find_map(|slot| slot.phase.run()?.life()).map(|life| life.started);
        self.since = started.unwrap_or(turn.now);
        self.shown = self.state();
        self.go_on(&memory, turn);
    }

    fn recover_slot(
        &self,
        instance: u32,
        kept: &SlotMemory,
        alive: &mut Alive,
        older: &[ServiceSpec],
        turn: &mut Turn,
    ) -> Slot {
        let mut take = |run: &RunMemory, turn: &mut Turn| {
            let spec = self.spec_of(run.revision, run.stop.as_ref(), older);
            let process = alive.remove(&run.run);
            Run::recovered(run, instance, spec, process, self.want, turn)
        };
        let mut slot = Slot::new(instance);
        slot.failures = kept.failures;
        slot.restarts = kept.restarts;
        slot.last_exit.clone_from(&kept.last_exit);
        slot.leaving = kept.leaving.iter().map(|run| take(run, turn)).collect();
        slot.successor = kept.successor.as_ref().map(|run| Box::new(take(run, turn)));
        if let Some(Run { stage: Stage::Ready { ready, .. }, .. }) = slot.successor.as_deref_mut() {
            // It bakes anew.
            *ready = turn.now;
        }
        slot.warm = kept.warm.map(|(revision, until)| Warm { spec: self.spec_of(revision, None, older), until });
        let how = kept.last_exit.as_ref().map_or_else(|| "not started yet".to_owned(), words::exit);
        match &kept.serving {
            Some(run) => slot.phase = Phase::Up(Box::new(take(run, turn))),
            None if self.want == Want::Down => slot.enter(Phase::Stopped, how),
            None if kept.completed => slot.enter(Phase::Completed, how),
            None if kept.given_up => slot.enter(Phase::Failed { retry_at: None }, format!("given up: {how}")),
            None => slot.enter(Phase::Waiting { blocker: None }, how),
        }
        slot
    }

    fn recover_rollout(&self, kept: &RolloutMemory, older: &[ServiceSpec], now: Time) -> Rollout {
        let mut facts = kept.facts.clone();
        // A successor has its gates, or its bake, anew.
        let comes_up = self.slots.iter().any(|slot| slot.successor.is_some());
        facts.phase = if comes_up { RolloutPhase::Starting } else { RolloutPhase::Waiting };
        let rolled = kept.rolled.iter().map(|(instance, revision)| (*instance, self.spec_of(*revision, None, older)));
        Rollout {
            facts,
            pending: kept.pending.iter().copied().collect(),
            rolled: rolled.collect(),
            aim: if kept.back { Aim::Back } else { Aim::Forth },
            blocker: None,
            waits: None,
            since: now,
        }
    }

    /// Newer runs than we remember: the earlier control died between its intent and our learning of it.
    fn take_unknown(&mut self, alive: Alive, turn: &mut Turn) {
        for (number, (pid, started)) in alive {
            let spec = Arc::clone(self.start_spec());
            self.generation += 1;
            self.run = self.run.max(number);
            let mut run = Run::new(number, self.generation, 0, spec, started);
            run.begin_start(Life { pid, started, status: None }, BTreeSet::new(), turn);
            if let Some(slot) = self.slots.first_mut() {
                if slot.phase.run().is_none() {
                    slot.phase = Phase::Up(Box::new(run));
                } else {
                    slot.leaving.push(run);
                }
            }
        }
    }

    /// What was begun is done again: to take it for done, or for undone, would both be wrong.
    fn go_on(&mut self, memory: &Memory, turn: &mut Turn) {
        let (again, cause) = match self.want {
            Want::Up => (Again::Restart, "asked to restart"),
            Want::Down => (Again::Fresh, "asked to stop"),
        };
        let was_ending = |run: &Run| memory.runs().any(|kept| kept.run == run.number && kept.ending);
        let was_draining = |run: &Run| memory.runs().any(|kept| kept.run == run.number && kept.draining);
        for slot in &mut self.slots {
            if let Some(run) = slot.phase.run_mut().filter(|run| was_ending(run)) {
                run.end(Ending::Asked(again), cause, turn);
            }
            for run in &mut slot.leaving {
                if was_draining(run) {
                    run.drain("another generation serves", turn);
                } else {
                    run.end(Ending::Asked(Again::Fresh), "asked to end", turn);
                }
            }
        }
        self.resize(turn);
        if self.wanted() && self.is_behind() {
            self.restart(REPLACED, turn);
        }
    }

    /// Something that is not about to be replaced goes by another spec than starts do.
    fn is_behind(&self) -> bool {
        let revision = self.start_spec().revision;
        let newest = |slot: &Slot| slot.successor.as_deref().or(slot.phase.run()).map(|run| run.spec.revision);
        let replaced = |slot: &Slot| {
            let pending = self.rollout.as_ref().is_some_and(|rollout| rollout.pending.contains(&slot.instance));
            slot.successor.is_none() && (pending || slot.phase.run().is_some_and(Run::to_be_restarted))
        };
        self.slots.iter().filter(|slot| !replaced(slot)).filter_map(newest).any(|of| of != revision)
    }

    /// The spec of a revision. Of one that nobody knows any more at least the end is known.
    fn spec_of(&self, revision: u64, stop: Option<&StopPolicy>, older: &[ServiceSpec]) -> Arc<ServiceSpec> {
        if revision == self.spec.revision {
            return Arc::clone(&self.spec);
        }
        if let Some(spec) = older.iter().find(|spec| spec.revision == revision) {
            return Arc::new(spec.clone());
        }
        let stop = stop.unwrap_or(&self.spec.stop).clone();
        Arc::new(ServiceSpec { revision, stop, ..ServiceSpec::clone(&self.spec) })
    }
}

impl Run {
    /// Where it was, with its deadlines anew.
    fn recovered(
        kept: &RunMemory,
        instance: u32,
        spec: Arc<ServiceSpec>,
        process: Option<(i32, Time)>,
        want: Want,
        turn: &mut Turn,
    ) -> Self {
        let begun = process.map_or_else(Time::default, |(_, started)| started);
        let mut run = Self::new(kept.run, kept.generation, instance, spec, begun);
        match (process, &kept.clearing) {
            (Some((pid, started)), _) => {
                let life = Life { pid, started, status: None };
                if kept.ready {
                    let cause = "ready; taken over from an earlier control".to_owned();
                    run.begin_watch(life, started, Vec::new(), cause, turn);
                } else {
                    run.begin_start(life, kept.signs.clone(), turn);
                }
            }
            (None, Some(exit)) => run.clear_known(exit.clone(), want, turn),
            (None, None) => run.clear_unknown(turn),
        }
        run
    }

    /// An earlier control saw its main process end, but not the rest of its tree.
    fn clear_known(&mut self, exit: ExitReport, want: Want, turn: &mut Turn) {
        let ending = match (exit.asked, &exit.reason, want) {
            (false, _, _) => Ending::Own,
            (true, Some(reason), _) => Ending::Unhealthy(reason.clone()),
            (true, None, Want::Up) => Ending::Asked(Again::Restart),
            (true, None, Want::Down) => Ending::Asked(Again::Fresh),
        };
        let cause = format!("{}; looking for the rest of its tree", words::exit(&exit));
        self.clear(exit, ending, cause, turn);
    }

    /// Its main process is gone, or never was; some of its tree may be left.
    fn clear_unknown(&mut self, turn: &mut Turn) {
        let reason = Some("its end was not seen: control was away".to_owned());
        let exit = ExitReport { generation: self.generation, reason, at: turn.now, ..ExitReport::default() };
        let cause = "its end was not seen; looking for the rest of its tree".to_owned();
        self.clear(exit, Ending::Asked(Again::Restart), cause, turn);
    }

    fn clear(&mut self, exit: ExitReport, ending: Ending, cause: String, turn: &mut Turn) {
        let life = Life { pid: exit.pid, started: turn.now, status: None };
        let rest = Rest::new(Force::Polite { kill_at: self.kill_at(turn.now) });
        turn.out.push(Command::Survey { run: self.number });
        self.enter(Stage::Clearing { life, exit, ending, rest }, cause);
    }
}

/// A service that the plan does not know any more, but an earlier control has not forgotten: it is only to be ended.
pub(crate) fn left_behind(name: ServiceName, memory: &Memory) -> Service {
    let newest = memory.runs().max_by_key(|run| run.run);
    let spec = ServiceSpec {
        revision: newest.map_or(0, |run| run.revision),
        stop: newest.and_then(|run| run.stop.clone()).unwrap_or(LAST_RESORT),
        instances: u32::try_from(memory.slots.len()).unwrap_or(1),
        ..ServiceSpec::bare(name)
    };
    Service { leaving: true, ..Service::new(Arc::new(spec)) }
}
