//! The last lines of a log, read backwards in blocks, archives included.
//! Not here: waiting for more.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::archives::Place;
use crate::chain::Segment;
use crate::follow::Follower;

const BLOCK: u64 = 64 << 10;

/// The last `lines` lines of the log at `path`, archives (compressed ones too) included, together at most `max_bytes`:
/// the oldest lines are left out. Of a last line that is longer than that, its end. No file: no lines.
///
/// # Errors
/// When a file of the log cannot be read.
pub fn tail(path: &Path, lines: usize, max_bytes: usize) -> io::Result<Vec<u8>> {
    tail_with_trouble(path, lines, max_bytes).map(|(text, _)| text)
}

/// As `tail`, with what is wrong with an archive, whose lines are missing.
///
/// # Errors
/// When the newest file cannot be read.
pub fn tail_with_trouble(path: &Path, lines: usize, max_bytes: usize) -> io::Result<(Vec<u8>, Option<String>)> {
    let place = Place::of(path);
    match Segment::newest(&place)? {
        Some(newest) => last_lines(&place, newest, lines, max_bytes).map(|(text, _, trouble)| (text, trouble)),
        None => Ok((Vec::new(), None)),
    }
}

/// As `tail`, with a follower that goes on right after those bytes: no gap, nothing twice; and with what is wrong with an
/// archive, whose lines are missing.
///
/// # Errors
/// When the newest file cannot be read.
pub fn tail_then_follow(
    path: &Path,
    lines: usize,
    max_bytes: usize,
) -> io::Result<(Vec<u8>, Follower, Option<String>)> {
    let place = Place::of(path);
    // The follower watches the directory from now on, so that it sees what comes while the tail is read.
    let mut follower = Follower::nowhere(place.clone());
    let Some(newest) = Segment::newest(&place)? else {
        return Ok((Vec::new(), follower, None));
    };
    let (text, newest, trouble) = last_lines(&place, newest, lines, max_bytes)?;
    follower.go_on(newest);
    Ok((text, follower, trouble))
}

/// The last lines up to the end of `newest`, which is left standing there.
fn last_lines(
    place: &Place,
    mut newest: Segment,
    lines: usize,
    max_bytes: usize,
) -> io::Result<(Vec<u8>, Segment, Option<String>)> {
    let mut tail = Tail { blocks: Vec::new(), bytes: 0, line_ends: 0, wanted: lines, max_bytes };
    tail.take_in(&mut newest)?;
    let mut trouble = None;
    let mut older = if tail.has_enough() { None } else { newest.older(place)? };
    while let Some(mut segment) = older {
        // Better the newest lines than none, when an archive is damaged or goes away meanwhile.
        if let Err(error) = tail.take_in(&mut segment) {
            trouble = Some(error.to_string());
            break;
        }
        older = if tail.has_enough() { None } else { segment.older(place)? };
    }
    Ok((tail.into_text(), newest, trouble))
}

/// The end of a log as far as it was read.
struct Tail {
    /// The newest first.
    blocks: Vec<Vec<u8>>,
    bytes: usize,
    line_ends: usize,
    wanted: usize,
    max_bytes: usize,
}

impl Tail {
    /// One line end more than lines are wanted shows where the first begins.
    fn has_enough(&self) -> bool {
        self.wanted == 0 || self.line_ends > self.wanted || self.bytes > self.max_bytes
    }

    fn take_in(&mut self, segment: &mut Segment) -> io::Result<()> {
        let plain = segment.plain()?.map(|(file, end)| self.take_in_plain(file, end).map(|()| end));
        match plain {
            Some(end) => segment.seek(end?)?,
            None => self.take_in_stream(segment)?,
        }
        Ok(())
    }

    fn take_in_plain(&mut self, file: &File, mut end: u64) -> io::Result<()> {
        while end > 0 && !self.has_enough() {
            let size = end.min(BLOCK);
            end -= size;
            let mut block = vec![0; usize::try_from(size).unwrap_or(0)];
            file.read_exact_at(&mut block, end)?;
            self.push(block);
        }
        Ok(())
    }

    /// Reads all of it, as there is no reading it backwards, and keeps no more than can be wanted.
    fn take_in_stream(&mut self, segment: &mut Segment) -> io::Result<()> {
        let most = self.max_bytes.saturating_sub(self.bytes) + 1;
        let mut end = Vec::new();
        let mut block = vec![0; 64 << 10];
        loop {
            let count = segment.read(&mut block)?;
            if count == 0 {
                break;
            }
            end.extend_from_slice(&block[..count]);
            if end.len() / 2 > most {
                end.drain(..end.len() - most);
            }
        }
        self.push(end);
        Ok(())
    }

    fn push(&mut self, block: Vec<u8>) {
        self.bytes += block.len();
        self.line_ends += block.iter().filter(|&&byte| byte == b'\n').count();
        self.blocks.push(block);
    }

    fn into_text(self) -> Vec<u8> {
        let (wanted, max) = (self.wanted, self.max_bytes);
        let mut text = self.blocks.into_iter().rev().reduce(|mut text, block| {
            text.extend_from_slice(&block);
            text
        });
        let mut text = text.take().unwrap_or_default();
        let begin = begin_of(&text, wanted, max);
        text.drain(..begin);
        text
    }
}

/// Where the last `wanted` lines begin that fit in `max` bytes together.
fn begin_of(text: &[u8], wanted: usize, max: usize) -> usize {
    let unended = text.strip_suffix(b"\n").unwrap_or(text);
    if wanted == 0 || max == 0 || text.is_empty() {
        return text.len();
    }
    let mut begins = memchr_back(unended).map(|end| end + 1).chain([0]);
    let by_lines = begins.nth(wanted - 1).unwrap_or(0);
    let floor = text.len().saturating_sub(max);
    if by_lines >= floor {
        return by_lines;
    }
    let first_end = text[floor..text.len() - 1].iter().position(|&byte| byte == b'\n');
    let at_line = floor == 0 || text[floor - 1] == b'\n';
    if at_line { floor } else { first_end.map_or(floor, |end| floor + end + 1) }
}

/// The positions of the line ends, the last first.
fn memchr_back(text: &[u8]) -> impl Iterator<Item = usize> + '_ {
    text.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, wanted: usize, max: usize) -> &str {
        &text[begin_of(text.as_bytes(), wanted, max)..]
    }

    #[test]
    fn the_last_lines_are_counted_from_the_end() {
        assert_eq!(lines("a\nb\nc\n", 2, 100), "b\nc\n");
        assert_eq!(lines("a\nb\nc", 2, 100), "b\nc");
        assert_eq!(lines("a\nb\nc\n", 9, 100), "a\nb\nc\n");
        assert_eq!(lines("a\n\n", 1, 100), "\n");
        assert_eq!(lines("a\nb", 0, 100), "");
        assert_eq!(lines("", 3, 100), "");
        assert_eq!(lines("a\nb", 3, 0), "");
    }

    #[test]
    fn the_oldest_lines_are_left_out_when_there_are_too_many_bytes() {
        assert_eq!(lines("aaa\nbbb\nccc\n", 3, 9), "bbb\nccc\n");
        assert_eq!(lines("aaa\nbbb\nccc\n", 3, 8), "bbb\nccc\n");
        assert_eq!(lines("aaa\nbbb\nccc\n", 3, 7), "ccc\n");
    }

    #[test]
    fn of_a_line_that_is_too_long_the_end_is_shown() {
        assert_eq!(lines("aaa\nbbbbbb\n", 2, 4), "bbb\n");
    }
}
