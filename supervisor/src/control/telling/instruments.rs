//! What the loop counts as it goes, and what can be measured when someone asks.
//! Not here: how it is shown (`api::metrics`). Nothing here decides anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use supervisor_core::{
    Event, ExitReport, OutOfMemory, ProbeOutcome, RolloutResult, RolloutSnapshot, SeenOff, ServiceName, ServiceSnapshot,
};
use supervisor_logs::Pump;

use crate::control::run_loop::Control;
use crate::resources::Sampler;
use crate::signals;

/// Upper bounds in milliseconds of the buckets of a try's duration; a probe's usual timeout is 2 s.
pub(crate) const PROBE_BUCKETS_MS: [u64; 10] = [1, 5, 10, 50, 100, 250, 500, 1000, 2000, 5000];
/// Upper bounds in milliseconds of the buckets of a rollout's duration, which holds a start and a bake.
pub(crate) const ROLLOUT_BUCKETS_MS: [u64; 9] = [100, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000];
/// Upper bounds in milliseconds of the buckets of the time from a process until it is ready.
pub(crate) const START_BUCKETS_MS: [u64; 10] = [10, 50, 100, 250, 500, 1_000, 2_500, 10_000, 30_000, 60_000];
/// So many checks, or ways to end, of one service are told apart; further ones are counted together.
const MAX_KINDS: usize = 16;
const FURTHER: &str = "other";

/// Shared by the loop and those who read.
#[derive(Clone)]
pub(crate) struct Instruments {
    pub(crate) sampler: Arc<Sampler>,
    pub(crate) pump: Pump,
    tallies: Arc<Mutex<BTreeMap<ServiceName, Tally>>>,
}

/// What happened to one service since this control began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// By how it ended: an exit code, a signal's name, or that no process came to be.
    pub(crate) exits: BTreeMap<String, u64>,
    /// By check.
    pub(crate) probes: BTreeMap<String, Tries>,
    pub(crate) rollouts: Rollouts,
    pub(crate) starts: Starts,
    /// Ends for want of memory.
    pub(crate) oom_kills: u64,
    /// Connections that generations have seen off, by their own words.
    pub(crate) drained: u64,
    pub(crate) cut: u64,
}

/// Rollouts that are over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rollouts {
    /// One that had done well and was taken back later counts for both.
    results: BTreeMap<&'static str, u64>,
    /// Of those that have done well, from the request on.
    pub(crate) sum_ms: u64,
    /// As those of `Tries`, with `ROLLOUT_BUCKETS_MS`.
    pub(crate) buckets: [u64; ROLLOUT_BUCKETS_MS.len() + 1],
    /// The last one that was counted, and as what.
    last: Option<(u64, RolloutResult)>,
}

/// Runs that became ready, by the time that took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Starts {
    pub(crate) sum_ms: u64,
    /// As those of `Tries`, with `START_BUCKETS_MS`.
    pub(crate) buckets: [u64; START_BUCKETS_MS.len() + 1],
}

/// Tries of one check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tries {
    pub(crate) failed: u64,
    pub(crate) sum_ms: u64,
    /// Those that took no longer than the bound in the same place of `PROBE_BUCKETS_MS`, and longer than the one before;
    /// the last are those that took longer than all bounds.
    pub(crate) buckets: [u64; PROBE_BUCKETS_MS.len() + 1],
}

impl Instruments {
    pub(crate) fn new(cookie: &str, pump: Pump) -> Self {
        Self { sampler: Arc::new(Sampler::new(cookie.to_owned())), pump, tallies: Arc::default() }
    }

    /// As they are now; those of services that are not `known` any more are forgotten.
    pub(crate) fn tallies(&self, known: impl Fn(&ServiceName) -> bool) -> BTreeMap<ServiceName, Tally> {
        let mut tallies = self.lock();
        tallies.retain(|name, _| known(name));
        tallies.clone()
    }

    /// Counters are right after each statement, whoever panicked.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ServiceName, Tally>> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Instruments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instruments").finish_non_exhaustive()
    }
}

impl Tally {
    pub(crate) fn exited(&mut self, how: &str) {
        *self.exits.entry(kind(&self.exits, how)).or_default() += 1;
    }

