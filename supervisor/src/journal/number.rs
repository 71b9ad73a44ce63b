//! Which number the next event gets: one that no event had, though a disk was full or the power went.
//! Not here: the events.
//!
//! After a kill of control the file holds every event that anyone was shown, so numbers go on behind its last one.
//! Two things break that, and then numbers go on behind a bound that was put on disk beforehand: another boot, as the
//! end of the file may not have reached the disk; and events that were shown although they could not be written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::state::ours;

/// So many numbers are reserved at once: at most so many are skipped after a power cut.
const BLOCK: u64 = 1000;
/// The file always has this length, so that it can be written on a full disk.
const WIDTH: usize = 128;

/// What the file says.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Mark {
    boot: String,
    /// No event has a greater number.
    bound: u64,
    /// Events were shown that are not in the journal.
    adrift: bool,
}

/// Gives numbers.
#[derive(Debug)]
pub(super) struct Numbers {
    file: File,
    mark: Mark,
    last: u64,
}

impl Numbers {
    /// Goes on behind `last`, the last event in the journal. Also tells whether events were shown that are not there.
    pub(super) fn open(path: &Path, boot: &str, last: u64) -> io::Result<(Self, bool)> {
        let file = ours().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut text = vec![0; WIDTH];
        let length = file.read_at(&mut text, 0)?;
        let found: Mark = serde_json::from_slice(&text[..length]).unwrap_or_default();
        let certain = found.boot == boot && !boot.is_empty() && !found.adrift;
        if certain && found.bound > last {
            return Ok((Self { file, mark: found, last }, false));
        }
        let last = if certain { last } else { last.max(found.bound) };
        let mark = Mark { boot: boot.to_owned(), bound: last, adrift: false };
        let mut numbers = Self { file, mark, last };
        numbers.reserve()?;
        Ok((numbers, found.adrift))
    }

    /// The next number.
    ///
    /// # Errors
    /// When none can be reserved.
    pub(super) fn take(&mut self) -> io::Result<u64> {
        if self.last >= self.mark.bound {
            self.reserve()?;
        }
        self.last += 1;
        Ok(self.last)
    }

    /// What has a number now is shown, though it is in no file: nobody who comes later may use it.
    pub(super) fn set_adrift(&mut self, adrift: bool) -> io::Result<()> {
        if self.mark.adrift != adrift {
            self.mark.adrift = adrift;
            self.write().inspect_err(|_| self.mark.adrift = !adrift)?;
        }
        Ok(())
    }

    fn reserve(&mut self) -> io::Result<()> {
        let before = std::mem::replace(&mut self.mark.bound, self.last + BLOCK);
        self.write().inspect_err(|_| self.mark.bound = before)
    }

    fn write(&self) -> io::Result<()> {
        let mut text = serde_json::to_vec(&self.mark).map_err(io::Error::other)?;
        text.resize(WIDTH, b' ');
        self.file.write_all_at(&text, 0)?;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(path: &Path, boot: &str, last: u64) -> u64 {
        Numbers::open(path, boot, last).unwrap().0.take().unwrap()
    }

    #[test]
    fn after_a_kill_numbers_go_on_behind_the_last_event() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n");
        assert_eq!(next(&path, "boot", 0), 1);
        assert_eq!(next(&path, "boot", 1), 2);
        assert_eq!(next(&path, "boot", 2500), 2501);
    }

    #[test]
    fn after_a_power_cut_no_number_comes_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n");
        let (mut numbers, _) = Numbers::open(&path, "one", 0).unwrap();
        let given: Vec<u64> = (0..2300).map(|_| numbers.take().unwrap()).collect();
        assert_eq!(given.last(), Some(&2300));
        drop(numbers);
        // The file of events came out of it with no more than its first 40.
        assert!(next(&path, "two", 40) > 2300);
        assert!(next(&path, "", 40) > 2300);
    }

    #[test]
    fn what_was_shown_and_not_written_keeps_its_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n");
        let (mut numbers, adrift) = Numbers::open(&path, "boot", 5).unwrap();
        assert!(!adrift);
        numbers.set_adrift(true).unwrap();
        let shown = numbers.take().unwrap();
        drop(numbers);
        let (mut numbers, adrift) = Numbers::open(&path, "boot", 5).unwrap();
        assert!(adrift && numbers.take().unwrap() > shown);
        drop(numbers);
        assert!(!Numbers::open(&path, "boot", 2000).unwrap().1, "it is told once");
    }

    #[test]
    fn the_file_keeps_its_length_and_a_broken_one_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n");
        let (mut numbers, _) = Numbers::open(&path, &"b".repeat(36), u64::MAX / 2).unwrap();
        numbers.set_adrift(true).unwrap();
        assert_eq!(path.metadata().unwrap().len(), WIDTH as u64);
        std::fs::write(&path, "\0\0garbage").unwrap();
        assert_eq!(next(&path, "boot", 7), 8);
    }
}
