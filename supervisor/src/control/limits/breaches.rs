//! Limits that were passed: what a finding means, and what of it is told. Everything is told once, and that it is over.
//! Not here: looking (`super`), what is done about it (the core).

use std::collections::{BTreeMap, BTreeSet};

use supervisor_core::{Excess, ServiceName};

use super::Finding;
use crate::config::Limits;
use crate::journal::{LimitKey, PassedLimit};
use crate::platform::KernelLog;

/// So many looks in a row must find the same: a short peak is no reason to replace anything, and a short rest no end.
const LOOKS: u32 = 3;

/// A limit, and how it was passed. In bytes, or in processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breach {
    /// More memory than it should use.
    Soft { used: u64, most: u64 },
    /// More memory than it may use.
    Hard { used: u64, most: u64 },
    /// The kernel killed a process of it at its limit of memory.
    Killed { used: Option<u64>, most: Option<u64> },
    /// The kernel killed a process of it, as the machine was short of memory.
    Machine { used: Option<u64> },
    /// More processes than it may have.
    TooMany { used: u64, most: u64 },
    /// The kernel let it have no more processes.
    Refused { forks: u64, most: Option<u64> },
}

impl Breach {
    pub(super) fn in_words(self) -> String {
        match self {
            Self::Soft { used, most } => words("limits.memory_soft", used, most),
            Self::Hard { used, most } => words("limits.memory", used, most),
            Self::Killed { used, most } => {
                let most = most.map(|most| format!(" ({})", size(most))).unwrap_or_default();
                format!("one of its processes was killed at `limits.memory`{most}{}", peak(used))
            }
            Self::Machine { used } => {
                format!("one of its processes was killed, as the machine was short of memory{}", peak(used))
            }
            Self::TooMany { used, most } => format!("has {used} processes, more than `limits.pids` ({most})"),
            Self::Refused { forks, most } => {
                let most = most.map(|most| format!(" ({most})")).unwrap_or_default();
                let were = if forks == 1 { "fork was" } else { "forks were" };
                format!("has come up against `limits.pids`{most}: {forks} {were} refused")
            }
        }
    }

    /// What the core has to do something about.
    pub(super) fn excess(self) -> Option<Excess> {
        match self {
            Self::Soft { .. } => Some(Excess::Soft(self.in_words())),
            Self::Hard { .. } | Self::Killed { .. } | Self::TooMany { .. } => Some(Excess::Hard(self.in_words())),
            Self::Machine { .. } | Self::Refused { .. } => None,
        }
    }

    pub(super) fn passed(self) -> PassedLimit {
        let of = |key, used, most| PassedLimit { key: Some(key), used, most };
        match self {
            Self::Soft { used, most } => of(LimitKey::MemorySoft, Some(used), Some(most)),
            Self::Hard { used, most } => of(LimitKey::Memory, Some(used), Some(most)),
            Self::Killed { used, most } => of(LimitKey::Memory, used, most),
            Self::Machine { used } => PassedLimit { used, ..PassedLimit::default() },
            Self::TooMany { used, most } => of(LimitKey::Pids, Some(used), Some(most)),
            // It has as many as it may.
            Self::Refused { forks: _, most } => of(LimitKey::Pids, most, most),
        }
    }

    /// The run ends because of it.
    fn is_the_end(self) -> bool {
        match self {
            Self::Hard { .. } | Self::Killed { .. } | Self::Machine { .. } | Self::TooMany { .. } => true,
            Self::Soft { .. } | Self::Refused { .. } => false,
        }
    }
}

/// What is needed from one look to the next.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// A look is under way, or due.
    pub(super) armed: bool,
    /// So many looks hang.
    pub(super) hanging: usize,
    /// Runs that are left out, because looking at them may hang.
    pub(super) left_out: BTreeSet<u64>,
    /// Runs of which the kernel is being told what they may use now.
    pub(super) renewing: BTreeSet<u64>,
    /// That has changed since.
    pub(super) renew_again: bool,
    pub(super) kernel_log: KernelLog,
    /// Looks in a row that found more than the soft limit, by run.
    over: BTreeMap<u64, u32>,
    /// Forks of a run that were refused by the last look.
    refused: BTreeMap<u64, u64>,
    /// Runs of which it was told that they end for having passed a limit.
    ending: BTreeSet<u64>,
    /// Services that have passed a limit, and are not known to keep within all of them again.
    troubled: BTreeMap<ServiceName, Trouble>,
}