    pub(crate) fn probed(&mut self, check: &str, took_ms: u64, outcome: &ProbeOutcome) {
        let tries = self.probes.entry(kind(&self.probes, check)).or_default();
        tries.buckets[bucket(&PROBE_BUCKETS_MS, took_ms)] += 1;
        tries.sum_ms = tries.sum_ms.saturating_add(took_ms);
        tries.failed += u64::from(matches!(outcome, ProbeOutcome::Failed(_)));
    }
}

const RESULTS: [RolloutResult; 4] =
    [RolloutResult::Done, RolloutResult::RolledBack, RolloutResult::Superseded, RolloutResult::Abandoned];

impl Rollouts {
    /// How often each result came, also those that never did: a counter must be there before its first step, or that is
    /// none to whoever looks for an increase.
    pub(crate) fn by_result(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RESULTS.into_iter().map(word).map(|word| (word, self.results.get(word).copied().unwrap_or_default()))
    }

    /// It may be told several times what has come of one.
    fn told(&mut self, rollout: &RolloutSnapshot) {
        let Some(result) = rollout.result.filter(|result| self.last != Some((rollout.number, *result))) else { return };
        self.last = Some((rollout.number, result));
        *self.results.entry(word(result)).or_default() += 1;
        if let (RolloutResult::Done, Some(took)) = (result, rollout.took) {
            self.buckets[bucket(&ROLLOUT_BUCKETS_MS, took)] += 1;
            self.sum_ms = self.sum_ms.saturating_add(took);
        }
    }
}

fn word(result: RolloutResult) -> &'static str {
    match result {
        RolloutResult::Done => "done",
        RolloutResult::RolledBack => "rolled-back",
        RolloutResult::Superseded => "superseded",
        RolloutResult::Abandoned => "abandoned",
    }
}

fn bucket(bounds: &[u64], took_ms: u64) -> usize {
    bounds.iter().position(|bound| took_ms <= *bound).unwrap_or(bounds.len())
}

fn kind<T>(known: &BTreeMap<String, T>, name: &str) -> String {
    let room = known.contains_key(name) || known.len() < MAX_KINDS - 1;
    if room { name.to_owned() } else { FURTHER.to_owned() }
}

fn how(exit: &ExitReport) -> String {
    match (exit.code, exit.signal) {
        (Some(code), _) => code.to_string(),
        (None, Some(signal)) => format!("SIG{}", signals::name(signal)),
        (None, None) => "unknown".to_owned(),
    }
}

impl Control {
    /// Before the core deals with it, as its run may be forgotten then.
    pub(crate) fn count(&self, event: &Event) {
        match event {
            Event::Exited { run, exit, .. } => self.tally(*run, |tally| {
                tally.exited(&how(exit));
                tally.oom_kills += u64::from(matches!(exit.oom, Some(OutOfMemory::Limit | OutOfMemory::Machine)));
            }),
            Event::SpawnFailed { run, .. } => self.tally(*run, |tally| tally.exited("not-started")),
            Event::Probed { run, check, began, outcome } => {
                let took = crate::control::now().since(*began);
                if let Some(title) = self.title(*run, *check) {
                    self.tally(*run, |tally| tally.probed(&title, took, outcome));
                }
            }
            Event::StartRequested(_)
            | Event::StopRequested(_)
            | Event::KillRequested(_)
            | Event::RestartRequested(_)
            | Event::Replanned(_)
            | Event::ShutdownRequested { .. }
            | Event::ShutdownNowRequested
            | Event::Spawned { .. }
            | Event::Surveyed { .. }
            | Event::SignSeen { .. }
            | Event::SignLost { .. }
            | Event::NotifiedStatus { .. }
            | Event::NotifiedWatchdog { .. }
            | Event::NotifiedDrained { .. }
            | Event::Overran { .. }
            | Event::DeadlineReached => {}
        }
    }

    /// Those that have become ready between two views.
    pub(crate) fn count_starts(&self, before: &[Arc<ServiceSnapshot>], after: &[Arc<ServiceSnapshot>]) {
        let ready = |one: &ServiceSnapshot, run: u64| {
            one.generations.iter().any(|of| of.run.run == run && of.run.ready.is_some())
        };
        for (place, now) in after.iter().enumerate() {
            // Mostly they stand where they stood: searching for each would take its time with hundreds of them.
            let same_place = before.get(place).filter(|old| old.name == now.name);
            let old = same_place.or_else(|| before.iter().find(|old| old.name == now.name));
            if old.is_some_and(|old| Arc::ptr_eq(old, now)) {
                continue;
            }
            for run in now.generations.iter().map(|of| &of.run) {
                if let Some(at) = run.ready.filter(|_| !old.is_some_and(|old| ready(old, run.run))) {
                    let took = at.since(run.started);
                    let mut tallies = self.instruments.lock();
                    let starts = &mut tallies.entry(now.name.clone()).or_default().starts;
                    starts.buckets[bucket(&START_BUCKETS_MS, took)] += 1;
                    starts.sum_ms = starts.sum_ms.saturating_add(took);
                }
            }
        }
    }

