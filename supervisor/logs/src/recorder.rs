//! Writes the index of a log as its bytes come: at most an entry a second, and one where another generation goes on.
//! Not here: what an entry means (`index`). Whatever fails here costs the index alone, never a byte of the log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::OFlag;

use crate::archives::{Place, remove};
use crate::index::{self, ENTRY, Entry, MOST, thinned};

/// In milliseconds: no time in the index is further than this from that of a byte it stands for.
const GRAIN: u64 = 1000;
/// Entries wait so long for others before they are written.
const GATHER: Duration = Duration::from_millis(100);
/// So many times in a row another generation may go on before entries are gathered.
const FEW: u32 = 8;

pub(crate) struct Recorder {
    path: PathBuf,
    unfinished: PathBuf,
    /// Not written yet.
    waiting: Vec<Entry>,
    since: Option<Instant>,
    /// How often another generation went on of late, and when last.
    turns: (u32, Option<Instant>),
    at: Option<At>,
}

/// The log's file as it is now.
#[derive(Clone, Copy)]
struct At {
    file: u64,
    base: u64,
    /// Its end, as far as we wrote it.
    end: u64,
    /// When it was last written to.
    written: u64,
    /// Of the last entry: where it is, and its time.
    noted: (u64, u64),
    generation: u64,
}

impl Recorder {
    pub(crate) fn new(place: &Place) -> Self {
        Self {
            path: place.index(),
            unfinished: place.unfinished_index(),
            waiting: Vec::new(),
            since: None,
            turns: (0, None),
            at: None,
        }
    }

    /// The log's file was opened, with `len` bytes in it.
    pub(crate) fn opened(&mut self, file: u64, len: u64, written: u64) {
        if let Some(at) = self.at.filter(|at| at.file == file) {
            if len < at.end {
                self.shortened(at.end);
            }
            return;
        }
        let last = self.open().and_then(|(file, len)| index::last(&file, len)).ok().flatten();
        match last {
            Some(last) if last.file == file && last.offset <= len => {
                self.at =
                    Some(At { file, base: last.base, end: 0, written, noted: (last.offset, last.time), generation: 0 });
            }
            // Nobody knows what came between; no number may come twice.
            Some(last) => self.begin(file, micros().max(last.base + last.offset), written, 0),
            None => self.begin(file, if len == 0 { 0 } else { micros() }, written, 0),
        }
        // Before there is a byte in the file whoever reads it knows that it is another one.
        self.flush();
        if let Some(at) = &mut self.at {
            at.end = len;
        }
    }

    /// Another file begins; the one before had `end` bytes.
    pub(crate) fn rotated(&mut self, file: u64, end: u64) {
        let Some(at) = self.at else { return };
        self.note(Entry { file: at.file, offset: end, base: at.base, time: at.written, generation: at.generation });
        self.begin(file, at.base + end, at.written, at.generation);
        self.flush();
    }

    /// The file was made shorter by someone; it had `end` bytes.
    pub(crate) fn shortened(&mut self, end: u64) {
        if let Some(at) = self.at {
            self.begin(at.file, at.base + end, at.written, at.generation);
            // Before there is a byte in it again, as for another file.
            self.flush();
        }
    }

    /// Bytes of `generation` are about to be written at `offset`. Before they are, so that whoever reads them finds whose
    /// they are.
    pub(crate) fn writes(&mut self, offset: u64, generation: u64) {
        let Some(at) = &mut self.at else { return };
        let (other, time) = (at.generation != generation, at.written);
        let late = offset > at.noted.0 && millis(SystemTime::now()).abs_diff(at.noted.1) > GRAIN;
        if other || late {
            at.generation = generation;
            let entry = Entry { file: at.file, offset, base: at.base, time, generation };
            self.note(entry);
            if other && self.is_no_turn() {
                self.flush();
            }
        }
    }

    /// Another generation goes on: is that rare? When two of them take turns, entries are gathered.
    fn is_no_turn(&mut self) -> bool {
        let now = Instant::now();
        let late = self.turns.1.replace(now).is_none_or(|last| now > last + GATHER);
        self.turns.0 = if late { 0 } else { self.turns.0.saturating_add(1) };
        self.turns.0 < FEW
    }

    /// They were, and end at `end`.
    pub(crate) fn wrote(&mut self, end: u64) {
        if let Some(at) = &mut self.at {
            at.end = end;
            at.written = millis(SystemTime::now());
        }
    }

    /// When entries that wait have to be written.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + GATHER)
    }

    /// Writes down what waits.
    pub(crate) fn flush(&mut self) {
        self.since = None;
        if self.waiting.is_empty() {
            return;
        }
        let bytes: Vec<u8> = self.waiting.drain(..).flat_map(Entry::encode).collect();
        let written = self.open().and_then(|(mut file, len)| file.write_all(&bytes).map(|()| len));
        if written.is_ok_and(|len| len > MOST as u64) {
            self.thin();
        }
    }

    fn begin(&mut self, file: u64, base: u64, written: u64, generation: u64) {
        self.at = Some(At { file, base, end: 0, written, noted: (0, written), generation });
        self.note(Entry { file, offset: 0, base, time: written, generation });
    }

    fn note(&mut self, entry: Entry) {
        if let Some(at) = &mut self.at {
            at.noted = (entry.offset, entry.time);
        }
        self.waiting.push(entry);
        self.since.get_or_insert_with(Instant::now);
        if self.waiting.len() * ENTRY >= MOST / 8 {
            self.flush();
        }
    }

    /// The index, without what a kill in the middle of a write left, and its length.
    fn open(&self) -> io::Result<(File, u64)> {
        let file = options().append(true).create(true).open(&self.path)?;
        let found = file.metadata()?;
        if !found.is_file() || (found.nlink() > 1 && nix::unistd::geteuid().is_root()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let len = found.len() - found.len() % ENTRY as u64;
        if len < found.len() {
            file.set_len(len)?;
        }
        Ok((file, len))
    }

    fn thin(&self) {
        let entries = thinned(index::load(&self.path));
        let bytes: Vec<u8> = entries.into_iter().flat_map(Entry::encode).collect();
        let written = remove(&self.unfinished).and_then(|()| {
            options().write(true).create_new(true).open(&self.unfinished)?.write_all(&bytes)?;
            fs::rename(&self.unfinished, &self.path)
        });
        if written.is_err() {
            // Better none than one without limit.
            let _ = remove(&self.unfinished).and_then(|()| remove(&self.path));
        }
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    options.read(true).mode(0o640).custom_flags(flags.bits());
    options
}

/// Since 1970.
pub(crate) fn millis(time: SystemTime) -> u64 {
    since(time).as_millis().try_into().unwrap_or(u64::MAX)
}

/// When a file was last written to, in milliseconds since 1970; not too early: the kernel's clock for files goes by
/// ticks, of 10 ms at most.
pub(crate) fn written(found: &fs::Metadata) -> u64 {
    found.modified().map_or(0, millis).saturating_add(10)
}

/// As a number of bytes, larger than all of which nothing is known: no log has grown by a megabyte a second since 1970.
fn micros() -> u64 {
    since(SystemTime::now()).as_micros().try_into().unwrap_or(u64::MAX)
}

fn since(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
