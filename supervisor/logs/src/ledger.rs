//! What logs have dropped, in a file of memory: whoever keeps a descriptor of it gives it to the next process, so that a
//! kill at any moment costs no count. A drop is a splice to that file, whose position tells how far it came.
//! Not here: when to drop, and how it is told.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use nix::errno::Errno;
use nix::unistd;

use crate::index::check;
use crate::platform;
use crate::registry::lock;

/// Begins the file: what it is, and the form of what follows.
const MAGIC: u64 = u64::from_le_bytes(*b"droplog1");
/// Bytes for one log. None crosses a page: a kill leaves all of a write or nothing.
const SLOT: usize = 256;
/// The first slot begins behind the head.
const SLOTS: u64 = 4096;
/// Further logs are counted, but not beyond the process.
const MOST_SLOTS: usize = 4096;
/// What is being dropped comes to here.
const BIN: u64 = SLOTS + (SLOT * MOST_SLOTS) as u64;
/// Numbers of a slot; then the reason.
const NUMBERS: usize = 9;
/// Of a reason, in bytes.
const MOST_REASON: usize = SLOT - 8 * NUMBERS;

/// Bytes, and line ends among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Amount {
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
}

/// Counts what all logs of a pump drop.
#[derive(Clone)]
pub struct Ledger(Arc<Mutex<Book>>);

struct Book {
    file: File,
    /// As they are in the file.
    slots: Vec<Slot>,
    /// Of the last drop.
    number: u64,
}

/// All that is known of one log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Slot {
    /// Of its path.
    key: u64,
    /// The last drop that is counted here.
    number: u64,
    all: Amount,
    told: Amount,
    /// The file and the place where a marker was about to be written, which tells of the rest; 0: none was.
    telling: (u64, u64),
    reason: String,
}

/// What one log has dropped.
pub(crate) struct Account {
    slot: Slot,
    ledger: Option<(Ledger, usize)>,
}

impl Ledger {
    /// An empty one.
    ///
    /// # Errors
    /// When the system has no files of memory, or no memory.
    pub fn new() -> io::Result<Self> {
        let file = platform::memory()?;
        file.set_len(SLOTS)?;
        file.write_all_at(&MAGIC.to_le_bytes(), 0)?;
        Ok(Self(Arc::new(Mutex::new(Book { file, slots: Vec::new(), number: 0 }))))
    }

    /// The one that an earlier process has made, which drops nothing any more.
    ///
    /// # Errors
    /// When it is none.
    pub fn of(fd: OwnedFd) -> io::Result<Self> {
        let mut file = File::from(fd);
        let mut head = [0; 24];
        file.read_exact_at(&mut head, 0)?;
        let [magic, number, last] = numbers(&head);
        if magic != MAGIC {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut slots = Vec::new();
        let mut bytes = [0; SLOT];
        while slots.len() < MOST_SLOTS && file.read_exact_at(&mut bytes, at(slots.len())).is_ok() {
            let slot = Slot::decode(&bytes);
            if slot.key == 0 {
                break;
            }
            slots.push(slot);
        }
        let mut book = Book { slots, number, file: file.try_clone()? };
        let last = usize::try_from(last).unwrap_or(usize::MAX);
        if let Some(mut slot) = book.slots.get(last).filter(|slot| slot.number != number).cloned() {
            let mut dropped = Vec::new();
            let length = file.stream_position()?.saturating_sub(BIN);
            file.seek(SeekFrom::Start(BIN))?;
            file.take(length).read_to_end(&mut dropped)?;
            slot.count(&dropped);
            slot.number = number;
            book.write(last, &slot)?;
        }
        Ok(Self(Arc::new(Mutex::new(book))))
    }

    /// For whoever is to keep it.
    ///
    /// # Errors
    /// When there are too many open files.
    pub fn fd(&self) -> io::Result<OwnedFd> {
        Ok(lock(&self.0).file.try_clone()?.into())
    }

    pub(crate) fn dropped(&self, path: &Path) -> Amount {
        let key = key(path);
        lock(&self.0).slots.iter().find(|slot| slot.key == key).map(|slot| slot.all).unwrap_or_default()
    }
}

impl Book {
    /// What comes to the bin next is of this log. The number before, as long as that is in no slot, tells of another drop.
    fn begin(&mut self, place: usize) -> io::Result<u64> {
        (&self.file).seek(SeekFrom::Start(BIN))?;
        self.number += 1;
        let head: Vec<u8> = [self.number, place as u64].iter().flat_map(|number| number.to_le_bytes()).collect();
        self.file.write_all_at(&head, 8)?;
        Ok(self.number)
    }