    pub(crate) fn count_rollout(&self, service: &ServiceName, rollout: &RolloutSnapshot) {
        self.instruments.lock().entry(service.clone()).or_default().rollouts.told(rollout);
    }

    /// What a generation has said of its connections.
    pub(crate) fn count_seen_off(&self, service: &ServiceName, exit: &ExitReport) {
        if let Some(SeenOff { drained, cut }) = exit.seen_off {
            let mut tallies = self.instruments.lock();
            let tally = tallies.entry(service.clone()).or_default();
            tally.drained = tally.drained.saturating_add(drained);
            tally.cut = tally.cut.saturating_add(cut);
        }
    }

    fn tally(&self, run: u64, change: impl FnOnce(&mut Tally)) {
        if let Some(service) = self.service_of(run) {
            change(self.instruments.lock().entry(service).or_default());
        }
    }

    /// Also of one whose process is still being prepared.
    fn service_of(&self, run: u64) -> Option<ServiceName> {
        if let Some(run) = self.runs.get(&run) {
            return Some(run.record.service.clone());
        }
        let view = self.view.load();
        let of = |number: u64| view.services.iter().find(|one| one.generations.iter().any(|of| of.run.run == number));
        of(run).map(|service| service.name.clone())
    }

    /// What a person calls a check.
    fn title(&self, run: u64, check: supervisor_core::CheckId) -> Option<String> {
        let spec = &self.of_run(run).or_else(|| self.catalogue.current(&self.service_of(run)?))?.spec;
        let live = spec.live.iter().flat_map(|live| &live.checks);
        let mut all = spec.ready.checks.iter().chain(live);
        all.find(|one| one.id == check).map(|one| one.title.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_ways_to_end_there_are_only_so_many_are_told_apart() {
        let mut tally = Tally::default();
        for code in 0..200 {
            tally.exited(&code.to_string());
            tally.exited("0");
        }
        assert_eq!(tally.exits.len(), MAX_KINDS);
        assert_eq!(tally.exits["0"], 201);
        assert_eq!(tally.exits.values().sum::<u64>(), 400);
        assert!(tally.exits[FURTHER] > 180);
    }

    #[test]
    fn a_rollout_counts_once_for_each_result_however_often_it_is_told() {
        let mut rollouts = Rollouts::default();
        let mut tell = |number, result, took| {
            let mut told = crate::rollouts::example(number, result);
            told.took = took;
            rollouts.told(&told);
        };
        tell(1, None, None);
        tell(1, Some(RolloutResult::Done), Some(2_400));
        tell(1, Some(RolloutResult::Done), Some(2_400));
        tell(1, Some(RolloutResult::RolledBack), Some(2_400));
        tell(2, Some(RolloutResult::RolledBack), Some(9));
        tell(3, Some(RolloutResult::Done), Some(400_000));
        assert_eq!(rollouts.results, BTreeMap::from([("done", 2), ("rolled-back", 2)]));
        assert_eq!((rollouts.sum_ms, rollouts.buckets), (402_400, [0, 0, 0, 1, 0, 0, 0, 0, 0, 1]));
    }

    #[test]
    fn a_try_is_counted_in_one_bucket() {
        let mut tally = Tally::default();
        for (took, outcome) in
            [(0, ProbeOutcome::Passed), (5, ProbeOutcome::Failed(String::new())), (99_999, ProbeOutcome::Passed)]
        {
            tally.probed("tcp 1", took, &outcome);
        }
        let tries = &tally.probes["tcp 1"];
        assert_eq!((tries.buckets[0], tries.buckets[1], tries.buckets[PROBE_BUCKETS_MS.len()]), (1, 1, 1));
        assert_eq!((tries.failed, tries.sum_ms), (1, 100_004));
    }
}
