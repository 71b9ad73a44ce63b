//! What all threads of a pump know of each log.
//! Not here: the open file; only the pump thread of its file system has that.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::archives::{Found, Place};
use crate::settings::{Settings, Stats};

/// Every log that this pump has been told of.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) activity: Activity,
    pub(crate) alarm: Arc<Activity>,
    logs: Mutex<HashMap<PathBuf, Arc<Shared>>>,
    found: Mutex<HashMap<PathBuf, Arc<Found>>>,
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
    /// Held while a file of this log is renamed or deleted. Never held over anything that waits.
    pub(crate) names: Mutex<()>,
    pub(crate) counters: Counters,
    settings: Mutex<Settings>,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) bytes: AtomicU64,
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
    /// The log at `path`, with these settings from now on.
    pub(crate) fn enter(&self, path: &Path, settings: Settings) -> Arc<Shared> {
        let mut logs = lock(&self.logs);
        let shared = logs.entry(path.to_owned()).or_insert_with(|| {
            let counters = Counters { alarm: Arc::clone(&self.alarm), ..Counters::default() };
            Arc::new(Shared::new(path, settings.clone(), counters))
        });
        *lock(&shared.settings) = settings;
        Arc::clone(shared)
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

    /// All logs whose files are in the same directory as `place`.
    pub(crate) fn neighbours(&self, place: &Place) -> Vec<Arc<Shared>> {
        let logs = lock(&self.logs);
        logs.values().filter(|log| log.place.directory() == place.directory()).cloned().collect()
    }
}

impl Shared {
    fn new(path: &Path, settings: Settings, counters: Counters) -> Self {
        Self { place: Place::of(path), names: Mutex::new(()), counters, settings: Mutex::new(settings) }
    }

    pub(crate) fn configure(&self, settings: Settings) {
        *lock(&self.settings) = settings;
    }

    pub(crate) fn settings(&self) -> Settings {
        lock(&self.settings).clone()
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

    pub(crate) fn dropped(&self, bytes: u64, lines: u64) {
        self.dropped_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.dropped_lines.fetch_add(lines, Ordering::Relaxed);
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
