//! The sparse index beside a log: by when which bytes were there, of which generation, and where they are in all.
//! Not here: when an entry is made (`recorder`); the log itself, which is whole without this.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::archives::open_archive;

/// Bytes of one entry in the file: five numbers and a check, little-endian.
pub(crate) const ENTRY: usize = 48;
/// An index that has grown beyond this is thinned out.
pub(crate) const MOST: usize = 256 << 10;
/// So many entries are left then, at most: it has room to grow.
const KEPT: usize = MOST / ENTRY / 8 * 7;
/// No more of an index is read: it is thinned out long before it is as large.
const MOST_READ: u64 = 2 * MOST as u64;

/// One entry. Entries are in the order in which the bytes came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The inode of the file when it was written.
    pub(crate) file: u64,
    /// In that file. 0: the file begins; what was told of this inode before was of another one.
    pub(crate) offset: u64,
    /// What came before the file's first byte, in bytes, since the log began.
    pub(crate) base: u64,
    /// Milliseconds since 1970, when the last byte before `offset` was written.
    pub(crate) time: u64,
    /// Of the bytes from `offset` on; 0: not known, or of several.
    pub(crate) generation: u64,
}

impl Entry {
    pub(crate) fn encode(self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        let numbers = [self.file, self.offset, self.base, self.time, self.generation];
        for (number, place) in numbers.iter().zip(bytes.chunks_exact_mut(8)) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let check = check(&bytes[..ENTRY - 8]);
        bytes[ENTRY - 8..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// `None` when it is damaged.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut numbers = bytes.chunks_exact(8).map(|number| u64::from_le_bytes(number.try_into().unwrap_or_default()));
        let mut next = || numbers.next();
        let (file, offset, base, time, generation) = (next()?, next()?, next()?, next()?, next()?);
        let sound = next()? == check(&bytes[..ENTRY - 8]) && base.checked_add(offset).is_some();
        sound.then_some(Self { file, offset, base, time, generation })
    }
}

/// FNV-1a, 64 bits.
pub(crate) fn check(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// All entries that are sound; of no file, none.
pub(crate) fn load(path: &Path) -> Vec<Entry> {
    let mut bytes = Vec::new();
    let read = open_archive(path).and_then(|file| file.take(MOST_READ).read_to_end(&mut bytes));
    if read.is_err() { Vec::new() } else { decode(&bytes) }
}

pub(crate) fn decode(bytes: &[u8]) -> Vec<Entry> {
    bytes.chunks_exact(ENTRY).filter_map(Entry::decode).collect()
}

/// The last sound entry of an index file that is `len` bytes long.
pub(crate) fn last(file: &File, len: u64) -> io::Result<Option<Entry>> {
    let whole = len / ENTRY as u64;
    let mut bytes = [0; ENTRY];
    for number in (0..whole).rev().take(16) {
        file.read_exact_at(&mut bytes, number * ENTRY as u64)?;
        if let Some(entry) = Entry::decode(&bytes) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// At most `KEPT` entries. The older a time is the less exact: within 1/512 of its age if that leaves few enough, and so
/// on to 1/64; generations stay what they are. Only when they change too often for that are older ones given up too.
pub(crate) fn thinned(mut entries: Vec<Entry>) -> Vec<Entry> {
    for part in [512, 256, 128, 64] {
        if entries.len() > KEPT {
            entries = faded(&entries, part);
        }
    }
    while entries.len() > KEPT {
        let before = entries.len();
        entries = halved(entries);
        if entries.len() == before {
            // Of files that are mostly gone.
            entries.drain(..before - KEPT);
        }
    }
    entries
}

/// Without entries that tell of the same generation as the one before, if then no time is further off than `1/part` of
/// its age.
fn faded(entries: &[Entry], part: u64) -> Vec<Entry> {
    let now = entries.last().map_or(0, |last| last.time);
    let mut kept: Vec<Entry> = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        let next = entries.get(number + 1).filter(|next| next.file == entry.file && next.offset > 0);
        let needless = kept.last().zip(next).is_some_and(|(before, next)| {
            let same = (before.file, before.generation) == (entry.file, entry.generation);
            same && entry.offset > 0 && before.time.abs_diff(next.time) <= now.saturating_sub(next.time) / part
        });
        if !needless {
            kept.push(*entry);
        }
    }
    kept
}

/// The older half without every other entry; what was of two generations then is of an unknown one.
fn halved(entries: Vec<Entry>) -> Vec<Entry> {
    let old = entries.len() / 2;
    let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
    for (number, entry) in entries.into_iter().enumerate() {
        match kept.last_mut() {
            Some(before) if number < old && number % 2 == 1 && entry.offset > 0 && before.file == entry.file => {
                if before.generation != entry.generation {
                    before.generation = 0;
                }
            }
            Some(_) | None => kept.push(entry),
        }
    }
    kept
}

/// What is known of one file of a log.
#[derive(Debug, Default)]
pub(crate) struct Known {
    entries: Vec<Entry>,
    /// When the file was last written to: by then all was there.
    pub(crate) modified: u64,
}

impl Known {
    /// Of the file whose inode was `file` when it was written; of several, that with `base` bytes before it, or the last.
    pub(crate) fn of(entries: &[Entry], (file, base): (u64, Option<u64>), modified: u64) -> Self {
        let is_own = |entry: &&Entry| entry.file == file && base.is_none_or(|base| entry.base == base);
        let mut own: Vec<Entry> = entries.iter().filter(is_own).copied().collect();
        let begin = own.iter().rposition(|entry| entry.offset == 0).unwrap_or(0);
        own.drain(..begin);
        own.dedup_by(|next, before| next.offset < before.offset);
        Self { entries: own, modified }
    }

    /// What came before the file's first byte, in bytes, since the log began. No other file has the same.
    pub(crate) fn base(&self) -> Option<u64> {
        self.entries.first().map(|first| first.base)
    }

    /// When the bytes up to `end` were there, at the latest.
    pub(crate) fn time(&self, end: u64) -> u64 {
        let next = self.entries.partition_point(|entry| entry.offset < end);
        self.entries.get(next).map_or(self.modified, |entry| entry.time)
    }

    pub(crate) fn generation(&self, begin: u64) -> Option<u64> {
        let next = self.entries.partition_point(|entry| entry.offset <= begin);
        let entry = self.entries.get(next.checked_sub(1)?)?;
        Some(entry.generation).filter(|generation| *generation > 0)
    }

    pub(crate) fn sequence(&self, offset: u64) -> Option<u64> {
        self.base().map(|base| base + offset)
    }

    /// A place before which nothing is as new as `since`.
    pub(crate) fn not_before(&self, since: u64) -> u64 {
        let next = self.entries.iter().position(|entry| entry.time >= since && entry.offset > 0);
        match next {
            Some(next) => next.checked_sub(1).map_or(0, |before| self.entries[before].offset),
            None if self.modified >= since => self.entries.last().map_or(0, |last| last.offset),
            None => u64::MAX,
        }
    }

    /// A place behind which nothing is as old as `until`.
    pub(crate) fn not_after(&self, until: u64) -> u64 {
        if self.modified <= until {
            return u64::MAX;
        }
        self.entries.iter().rev().find(|entry| entry.time <= until).map_or(0, |entry| entry.offset)
    }

    /// The part of the file that can hold bytes of `generation`.
    pub(crate) fn span_of(&self, generation: u64) -> (u64, u64) {
        let own = |entry: &Entry| entry.generation == generation;
        let (first, last) = (self.entries.iter().position(own), self.entries.iter().rposition(own));
        let behind = |last: usize| self.entries.get(last + 1).map_or(u64::MAX, |next| next.offset);
        (first.map_or(u64::MAX, |first| self.entries[first].offset), last.map_or(0, behind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(file: u64, offset: u64, time: u64, generation: u64) -> Entry {
        Entry { file, offset, base: 1000 * file, time, generation }
    }

    fn known() -> Known {
        let all = [
            entry(7, 0, 1, 9),
            entry(7, 500, 2, 9),
            entry(6, 0, 3, 1),
            entry(7, 0, 10, 0),
            entry(7, 0, 10, 2),
            entry(7, 100, 20, 2),
            entry(7, 200, 30, 3),
            entry(7, 300, 40, 2),
        ];
        Known::of(&all, (7, None), 50)
    }

    #[test]
    fn an_entry_tells_by_when_what_is_before_it_was_there_and_whose_is_what_follows() {
        let known = known();
        assert_eq!([1, 100, 101, 200, 300, 301].map(|end| known.time(end)), [20, 20, 30, 30, 40, 50]);
        assert_eq!([0, 99, 100, 200, 299, 300].map(|at| known.generation(at)), [2, 2, 2, 3, 3, 2].map(Some));
        assert_eq!(known.sequence(42), Some(7042));
    }

    #[test]
    fn what_was_told_of_an_earlier_file_with_the_same_inode_is_forgotten() {
        assert_eq!(known().span_of(9), (u64::MAX, 0));
        assert_eq!(Known::of(&[], (7, None), 50).sequence(1), None);
        assert_eq!(Known::of(&[], (7, None), 50).time(1), 50);
    }

    #[test]
    fn a_copy_of_a_file_whose_inode_is_another_ones_by_now_is_known_by_what_came_before_it() {
        let begin = |base, time| Entry { base, ..entry(7, 0, time, 1) };
        let all = [begin(0, 1), Entry { base: 0, ..entry(7, 50, 2, 1) }, begin(90, 8)];
        let old = Known::of(&all, (7, Some(0)), 3);
        assert_eq!((old.sequence(5), old.time(50), old.time(51)), (Some(5), 2, 3));
        let new = Known::of(&all, (7, None), 9);
        assert_eq!((new.sequence(5), new.time(50)), (Some(95), 9));
    }

    #[test]
    fn a_span_of_time_or_of_a_generation_is_a_part_of_the_file() {
        let known = known();
        assert_eq!(
            [0, 20, 21, 40, 41, 50, 51].map(|since| known.not_before(since)),
            [0, 0, 100, 200, 300, 300, u64::MAX]
        );
        assert_eq!([9, 20, 29, 40, 49, 50].map(|until| known.not_after(until)), [0, 100, 100, 300, 300, u64::MAX]);
        assert_eq!((known.span_of(3), known.span_of(2)), ((200, 300), (0, u64::MAX)));
    }

    #[test]
    fn an_index_without_limit_of_entries_has_a_limit_and_tells_nothing_wrong() {
        let mut all = Vec::new();
        for number in 0..100_000u64 {
            all.push(entry(number / 5000, number % 5000 * 10, number, 1 + number / 3 % 3));
            if all.len() > MOST / ENTRY {
                all = thinned(all);
                assert!((KEPT / 2..=KEPT).contains(&all.len()), "{}", all.len());
            }
        }
        for (place, one) in all.iter().enumerate() {
            let until = all.get(place + 1).filter(|next| next.file == one.file).map_or(5000, |next| next.offset / 10);
            let true_ones = (one.offset / 10..until).map(|number| 1 + (one.file * 5000 + number) / 3 % 3);
            assert!(one.generation == 0 || true_ones.into_iter().all(|of| of == one.generation), "{one:?}");
        }
        assert_eq!(all.last().map(|entry| entry.time), Some(99_999));
    }

    #[test]
    fn a_line_a_second_for_a_week_has_its_time_within_a_64th_of_its_age_and_its_generation() {
        const WEEK: u64 = 7 * 24 * 3600;
        let generation = |second: u64| 1 + second / 3600;
        let mut all = Vec::new();
        for second in 0..WEEK {
            all.push(entry(7, second * 10, second * 1000, generation(second)));
            if all.len() > MOST / ENTRY {
                all = thinned(all);
            }
        }
        let known = Known::of(&all, (7, None), WEEK * 1000);
        for second in (0..WEEK).step_by(7) {
            let exact = (second + 1) * 1000;
            let off = known.time(second * 10 + 10) - exact;
            assert!(off <= (WEEK * 1000 - exact) / 64, "{off} ms of second {second}");
            assert_eq!(known.generation(second * 10), Some(generation(second)));
        }
        let three_hours_ago = WEEK - 3 * 3600;
        let (since, until) = (known.not_before(three_hours_ago * 1000), known.not_after(three_hours_ago * 1000));
        assert!((three_hours_ago - 200..=three_hours_ago).contains(&(since / 10)), "{since}");
        assert!((three_hours_ago - 200..=three_hours_ago).contains(&(until / 10)), "{until}");
    }

    #[test]
    fn damaged_entries_are_skipped() {
        let entries = [entry(1, 0, 5, 1), entry(1, 10, 6, 1), entry(1, 20, 7, 1)];
        let mut bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.encode()).collect();
        bytes[ENTRY + 3] ^= 1;
        bytes.extend([1, 2, 3]);
        assert_eq!(decode(&bytes), [entries[0], entries[2]]);
    }
}
