//! Lines of one log that are wanted: the last ones, read backwards, or all, read forwards; archives included.
//! Not here: several logs at once (`merge`), waiting for more (`tracker`).

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use memchr::memrchr;

use crate::archives::Place;
use crate::chain::{Mark, Segment};
use crate::index::Entry;
use crate::line::{Line, MOST, Query};
use crate::source::{Source, entries, newest};

/// What to do with a last line that has no end yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// It is shown as it is.
    Shown,
    /// It is left for who reads on from there.
    Left,
}

/// The last lines of a log.
#[derive(Debug, Default)]
pub struct Last {
    /// The oldest first.
    pub lines: Vec<Line>,
    /// Where they end, for a `Tracker`; `None` when there is no log yet.
    pub end: Option<Mark>,
    /// What is wrong with an archive, whose lines are missing.
    pub trouble: Option<String>,
}

/// The last `count` lines of the log at `path` that are wanted, together at most about `bytes`. What is older than the
/// first of them is not read. Ends early, with what there is, once `stop` says so.
///
/// # Errors
/// When the newest file cannot be read.
pub fn last(
    path: &Path,
    query: &Query,
    (count, bytes): (usize, usize),
    unfinished: Unfinished,
    stop: &dyn Fn() -> bool,
) -> io::Result<Last> {
    let place = Place::of(path);
    let Some(segment) = Segment::newest(&place)? else { return Ok(Last::default()) };
    let (index, end) = ending(&place, &segment, unfinished)?;
    let mut found = Last { lines: Vec::new(), end: Some(end), trouble: None };
    let mut source = Source::new(segment, &index, query)?;
    source.end_at(end.offset);
    found.lines = source.last(query, (count, bytes), stop)?;
    if end.offset == u64::MAX {
        // Where a compressed file ends is known once it was read.
        found.end = Some(Mark { base: end.base, ..source.segment.mark() });
    }
    let held = |lines: &[Line]| lines.iter().map(|line| line.text.len()).sum::<usize>();
    while found.lines.len() < count && held(&found.lines) <= bytes && !stop() {
        let Some(segment) = source.segment.older(&place)? else { break };
        if query.since.is_some_and(|since| segment.modified() < since) {
            break;
        }
        source = Source::new(segment, &index, query)?;
        match source.last(query, (count - found.lines.len(), bytes - held(&found.lines)), stop) {
            Ok(older) => found.lines.splice(0..0, older).for_each(drop),
            // Better the newest lines than none.
            Err(error) => {
                found.trouble = Some(error.to_string());
                break;
            }
        }
    }
    trim(&mut found.lines, bytes);
    Ok(found)
}

/// The last `count` lines that one generation of a service has written, since a time if one is given (in milliseconds
/// since 1970), with their ends, together at most `bytes`. Right once `Pump::finish` has called back for its pipes.
///
/// # Errors
/// When the newest file cannot be read.
pub fn last_of_generation(
    path: &Path,
    (generation, since): (u64, Option<u64>),
    (count, bytes): (usize, usize),
) -> io::Result<Vec<u8>> {
    let place = Place::of(path);
    if !place.live().exists() && !place.index().exists() {
        // Of a service that has never said anything. To look for archives is to read the whole directory.
        return Ok(Vec::new());
    }
    let query = Query { generation: Some(generation), since, ..Query::default() };
    let found = last(path, &query, (count, bytes), Unfinished::Shown, &|| false)?;
    let text = found.lines.into_iter().flat_map(|line| {
        let end = if line.whole { b"\n".as_slice() } else { b"" };
        [line.text, end.to_owned()].concat()
    });
    Ok(text.collect())
}

