//! What all threads of a pump know of each log.
//! Not here: the open file; only the pump thread of its file system has that.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::archives::{Found, Place};
use crate::boundary::SLACK;
use crate::ledger::{Amount, Ledger};
use crate::settings::{Budget, Settings, Stats};

/// Every log that this pump has been told of.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) activity: Activity,
    pub(crate) alarm: Arc<Activity>,
    logs: Mutex<HashMap<PathBuf, Arc<Shared>>>,
    found: Mutex<HashMap<PathBuf, Arc<Found>>>,
    budget: Mutex<Budget>,
    /// What was dropped, beyond the end of this process.
    pub(crate) ledger: Option<Ledger>,
    /// Bytes of all archives and indices.
    held: AtomicU64,
}

/// Tells whoever waits that something happened: to `Registry::activity`, that some log may have grown; to
/// `Registry::alarm`, that some log is in trouble, dropped bytes, or is well again.
#[derive(Default)]
pub(crate) struct Activity {
    count: Mutex<u64>,
    changed: Condvar,
}

/// One log.
pub(crate) struct Shared {
    pub(crate) place: Place,
    /// They are counted as we are told of them.
    pub(crate) number: usize,
    /// Held while a file of this log is renamed or deleted. Never held over anything that waits.
    pub(crate) names: Mutex<()>,
    pub(crate) counters: Counters,
    settings: Mutex<Settings>,
    /// How large its file may become for the sake of all others.
    share: AtomicU64,
    /// How large for the sake of those on its file system.
    part: AtomicU64,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) bytes: AtomicU64,
    /// How often something was written, by whatever reason.
    pub(crate) writes: AtomicU64,
    pub(crate) dropped_bytes: AtomicU64,
    pub(crate) dropped_lines: AtomicU64,
    pub(crate) rotations: AtomicU64,
    troubles: Mutex<[Option<String>; 3]>,
    alarm: Arc<Activity>,
}

/// The kinds of trouble that can last at the same time; the first is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    Writing = 0,
    Rotating = 1,
    Compressing = 2,
}

impl Activity {
    pub(crate) fn tell(&self) {
        *lock(&self.count) += 1;
        self.changed.notify_all();
    }

    /// The count, once it is not `seen` any more, or after `timeout`.
    pub(crate) fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let waited = self.changed.wait_timeout_while(lock(&self.count), timeout, |count| *count == seen);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Registry {
    /// With what an earlier process has dropped.
    pub(crate) fn with(ledger: Ledger) -> Self {
        Self { ledger: Some(ledger), ..Self::default() }
    }

    /// The log at `path`, with these settings from now on.
    pub(crate) fn enter(&self, path: &Path, settings: Settings) -> Arc<Shared> {
        let mut logs = lock(&self.logs);
        let known = logs.len();
        let shared = logs.entry(path.to_owned()).or_insert_with(|| {
            let counters = Counters { alarm: Arc::clone(&self.alarm), ..Counters::default() };
            let before = self.ledger.as_ref().map(|ledger| ledger.dropped(path)).unwrap_or_default();
            if before != Amount::default() {
                counters.dropped(before);
            }
            Arc::new(Shared::new(path, known, settings.clone(), counters))
        });
        *lock(&shared.settings) = settings;
        let shared = Arc::clone(shared);
        if logs.len() > known {
            self.divide(&logs);
        }
        shared
    }

    pub(crate) fn find(&self, path: &Path) -> Option<Arc<Shared>> {
        lock(&self.logs).get(path).cloned()
    }

    /// What was in the directory when it was first looked at, which may be now.
    pub(crate) fn found_beside(&self, place: &Place) -> Arc<Found> {
        let known = lock(&self.found).get(place.directory()).cloned();
        known.unwrap_or_else(|| {
            let found = Arc::new(Found::in_directory(place.directory()));
            lock(&self.found).insert(place.directory().to_owned(), Arc::clone(&found));
            found
        })
    }

    pub(crate) fn in_directory(&self, directory: &Path) -> Vec<Arc<Shared>> {
        lock(&self.logs).values().filter(|log| log.place.directory() == directory).cloned().collect()
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.logs).len()
    }

    pub(crate) fn budget(&self) -> Budget {
        *lock(&self.budget)
    }

