//! One file of a log as pieces of whole lines: forwards, or for a plain file backwards.
//! Not here: which file comes next.

use std::io;
use std::os::unix::fs::FileExt;

use memchr::{memchr, memrchr};

use crate::archives::Place;
use crate::chain::{Mark, Segment};
use crate::index::{self, Entry, Known};
use crate::line::{Line, MOST, Piece, Query};

/// Read at once.
const BLOCK: usize = 256 << 10;
/// Read first when reading backwards, as a few lines are mostly enough.
const FIRST: u64 = 16 << 10;

/// A file that is being read.
pub(crate) struct Source {
    pub(crate) segment: Segment,
    known: Known,
    /// Nothing beyond this is wanted.
    to: u64,
    /// A line that goes on beyond `to` came too late.
    late: bool,
    /// Read and not told yet: the beginning of a line.
    rest: Vec<u8>,
    /// The first bytes are the end of a line that begins before what is wanted.
    skip: bool,
}

impl Source {
    pub(crate) fn new(segment: Segment, entries: &[Entry], query: &Query) -> io::Result<Self> {
        let known = segment.known(entries);
        let (from, to) = query.span(&known);
        let mut source = Self { segment, known, to, late: to < u64::MAX, rest: Vec::new(), skip: false };
        if from >= to {
            source.to = 0;
        } else if let Some(before) = from.checked_sub(MOST as u64).filter(|before| *before > 0) {
            // A line that ends behind `from` may begin before it.
            source.segment.seek(before)?;
            source.skip = true;
        }
        Ok(source)
    }

    /// Is this the file that `end` is in?
    pub(crate) fn holds(&self, end: Mark) -> bool {
        end.is_in(self.segment.mark().file, self.segment.base.or(self.known.base()))
    }

    /// Nothing beyond `end` is wanted.
    pub(crate) fn end_at(&mut self, end: u64) {
        self.to = self.to.min(end);
    }

    /// The next piece, appended to `lines` as far as it is wanted; false: that was all.
    pub(crate) fn forwards(&mut self, query: &Query, lines: &mut Vec<Line>) -> io::Result<bool> {
        self.forwards_unless(query, lines, &|| false)
    }

    /// The same; also false when it was stopped.
    fn forwards_unless(&mut self, query: &Query, lines: &mut Vec<Line>, stop: &dyn Fn() -> bool) -> io::Result<bool> {
        let left = self.to.saturating_sub(self.segment.mark().offset);
        let (old, more) = (self.rest.len(), usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK)));
        self.rest.resize(old + more, 0);
        let read = if more == 0 { Ok(0) } else { self.segment.read(&mut self.rest[old..]) };
        self.rest.truncate(old + read.as_ref().copied().unwrap_or(0));
        let over = read? == 0;
        let whole = match memrchr(b'\n', &self.rest) {
            _ if over => self.rest.len(),
            Some(last) => last + 1,
            None if self.rest.len() >= MOST => self.rest.len(),
            None => return Ok(true),
        };
        let mark = self.segment.mark();
        // Less than nothing when someone has emptied the file.
        let begin = mark.offset.saturating_sub(self.rest.len() as u64);
        let skipped =
            if std::mem::take(&mut self.skip) { memchr(b'\n', &self.rest).map_or(0, |end| end + 1) } else { 0 };
        let text = self.in_time(over, &self.rest[skipped.min(whole)..whole]);
        let piece = Piece { text, file: mark.file, offset: begin + skipped as u64, known: &self.known };
        let stopped = !query.pick_unless(&piece, lines, stop);
        self.rest.drain(..whole);
        Ok(!over && !stopped)
    }

    /// The text up to `to` without the line that goes on there, if that came too late.
    fn in_time<'t>(&self, last: bool, text: &'t [u8]) -> &'t [u8] {
        let whole = if last && self.late { memrchr(b'\n', text).map_or(0, |end| end + 1) } else { text.len() };
        &text[..whole]
    }

    /// The last lines that are wanted, at most `count` and about `bytes`, in the order of the file.
    pub(crate) fn last(
        &mut self,
        query: &Query,
        (count, bytes): (usize, usize),
        stop: &dyn Fn() -> bool,
    ) -> io::Result<Vec<Line>> {
        let Some((file, len)) = self.segment.plain()? else {
            return self.last_of_stream(query, (count, bytes), stop);
        };
        let (begin, of) = (query.span(&self.known).0, self.segment.mark().file);
        let (mut end, mut last) = (len.min(self.to), self.to < len);
        let (mut size, mut groups, mut found, mut held) = (FIRST, Vec::new(), 0, 0);
        while end > begin && found < count && held <= bytes && !stop() {
            let from = end.saturating_sub(size);
            let mut text = vec![0; usize::try_from(end - from).unwrap_or(BLOCK)];
            file.read_exact_at(&mut text, from)?;
            let Some(cut) = first_line(&text, from) else {
                size *= 2;
                continue;
            };
            let mut lines = Vec::new();
            let (text, offset) = (self.in_time(last, &text[cut..]), from + cut as u64);
            if !query.pick_unless(&Piece { text, file: of, offset, known: &self.known }, &mut lines, stop) {
                // Of a part of a block, the newest lines would be missing.
                break;
            }
            found += lines.len();
            held += lines.iter().map(|line| line.text.len()).sum::<usize>();
            groups.push(lines);
            (end, last) = (offset, false);
            size = (size * 2).min(BLOCK as u64 * 4);
        }
        Ok(newest(groups.into_iter().rev().flatten().collect(), count))
    }

    /// There is no reading a compressed file backwards: all of it is read, and no more kept than can be wanted.
    fn last_of_stream(
        &mut self,
        query: &Query,
        (count, bytes): (usize, usize),
        stop: &dyn Fn() -> bool,
    ) -> io::Result<Vec<Line>> {
        let (mut lines, mut held) = (Vec::new(), 0);
        loop {
            let old = lines.len();
            let more = self.forwards_unless(query, &mut lines, stop)?;
            held += lines[old..].iter().map(|line| line.text.len()).sum::<usize>();
            if !more || stop() {
                return Ok(newest(lines, count));
            }
            if lines.len() / 2 > count || held / 2 > bytes {
                lines = newest(lines, count);
                let mut kept = 0;
                let fitting = lines
                    .iter()
                    .rev()
                    .take_while(|line| {
                        kept += line.text.len();
                        kept <= bytes
                    })
                    .count();
                lines = newest(lines, fitting.max(1));
                held = lines.iter().map(|line| line.text.len()).sum();
            }
        }
    }
}

/// Where the first whole line begins in `text`, which begins at `offset`; `None`: more is needed to tell. A line that is
/// too long is cut anywhere.
fn first_line(text: &[u8], offset: u64) -> Option<usize> {
    if offset == 0 {
        return Some(0);
    }
    match memchr(b'\n', text).map(|end| end + 1) {
        Some(begin) if begin < text.len() => Some(begin),
        Some(_) | None if text.len() >= MOST => Some(0),
        Some(_) | None => None,
    }
}

/// The last `count`.
pub(crate) fn newest(mut lines: Vec<Line>, count: usize) -> Vec<Line> {
    let beyond = lines.len().saturating_sub(count);
    lines.drain(..beyond);
    lines
}

/// What the index of a log tells now.
pub(crate) fn entries(place: &Place) -> Vec<Entry> {
    index::load(&place.index())
}