/// Drops the oldest lines that have no room; of a newest one that has none, its end is kept.
fn trim(lines: &mut Vec<Line>, bytes: usize) {
    let mut held = 0;
    let fitting = lines.iter().rev().take_while(|line| {
        held += line.text.len() + 1;
        held <= bytes
    });
    let count = fitting.count().max(1);
    *lines = newest(std::mem::take(lines), count);
    if let [only] = lines.as_mut_slice() {
        let beyond = (only.text.len() + 1).saturating_sub(bytes).min(only.text.len());
        only.text.drain(..beyond);
        only.seq = only.seq.map(|seq| seq + beyond as u64);
    }
}

/// What the index tells of a log, and where its newest file ends now. What the index tells of a file is there before its
/// first byte.
fn ending(place: &Place, newest: &Segment, unfinished: Unfinished) -> io::Result<(Vec<Entry>, Mark)> {
    let mut end = end_of(newest, unfinished)?;
    let index = entries(place);
    end.base = end.base.or_else(|| newest.known(&index).base()).filter(|_| end.offset > 0);
    Ok((index, end))
}

/// Where a file ends now, or its last whole line.
fn end_of(segment: &Segment, unfinished: Unfinished) -> io::Result<Mark> {
    let begin = segment.mark();
    let Some((plain, len)) = segment.plain()? else { return Ok(Mark { offset: u64::MAX, ..begin }) };
    let mut offset = len;
    if unfinished == Unfinished::Left {
        let from = len.saturating_sub(MOST as u64);
        let mut text = vec![0; usize::try_from(len - from).unwrap_or(MOST)];
        plain.read_exact_at(&mut text, from)?;
        offset = memrchr(b'\n', &text).map_or(if from == 0 { 0 } else { len }, |end| from + end as u64 + 1);
    }
    Ok(Mark { offset, ..begin })
}

/// All lines of a log that are wanted, the oldest first, up to where the log ended when this began.
pub struct Search {
    place: Place,
    query: Query,
    index: Vec<Entry>,
    source: Option<Source>,
    end: Option<Mark>,
    trouble: Option<String>,
}

impl Search {
    /// Looks for the first file that can hold what is wanted.
    ///
    /// # Errors
    /// When the log cannot be looked at.
    pub fn new(path: &Path, query: Query, unfinished: Unfinished) -> io::Result<Self> {
        let place = Place::of(path);
        let mut search = Self { place, query, index: Vec::new(), source: None, end: None, trouble: None };
        let Some(newest) = Segment::newest(&search.place)? else { return Ok(search) };
        let (index, end) = ending(&search.place, &newest, unfinished)?;
        (search.index, search.end) = (index, Some(end));
        let first = match search.query.since {
            None => Segment::oldest(&search.place)?.unwrap_or(newest),
            Some(since) => {
                let mut first = newest;
                while let Some(older) = first.older(&search.place)?.filter(|older| older.modified() >= since) {
                    first = older;
                }
                first
            }
        };
        search.open(first)?;
        Ok(search)
    }

    /// Where the log ended, for a `Tracker`.
    #[must_use]
    pub fn end(&self) -> Option<Mark> {
        self.end
    }

    /// What is wrong with an archive, whose lines are missing.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Appends some more lines, perhaps none; false: that was all.
    ///
    /// # Errors
    /// When the newest file cannot be read.
    pub fn read(&mut self, lines: &mut Vec<Line>) -> io::Result<bool> {
        let Some(source) = &mut self.source else { return Ok(false) };
        match source.forwards(&self.query, lines) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) if source.segment.archived => self.trouble = Some(error.to_string()),
            Err(error) => return Err(error),
        }
        let last = self.end.is_none_or(|end| source.holds(end));
        match if last { None } else { source.segment.newer(&self.place)? } {
            Some(next) => self.open(next)?,
            None => self.source = None,
        }
        Ok(self.source.is_some())
    }

    fn open(&mut self, segment: Segment) -> io::Result<()> {
        let mut source = Source::new(segment, &self.index, &self.query)?;
        if let Some(end) = self.end.filter(|end| source.holds(*end)) {
            source.end_at(end.offset);
        }
        self.source = Some(source);
        Ok(())
    }
}
