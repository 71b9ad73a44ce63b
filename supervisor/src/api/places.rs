//! How many read logs at once: each occupies a thread that launches need, too, and a dead disk may keep it.
//! Not here: reading them (`logs`); streams, which have threads of their own (`stream`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// All together.
const MOST: usize = 6;
/// In one directory: one on a dead disk leaves room for readers of others. Which disk it is on cannot be asked without
/// waiting for that.
const MOST_IN_ONE: usize = 4;

/// Readers by the directory of their log.
pub(super) struct Readers(Mutex<BTreeMap<PathBuf, usize>>);

/// Free again once it is dropped.
pub(super) struct Place(&'static Readers, PathBuf);

impl Readers {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// `None`: there are as many as may be.
    pub(super) fn place(&'static self, log: &Path) -> Option<Place> {
        let directory = log.parent().unwrap_or(log);
        let mut readers = self.lock();
        let here = readers.get(directory).copied().unwrap_or(0);
        if here >= MOST_IN_ONE || readers.values().sum::<usize>() >= MOST {
            return None;
        }
        readers.insert(directory.to_owned(), here + 1);
        Some(Place(self, directory.to_owned()))
    }

    /// Nothing panics while it is held.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut readers = self.0.lock();
        match readers.get_mut(&self.1) {
            Some(here) if *here > 1 => *here -= 1,
            Some(_) | None => drop(readers.remove(&self.1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_that_hang_in_one_directory_leave_places_for_those_of_others() {
        static READERS: Readers = Readers::new();
        let place = |log: &str| READERS.place(Path::new(log));
        let hanging: Vec<Place> = (0..MOST_IN_ONE).map_while(|_| place("/dead/a.log")).collect();
        assert_eq!(hanging.len(), MOST_IN_ONE);
        assert!(place("/dead/b.log").is_none());
        let others = [place("/well/a.log"), place("/sound/a.log")];
        assert!(others.iter().all(Option::is_some));
        assert!(place("/well/b.log").is_none(), "all together have a limit");
        drop(hanging);
        assert!(place("/dead/b.log").is_some());
        drop(others);
        assert!(READERS.lock().is_empty());
    }
}
