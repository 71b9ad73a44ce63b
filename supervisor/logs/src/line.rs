//! A line with what is known of it, and pieces of a file cut into lines.
//! Not here: which files, and in what order.

use memchr::memchr;

use crate::chain::Mark;
use crate::filter::Filter;
use crate::index::Known;

/// A longer line comes in pieces, each at least this long but the first and the last, and as long as what is read at
/// once: where it is cut depends on where reading began.
pub(crate) const MOST: usize = 64 << 10;

/// So many bytes, and the line that they end in, are looked at before it is asked whether to go on.
const FEW: usize = 32 << 10;

/// One line, or a piece of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Without its end.
    pub text: Vec<u8>,
    /// It ends with a line end; else it is a piece, or not finished yet.
    pub whole: bool,
    /// Bytes that came before it, since the log began; `None` when the index does not tell.
    pub seq: Option<u64>,
    /// Milliseconds since 1970 by which it was in the log.
    pub time: u64,
    /// Of the service, when the index tells.
    pub generation: Option<u64>,
    /// The place right behind it.
    pub end: Mark,
}

/// Which lines are wanted.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// What is in the line.
    pub filter: Filter,
    /// Not in the log before this, in milliseconds since 1970.
    pub since: Option<u64>,
    /// In the log by then.
    pub until: Option<u64>,
    /// Of this generation alone.
    pub generation: Option<u64>,
}

/// Some lines of one file, as they are in it.
pub(crate) struct Piece<'a> {
    pub(crate) text: &'a [u8],
    /// The inode of the file when it was written.
    pub(crate) file: u64,
    /// Bytes before it in the file.
    pub(crate) offset: u64,
    pub(crate) known: &'a Known,
}

impl Query {
    /// Appends the lines of `piece` that are wanted. Looks at a few at a time, and goes on unless `stop` says otherwise: a
    /// pattern may take long. False: it was stopped.
    pub(crate) fn pick_unless(&self, piece: &Piece<'_>, lines: &mut Vec<Line>, stop: &dyn Fn() -> bool) -> bool {
        let mut done = 0;
        while done < piece.text.len() {
            if stop() {
                return false;
            }
            let rest = &piece.text[done..];
            let few = rest.len().min(FEW);
            let few = memchr(b'\n', &rest[few..]).map_or(rest.len(), |end| few + end + 1);
            self.pick(&Piece { text: &rest[..few], offset: piece.offset + done as u64, ..*piece }, lines);
            done += few;
        }
        true
    }

    /// Appends the lines of `piece` that are wanted.
    pub(crate) fn pick(&self, piece: &Piece<'_>, lines: &mut Vec<Line>) {
        let Piece { text, file, offset, known } = *piece;
        self.filter.pick(text, |range| {
            let (begin, end) = (offset + range.start as u64, offset + range.end as u64);
            let (time, generation) = (known.time(end), known.generation(begin));
            let wanted = self.since.is_none_or(|since| time >= since)
                && self.until.is_none_or(|until| time <= until)
                && self.generation.is_none_or(|wanted| generation == Some(wanted));
            if wanted {
                let line = &text[range];
                let bare = line.strip_suffix(b"\n");
                lines.push(Line {
                    text: bare.unwrap_or(line).to_owned(),
                    whole: bare.is_some(),
                    seq: known.sequence(begin),
                    time,
                    generation,
                    end: Mark { file, offset: end, base: known.base() },
                });
            }
        });
    }

    /// Which part of a file can hold what is wanted.
    pub(crate) fn span(&self, known: &Known) -> (u64, u64) {
        let since = self.since.map_or(0, |since| known.not_before(since));
        let until = self.until.map_or(u64::MAX, |until| known.not_after(until));
        let (begin, end) = self.generation.map_or((0, u64::MAX), |generation| known.span_of(generation));
        (since.max(begin), until.min(end))
    }
}