    fn write(&mut self, place: usize, slot: &Slot) -> io::Result<()> {
        self.file.write_all_at(&slot.encode(), at(place))?;
        if place < self.slots.len() {
            self.slots[place] = slot.clone();
        } else {
            self.slots.push(slot.clone());
        }
        Ok(())
    }
}

impl Account {
    pub(crate) fn open(ledger: Option<&Ledger>, path: &Path) -> Self {
        let key = key(path);
        let mut slot = Slot { key, ..Slot::default() };
        let ledger = ledger.and_then(|ledger| {
            let mut book = lock(&ledger.0);
            let place = book.slots.iter().position(|slot| slot.key == key);
            match place {
                Some(place) => slot = book.slots[place].clone(),
                None if book.slots.len() < MOST_SLOTS => {
                    let place = book.slots.len();
                    return book.write(place, &slot).ok().map(|()| (ledger.clone(), place));
                }
                None => {}
            }
            place.map(|place| (ledger.clone(), place))
        });
        Self { slot, ledger }
    }

    /// Takes out of a pipe what was `seen` in it, perhaps less, and counts it. Zero: no writer is left.
    pub(crate) fn take(&mut self, pipe: BorrowedFd<'_>, seen: &mut [u8], reason: Option<&str>) -> nix::Result<Amount> {
        self.because(reason);
        let before = self.slot.all;
        if let Some((ledger, place)) = self.ledger.clone() {
            let mut book = lock(&ledger.0);
            let spliced = book.begin(place).map_err(|_| Errno::EIO).and_then(|number| {
                let count = platform::discard(pipe, &book.file, seen.len())?;
                Ok((number, count))
            });
            match spliced {
                Ok((number, count)) => {
                    self.slot.count(&seen[..count]);
                    self.slot.number = number;
                    // If it cannot be written, the next process counts what is in the bin.
                    let _ = book.write(place, &self.slot);
                    return Ok(self.slot.all - before);
                }
                Err(error @ (Errno::EAGAIN | Errno::EINTR)) => return Err(error),
                // No splice here: counted after it was read, and no count if we are killed in between.
                Err(_) => {}
            }
        }
        let count = unistd::read(pipe, seen)?;
        self.add(&seen[..count], reason);
        Ok(self.slot.all - before)
    }

    /// These were dropped.
    pub(crate) fn add(&mut self, bytes: &[u8], reason: Option<&str>) -> Amount {
        self.because(reason);
        let before = self.slot.all;
        self.slot.count(bytes);
        self.save();
        self.slot.all - before
    }

    /// Is there anything to tell?
    pub(crate) fn owes(&self) -> bool {
        self.slot.all != self.slot.told
    }

    /// The line that tells it, with its end.
    pub(crate) fn marker(&self) -> String {
        let Amount { bytes, lines } = self.slot.all - self.slot.told;
        format!("[supervisor] dropped {bytes} bytes, {lines} lines: {}\n", self.slot.reason)
    }

    /// Where the marker was about to be written when an earlier process ended: in which file, and behind how many bytes.
    pub(crate) fn interrupted(&self) -> Option<(u64, u64)> {
        Some(self.slot.telling).filter(|telling| *telling != (0, 0))
    }

    /// The marker is about to be written.
    pub(crate) fn tells(&mut self, file: u64, offset: u64) {
        self.slot.telling = (file, offset);
        self.save();
    }

    /// It was, or was not.
    pub(crate) fn told(&mut self, told: Option<()>) {
        self.slot.telling = (0, 0);
        if told.is_some() {
            self.slot.told = self.slot.all;
        }
        self.save();
    }

    fn because(&mut self, reason: Option<&str>) {
        if let Some(reason) = reason {
            let end = reason.floor_char_boundary(MOST_REASON);
            reason[..end].clone_into(&mut self.slot.reason);
        }
    }

    fn save(&self) {
        if let Some((ledger, place)) = &self.ledger {
            // What cannot be kept is lost with the process, and not before.
            let _ = lock(&ledger.0).write(*place, &self.slot);
        }
    }
}

impl Slot {
    fn count(&mut self, dropped: &[u8]) {
        self.all.bytes += dropped.len() as u64;
        self.all.lines += memchr::memchr_iter(b'\n', dropped).count() as u64;
    }

