//! What the trees of services use: CPU, memory, descriptors, threads. Looked at only when someone asks.
//! Not here: anything that supervision waits for.

mod forest;
mod look;
mod meter;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use supervisor_core::{RunSnapshot, ServiceName, Time};
use tokio::sync::Semaphore;

use crate::control::{self, View, tree};
use crate::platform::{self, Environments};
use forest::{Owner, Roots};
use look::{Seen, processes};
use meter::Meter;

/// A look is good for so long: whoever asks more often gets the same one.
const FRESH: Duration = Duration::from_secs(5);
/// CPU is told since the look before, unless that is longer ago than this.
const RECENT_MS: u64 = 60_000;
/// Whoever asks is told nothing rather than kept waiting longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a tree uses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Usage {
    /// Cores in use since the look before, if that was less than a minute ago; else on average since the start.
    pub(crate) cpu_cores: f64,
    /// CPU time in milliseconds, of all runs that this control has seen.
    pub(crate) cpu_ms: u64,
    /// Resident sets (RSS) added up: pages that processes share count for each of them.
    pub(crate) memory_bytes: u64,
    /// `None` where the kernel does not tell us.
    pub(crate) open_fds: Option<u64>,
    pub(crate) threads: Option<u64>,
    pub(crate) processes: u64,
}

/// One look.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) at: Time,
    pub(crate) services: BTreeMap<ServiceName, Usage>,
    pub(crate) keeper: Usage,
    pub(crate) control: Usage,
}

/// Looks when asked, on a blocking thread, never on two at once.
#[derive(Debug)]
pub(crate) struct Sampler {
    /// Prefix of the cookies of our runs.
    cookie: String,
    one: Arc<Semaphore>,
    meter: Mutex<Meter>,
    last: ArcSwapOption<(Instant, Arc<Sample>)>,
}

impl Sampler {
    pub(crate) fn new(cookie: String) -> Self {
        Self { cookie, one: Arc::new(Semaphore::new(1)), meter: Mutex::default(), last: ArcSwapOption::empty() }
    }

    /// A look that is at most a few seconds old. When a new one takes too long (the kernel may let a reader wait for a
    /// process that hangs), the one before; `None` when there is none.
    pub(crate) async fn latest(self: &Arc<Self>, view: &Arc<View>) -> Option<Arc<Sample>> {
        let _ = tokio::time::timeout(PATIENCE, self.refresh(view)).await;
        self.last.load().as_ref().map(|last| Arc::clone(&last.1))
    }

    async fn refresh(self: &Arc<Self>, view: &Arc<View>) {
        let fresh = || self.last.load().as_ref().is_some_and(|last| last.0.elapsed() < FRESH);
        if fresh() {
            return;
        }
        // The semaphore is never closed.
        let Ok(only) = Arc::clone(&self.one).acquire_owned().await else { return };
        if fresh() {
            return;
        }
        let (sampler, view) = (Arc::clone(self), Arc::clone(view));
        let looking = tokio::task::spawn_blocking(move || {
            sampler.look(&view);
            drop(only);
        });
        let _ = looking.await;
    }

    fn look(&self, view: &View) {
        let mut environments = Environments::default();
        let Some(seen) = processes(&roots(view), |pid| self.orphan_of(view, pid, &mut environments)) else { return };
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.advance(seen.iter().map(|seen| seen.reading.clone()).collect());
        let known = |name: &ServiceName| view.services.iter().any(|service| service.name == *name);
        meter.totals.retain(|owner, _| !matches!(owner, Owner::Service(name) if !known(name)));
        let last = self.last.load();
        let at = control::now();
        let before = last.as_ref().map(|last| &*last.1).filter(|before| at.since(before.at) <= RECENT_MS);
        let mut usages = added_up(&seen, &meter.totals);
        for (owner, usage) in &mut usages {
            let ago = before.and_then(|before| Some((before.usage(owner)?.cpu_ms, at.since(before.at))));
            let since_start = || {
                let started = view.services.iter().find(|one| Owner::Service(one.name.clone()) == *owner)?.run.as_ref();
                let used: u64 = seen.iter().filter(|seen| seen.reading.owner == *owner).map(Seen::cpu_ms).sum();
                Some((usage.cpu_ms.saturating_sub(used), at.since(started?.started)))
            };
            if let Some((then, span)) = ago.or_else(since_start) {
                usage.cpu_cores = share(usage.cpu_ms.saturating_sub(then), span);
            }
        }
        let mut sample = Sample { at, services: BTreeMap::new(), keeper: Usage::default(), control: Usage::default() };
        for (owner, usage) in usages {
            match owner {
                Owner::Keeper => sample.keeper = usage,
                Owner::Control => sample.control = usage,
                Owner::Service(name) => drop(sample.services.insert(name, usage)),
            }
        }
        self.last.store(Some(Arc::new((Instant::now(), Arc::new(sample)))));
    }

    /// By its session, else by its cookie, as the rest of a tree is found when it is to be ended.
    fn orphan_of(&self, view: &View, pid: i32, environments: &mut Environments) -> Option<ServiceName> {
        let session = platform::process(pid)?.session;
        let of = |is: &dyn Fn(&RunSnapshot) -> bool| {
            view.services.iter().find(|one| one.generations.iter().any(|of| is(&of.run)))
        };
        let run = |number: u64| of(&|run| run.run == number);
        let by_session = || of(&|run| run.pid == Some(session));
        let by_cookie = || run(tree::run_of_cookie(&tree::cookie_of(pid, environments)?, &self.cookie)?);
        by_session().or_else(by_cookie).map(|service| service.name.clone())
    }
}

impl Sample {
    fn usage(&self, owner: &Owner) -> Option<&Usage> {
        match owner {
            Owner::Keeper => Some(&self.keeper),
            Owner::Control => Some(&self.control),
            Owner::Service(name) => self.services.get(name),
        }
    }
}

fn share(used_ms: u64, span_ms: u64) -> f64 {
    // Milliseconds of a run are far below 2^53, where such numbers are exact.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    let share = used_ms as f64 / span_ms.max(1) as f64;
    (share * 1000.0).round() / 1000.0
}

fn roots(view: &View) -> Roots {
    let mains = view
        .services
        .iter()
        .flat_map(|one| one.generations.iter().filter_map(|of| Some((of.run.pid?, one.name.clone()))));
    let control = i32::try_from(std::process::id()).unwrap_or(0);
    Roots { keeper: view.keeper_pid, control, mains: mains.collect() }
}

fn added_up(seen: &[Seen], totals: &BTreeMap<Owner, u64>) -> BTreeMap<Owner, Usage> {
    let mut sums: BTreeMap<Owner, Usage> =
        totals.iter().map(|(owner, cpu_ms)| (owner.clone(), Usage { cpu_ms: *cpu_ms, ..Usage::default() })).collect();
    for seen in seen.iter().filter(|seen| !seen.ended) {
        let sum = sums.entry(seen.reading.owner.clone()).or_default();
        let first = sum.processes == 0;
        let add = |sum: Option<u64>, one: Option<u64>| if first { one } else { Some(sum? + one?) };
        sum.memory_bytes += seen.memory_bytes;
        sum.open_fds = add(sum.open_fds, seen.open_fds);
        sum.threads = add(sum.threads, seen.threads);
        sum.processes += 1;
    }
    sums
}