    pub(crate) fn set_budget(&self, budget: Budget) {
        *lock(&self.budget) = budget;
        self.divide(&lock(&self.logs));
    }

    /// A quarter of the whole is divided equally among the files that are written to; each may carry a long line as far
    /// beyond its share. So half of the whole, or more, is for archives.
    fn divide(&self, logs: &HashMap<PathBuf, Arc<Shared>>) {
        let share = part(self.budget().total, logs.len());
        logs.values().for_each(|log| log.share.store(share, Ordering::Relaxed));
    }

    /// One who keeps house has counted `now` bytes of archives, where it was `before`.
    pub(crate) fn held_changed(&self, before: u64, now: u64) {
        self.held.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }

    /// How many bytes of archives one may keep who has `own` of all that there are.
    pub(crate) fn allowance(&self, own: u64) -> u64 {
        let total = self.budget().total;
        if total == 0 {
            return u64::MAX;
        }
        let others = self.held.load(Ordering::Relaxed).saturating_sub(own);
        for_archives(total, lock(&self.logs).values()).saturating_sub(others)
    }
}

/// Of a whole, for the file of each of so many logs: equal parts of a quarter. 0: there is no limit.
pub(crate) fn part(whole: u64, logs: usize) -> u64 {
    if whole == 0 { u64::MAX } else { (whole / 4 / logs.max(1) as u64).max(1) }
}

/// Of a whole, what is left for archives once each of these files is as large as it may be.
pub(crate) fn for_archives<'l>(whole: u64, logs: impl Iterator<Item = &'l Arc<Shared>>) -> u64 {
    let limits: Vec<(u64, u64)> = logs.map(|log| log.limit()).collect();
    let written_to: u64 = limits.iter().map(|(limit, slack)| limit.saturating_add(*slack)).sum();
    // While an archive is compressed, it is there twice.
    let doubled = limits.iter().map(|(limit, _)| *limit).max().unwrap_or(0);
    whole.saturating_sub(written_to).saturating_sub(doubled)
}

impl Shared {
    fn new(path: &Path, number: usize, settings: Settings, counters: Counters) -> Self {
        Self {
            place: Place::of(path),
            number,
            names: Mutex::new(()),
            counters,
            settings: Mutex::new(settings),
            share: AtomicU64::new(u64::MAX),
            part: AtomicU64::new(u64::MAX),
        }
    }

    /// How large its file may become for the sake of those on its file system.
    pub(crate) fn keep_to(&self, part: u64) {
        self.part.store(part, Ordering::Relaxed);
    }

    pub(crate) fn settings(&self) -> Settings {
        lock(&self.settings).clone()
    }

    /// How large the file may become, and how much further a line may carry it.
    pub(crate) fn limit(&self) -> (u64, u64) {
        let share = self.share.load(Ordering::Relaxed).min(self.part.load(Ordering::Relaxed));
        let limit = match lock(&self.settings).max_size {
            0 => share,
            limit => limit.min(share),
        };
        (limit, SLACK.min(share.saturating_mul(2) - limit))
    }
}

impl Counters {
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            bytes: self.bytes.load(Ordering::Relaxed),
            dropped_bytes: self.dropped_bytes.load(Ordering::Relaxed),
            dropped_lines: self.dropped_lines.load(Ordering::Relaxed),
            rotations: self.rotations.load(Ordering::Relaxed),
            error: lock(&self.troubles).iter().flatten().next().cloned(),
        }
    }

    pub(crate) fn dropped(&self, dropped: Amount) {
        self.dropped_bytes.fetch_add(dropped.bytes, Ordering::Relaxed);
        self.dropped_lines.fetch_add(dropped.lines, Ordering::Relaxed);
        self.alarm.tell();
    }

    pub(crate) fn trouble(&self, kind: Trouble, what: String) {
        self.set(kind, Some(what));
    }

    pub(crate) fn well(&self, kind: Trouble) {
        self.set(kind, None);
    }

    fn set(&self, kind: Trouble, what: Option<String>) {
        let old = std::mem::replace(&mut lock(&self.troubles)[kind as usize], what.clone());
        if old != what {
            self.alarm.tell();
        }
    }
}

/// Nothing in this crate panics while it holds a lock in a state that others could not go on from.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
