//! The lines of a log that are wanted, as they come, across rotations, each once.
//! Not here: the lines that are there already (`query`); telling anyone of them.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use memchr::memrchr;

use crate::archives::Place;
use crate::chain::Mark;
use crate::follow::Follower;
use crate::index::Known;
use crate::line::{Line, MOST, Piece, Query};
use crate::recorder::millis;
use crate::source::entries;

/// Read at once.
const PASS: usize = 64 << 10;

/// What a log had to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Perhaps more.
    More,
    /// Nothing now.
    Nothing,
    /// All that was wanted: the last moment is past.
    Over,
}

/// Follows a log line by line. The files are the buffer: who reads slowly costs nobody anything.
pub struct Tracker {
    follower: Follower,
    place: Place,
    query: Query,
    /// Read and not told yet: the beginning of a line.
    text: Vec<u8>,
    /// Behind it.
    end: Option<Mark>,
    known: Known,
    /// What is read now was not there in time.
    late: bool,
    /// How long the index was when it was read.
    index: Option<u64>,
}

impl Tracker {
    /// Goes on at a place that `last`, `Search` or a line gave. `None`: it is no longer kept, and so is nothing that was
    /// before it.
    ///
    /// # Errors
    /// When a file of the log cannot be read.
    pub fn resume(path: &Path, query: Query, mark: Mark) -> io::Result<Option<Self>> {
        Ok(Follower::resume(path, mark)?.map(|follower| Self::new(follower, path, query)))
    }

    /// Begins with the oldest line that is kept.
    #[must_use]
    pub fn of_all(path: &Path, query: Query) -> Self {
        Self::new(Follower::of_all(path), path, query)
    }

    fn new(follower: Follower, path: &Path, query: Query) -> Self {
        let (text, known) = (Vec::new(), Known::default());
        Self { end: follower.place(), follower, place: Place::of(path), query, text, known, late: false, index: None }
    }

    /// Appends further lines, perhaps none. If there is nothing to read, waits until there may be, at most for `timeout`.
    ///
    /// # Errors
    /// When a file of the log cannot be read, or the system refuses to wait. It may be tried again.
    pub fn next(&mut self, lines: &mut Vec<Line>, timeout: Duration) -> io::Result<Next> {
        // Before it is read: what is not there after the last moment is not wanted.
        let now = millis(SystemTime::now());
        // A line that comes in the last millisecond still counts.
        let left = self.query.until.map(|until| Duration::from_millis(until.saturating_add(1).saturating_sub(now)));
        let read = self.read(lines)?;
        if self.late || (!read && left == Some(Duration::ZERO)) {
            return Ok(Next::Over);
        }
        if read {
            return Ok(Next::More);
        }
        self.follower.wait(left.unwrap_or(timeout).min(timeout))?;
        Ok(Next::Nothing)
    }

    /// Appends further lines without waiting, perhaps none; false: there is nothing more for now.
    ///
    /// # Errors
    /// When a file of the log cannot be read. It may be tried again.
    pub fn read(&mut self, lines: &mut Vec<Line>) -> io::Result<bool> {
        let old = self.text.len();
        if self.follower.read(&mut self.text, PASS)? == 0 {
            return Ok(false);
        }
        let before = std::mem::replace(&mut self.end, self.follower.place());
        let Some(end) = self.end else { return Ok(true) };
        // Another file, or the same one, which someone has emptied.
        let other = before.is_some_and(|before| before.file != end.file || end.offset < before.offset);
        if let Some(before) = before.filter(|_| other && old > 0) {
            // A line that its file ends with will not go on in the next.
            self.tell(before, old, lines);
        }
        let index = std::fs::metadata(self.place.index()).ok().map(|found| found.len());
        if other || self.index != index {
            self.known = Known::of(&entries(&self.place), (end.file, end.base), 0);
            self.index = index;
        }
        self.known.modified = millis(SystemTime::now());
        let begin = end.offset.saturating_sub(self.text.len() as u64);
        self.late = self.query.until.is_some_and(|until| self.known.time(begin + 1) > until);
        match memrchr(b'\n', &self.text) {
            Some(last) => self.tell(end, last + 1, lines),
            None if self.text.len() >= MOST => self.tell(end, self.text.len(), lines),
            None => {}
        }
        Ok(true)
    }

    /// Tells the first `count` bytes; `end` is behind all that is in the same file.
    fn tell(&mut self, end: Mark, count: usize, lines: &mut Vec<Line>) {
        let held = if self.end == Some(end) { self.text.len() } else { count };
        let piece = Piece {
            text: &self.text[..count],
            file: end.file,
            offset: end.offset.saturating_sub(held as u64),
            known: &self.known,
        };
        self.query.pick(&piece, lines);
        self.text.drain(..count);
    }
}