    fn encode(&self) -> [u8; SLOT] {
        let Self { key, number, all, told, telling, reason } = self;
        let length = reason.len() as u64;
        let numbers = [*key, *number, all.bytes, all.lines, told.bytes, told.lines, telling.0, telling.1, length];
        let mut bytes = [0; SLOT];
        for (number, place) in numbers.iter().zip(bytes.chunks_exact_mut(8)) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes[8 * NUMBERS..][..reason.len()].copy_from_slice(reason.as_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Self {
        let [key, number, bytes_all, lines_all, bytes_told, lines_told, file, offset, length] = numbers(bytes);
        let length = usize::try_from(length).unwrap_or(0).min(MOST_REASON);
        Self {
            key,
            number,
            all: Amount { bytes: bytes_all, lines: lines_all },
            told: Amount { bytes: bytes_told, lines: lines_told },
            telling: (file, offset),
            reason: String::from_utf8_lossy(&bytes[8 * NUMBERS..][..length]).into_owned(),
        }
    }
}

impl std::ops::Sub for Amount {
    type Output = Self;

    fn sub(self, less: Self) -> Self {
        Self { bytes: self.bytes.saturating_sub(less.bytes), lines: self.lines.saturating_sub(less.lines) }
    }
}

fn numbers<const COUNT: usize>(bytes: &[u8]) -> [u64; COUNT] {
    let mut chunks = bytes.chunks_exact(8);
    [(); COUNT].map(|()| chunks.next().map_or(0, |chunk| u64::from_le_bytes(chunk.try_into().unwrap_or_default())))
}

/// Not 0.
fn key(path: &Path) -> u64 {
    check(path.as_os_str().as_bytes()) | 1
}

fn at(place: usize) -> u64 {
    SLOTS + (SLOT * place) as u64
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    fn reopened(ledger: &Ledger) -> Ledger {
        Ledger::of(ledger.fd().expect("a duplicate")).expect("a ledger")
    }

    #[test]
    fn what_was_dropped_and_told_is_known_to_the_next_process() {
        let ledger = Ledger::new().unwrap();
        let path = Path::new("/logs/a.log");
        let mut account = Account::open(Some(&ledger), path);
        account.add(b"one\ntwo\nthr", Some("no space"));
        account.tells(7, 100);
        Account::open(Some(&ledger), Path::new("/logs/b.log")).add(b"x", Some(&"long ".repeat(100)));
        let next = reopened(&ledger);
        let mut account = Account::open(Some(&next), path);
        assert_eq!(account.marker(), "[supervisor] dropped 11 bytes, 2 lines: no space\n");
        assert_eq!(account.interrupted(), Some((7, 100)));
        account.told(Some(()));
        assert!(!account.owes() && account.interrupted().is_none());
        assert_eq!(next.dropped(path), Amount { bytes: 11, lines: 2 });
        assert_eq!(reopened(&next).dropped(Path::new("/logs/b.log")).bytes, 1);
        assert!(!Account::open(Some(&reopened(&next)), path).owes());
    }

    #[test]
    fn a_drop_that_was_not_counted_any_more_is_counted_by_the_next_process_once() {
        let ledger = Ledger::new().unwrap();
        let path = Path::new("a.log");
        let (output, mut input) = io::pipe().unwrap();
        input.write_all(b"one\ntwo\nthree\n").unwrap();
        let mut account = Account::open(Some(&ledger), path);
        let taken = account.take(output.as_fd(), &mut b"one\n".to_owned(), Some("full")).unwrap();
        assert_eq!(taken, Amount { bytes: 4, lines: 1 });
        {
            let mut book = lock(&ledger.0);
            book.begin(0).unwrap();
            assert_eq!(platform::discard(output.as_fd(), &book.file, 8), Ok(8));
        }
        let next = reopened(&ledger);
        assert_eq!(next.dropped(path), Amount { bytes: 12, lines: 2 });
        assert_eq!(reopened(&next).dropped(path), Amount { bytes: 12, lines: 2 });
        let mut account = Account::open(Some(&next), path);
        account.take(output.as_fd(), &mut b"e\n".to_owned(), None).unwrap();
        assert_eq!(account.marker(), "[supervisor] dropped 14 bytes, 3 lines: full\n");
    }

    #[test]
    fn what_is_no_ledger_is_refused() {
        let file = platform::memory().unwrap();
        assert!(Ledger::of(file.try_clone().unwrap().into()).is_err());
        file.write_all_at(&[7; 100], 0).unwrap();
        assert!(Ledger::of(file.into()).is_err());
    }

    #[test]
    fn more_logs_than_there_is_room_for_are_counted_all_the_same() {
        let ledger = Ledger::new().unwrap();
        for number in 0..=MOST_SLOTS {
            Account::open(Some(&ledger), Path::new(&number.to_string())).add(b"\n", None);
        }
        let mut last = Account::open(Some(&ledger), Path::new("one more"));
        last.add(b"one\n", Some("full"));
        assert!(last.owes());
        assert_eq!(reopened(&ledger).dropped(Path::new("4095")).lines, 1);
        assert_eq!(reopened(&ledger).dropped(Path::new("one more")).lines, 0);
    }
}