#[derive(Debug, Default)]
struct Trouble {
    told: BTreeSet<LimitKey>,
    /// Looks in a row that found nothing.
    calm: u32,
}

impl Watch {
    /// A look is over: these runs were looked at, of these services.
    pub(super) fn begin(&mut self, runs: &BTreeSet<u64>, services: &BTreeSet<ServiceName>) {
        self.armed = false;
        self.over.retain(|run, _| runs.contains(run));
        self.refused.retain(|run, _| runs.contains(run));
        self.ending.retain(|run| runs.contains(run));
        for (_, trouble) in self.troubled.iter_mut().filter(|(service, _)| services.contains(service)) {
            trouble.calm = trouble.calm.saturating_add(1);
        }
    }

    pub(super) fn judge(&mut self, finding: &Finding, limits: &Limits) -> Vec<Breach> {
        self.grave(finding, limits).into_iter().chain(self.refusal(finding.run, finding.refused, limits)).collect()
    }

    fn grave(&mut self, finding: &Finding, limits: &Limits) -> Option<Breach> {
        let more = |used: Option<u64>, most: Option<u64>| used.zip(most).filter(|(used, most)| used > most);
        if let Some((used, most)) = more(finding.memory, limits.memory) {
            return Some(Breach::Hard { used, most });
        }
        if finding.killed {
            return Some(Breach::Killed { used: finding.peak, most: limits.memory });
        }
        if let Some((used, most)) = more(finding.processes, limits.pids) {
            return Some(Breach::TooMany { used, most });
        }
        let Some((used, most)) = more(finding.memory, limits.memory_soft) else {
            self.over.remove(&finding.run);
            return None;
        };
        let looks = self.over.entry(finding.run).or_default();
        *looks = looks.saturating_add(1);
        (*looks >= LOOKS).then_some(Breach::Soft { used, most })
    }

    /// `refused` is what the kernel has counted by now.
    pub(super) fn refusal(&mut self, run: u64, refused: Option<u64>, limits: &Limits) -> Option<Breach> {
        let now = refused?;
        let before = self.refused.insert(run, now).unwrap_or(0);
        (now > before).then_some(Breach::Refused { forks: now - before, most: limits.pids })
    }

    /// Whether this has not been told yet.
    pub(super) fn is_news(&mut self, service: &ServiceName, run: u64, breach: Breach) -> bool {
        let trouble = self.troubled.entry(service.clone()).or_default();
        trouble.calm = 0;
        if breach.is_the_end() {
            return self.ending.insert(run);
        }
        breach.passed().key.is_some_and(|key| trouble.told.insert(key))
    }

    /// Services that have kept within their limits for long enough, or of which this does not hold any more.
    pub(super) fn calmed(&mut self, limited: impl Fn(&ServiceName) -> bool) -> Vec<ServiceName> {
        let over = |service: &ServiceName, trouble: &mut Trouble| trouble.calm >= LOOKS || !limited(service);
        self.troubled.extract_if(.., over).map(|(service, _)| service).collect()
    }
}

fn words(key: &str, used: u64, most: u64) -> String {
    format!("uses {} of memory, more than `{key}` ({})", size(used), size(most))
}

fn peak(used: Option<u64>) -> String {
    used.map(|used| format!("; it had used {}", size(used))).unwrap_or_default()
}

/// As the file says sizes: `80MiB`, `1536KiB`; what is measured, rounded up.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{}KiB", bytes.div_ceil(1 << 10)),
        exact if exact % (1 << 30) == 0 => format!("{}GiB", exact >> 30),
        bytes => format!("{}MiB", bytes.div_ceil(1 << 20)),
    }
}

#[cfg(test)]
#[path = "breaches_tests.rs"]
mod tests;
