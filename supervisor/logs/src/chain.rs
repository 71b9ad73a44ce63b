//! The files of a log as one chain, oldest to newest, walked while rotations and compression go on.
//! Not here: changing any of them.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt};

use flate2::read::MultiGzDecoder;

use crate::archives::{Archive, Form, Place, open_archive};
use crate::compress::{origin, origin_and_base};
use crate::index::{self, Entry, Known};
use crate::recorder::written;

/// How often to look again when files were renamed while we looked.
const TRIES: u32 = 100;

/// An open file of a log.
pub(crate) struct Segment {
    content: Content,
    /// It was an archive already when it was opened.
    pub(crate) archived: bool,
    /// Of the file that is open.
    inode: u64,
    /// Of the file when it was written; another one if this is a compressed copy.
    original: u64,
    /// Of a compressed copy: what came before its original in the log.
    pub(crate) base: Option<u64>,
    /// When it was last written to, in milliseconds since 1970.
    modified: u64,
}

/// A place in a log that stays what it is when files are rotated and compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The inode of the file when it was written.
    pub file: u64,
    /// Bytes before the place, in that file.
    pub offset: u64,
    /// Bytes that came before the file, since the log began, if the index tells: an inode alone is used again.
    pub base: Option<u64>,
}

impl Mark {
    /// Is it in this file, before which so much came?
    pub(crate) fn is_in(self, file: u64, base: Option<u64>) -> bool {
        self.file == file && self.base.zip(base).is_none_or(|(own, base)| own == base)
    }
}

enum Content {
    Plain { file: File, offset: u64 },
    Gzip { decoder: Box<MultiGzDecoder<BufReader<File>>>, offset: u64 },
}

/// Where a file is in the chain. The live one is number 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spot {
    number: u32,
    form: Form,
    inode: u64,
}

impl Segment {
    /// The file that is written to now.
    pub(crate) fn live(place: &Place) -> io::Result<Option<Self>> {
        Self::open(place, 0, Form::Plain)
    }

    /// The newest file there is.
    pub(crate) fn newest(place: &Place) -> io::Result<Option<Self>> {
        for _ in 0..TRIES {
            if let Some(live) = Self::live(place)? {
                return Ok(Some(live));
            }
            // Between two steps of a rotation there is none, for a moment.
            let Some(first) = list(place)?.first().copied() else {
                return Ok(None);
            };
            let found = Self::open(place, first.number, first.form)?.filter(|found| found.inode == first.inode);
            if found.is_some() && Self::live(place)?.is_none() {
                return Ok(found);
            }
        }
        Err(too_fast())
    }

    /// The oldest file there is.
    pub(crate) fn oldest(place: &Place) -> io::Result<Option<Self>> {
        for _ in 0..TRIES {
            let Some(last) = spots(place)?.last().copied() else { return Ok(None) };
            let found = Self::open(place, last.number, last.form)?.filter(|found| found.inode == last.inode);
            if found.is_some() && spots(place)?.last() == Some(&last) {
                return Ok(found);
            }
        }
        Err(too_fast())
    }

    fn open(place: &Place, number: u32, form: Form) -> io::Result<Option<Self>> {
        let path = path_of(place, number, form);
        let file = match open_archive(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = file.metadata()?;
        let (inode, modified) = (found.ino(), written(&found));
        let (content, (original, base)) = match form {
            Form::Plain => (Content::Plain { file, offset: 0 }, (inode, None)),
            Form::Gzip => {
                let decoder = MultiGzDecoder::new(BufReader::new(file));
                (
                    Content::Gzip { decoder: Box::new(decoder), offset: 0 },
                    origin_and_base(&path).unwrap_or((inode, None)),
                )
            }
        };
        Ok(Some(Self { content, archived: number > 0, inode, original, base, modified }))
    }

    /// When the file was last written to, in milliseconds since 1970.
    pub(crate) fn modified(&self) -> u64 {
        match &self.content {
            Content::Plain { file, .. } => file.metadata().map_or(self.modified, |found| written(&found)),
            Content::Gzip { .. } => self.modified,
        }
    }

    /// What the index tells of it.
    pub(crate) fn known(&self, entries: &[Entry]) -> Known {
        Known::of(entries, (self.original, self.base), self.modified())
    }

    /// The place right behind what was read last.
    pub(crate) fn mark(&self) -> Mark {
        match &self.content {
            Content::Plain { offset, .. } | Content::Gzip { offset, .. } => {
                Mark { file: self.original, offset: *offset, base: self.base }
            }
        }
    }

    /// The file that a mark is in, read up to it; `None` when it is no longer kept.
    pub(crate) fn at(place: &Place, mark: Mark) -> io::Result<Option<Self>> {
        'again: for _ in 0..TRIES {
            let (all, index) = (spots(place)?, index::load(&place.index()));
            let holds = |spot: &&Spot| match spot.form {
                Form::Plain => mark.is_in(spot.inode, Known::of(&index, (spot.inode, None), 0).base()),
                Form::Gzip => origin_and_base(&path_of(place, spot.number, spot.form))
                    .is_some_and(|(file, base)| mark.is_in(file, base)),
            };
            for own in all.iter().filter(holds) {
                let Some(mut found) = Self::open(place, own.number, own.form)?.filter(|found| found.inode == own.inode)
                else {
                    continue 'again;
                };
                found.seek(mark.offset)?;
                // Another file may have got the number of one that was deleted, or compressed.
                let reached = found.mark();
                if (reached.file, reached.offset) == (mark.file, mark.offset) {
                    return Ok(Some(found));
                }
            }
            return Ok(None);
        }
        Err(too_fast())
    }

    /// The next newer file; `None`: not there yet.
    pub(crate) fn newer(&self, place: &Place) -> io::Result<Option<Self>> {
        self.neighbour(place, |spots, own| match own {
            Some(own) => spots.iter().copied().take_while(|spot| spot.number < own).max_by_key(|spot| spot.number),
            // It was deleted, and so was all before it: the oldest that is left comes next.
            None => spots.last().copied(),
        })
    }

    /// The next older file; `None`: there is none, or this one was deleted.
    pub(crate) fn older(&self, place: &Place) -> io::Result<Option<Self>> {
        self.neighbour(place, |spots, own| spots.iter().copied().find(|spot| own.is_some_and(|own| spot.number > own)))
    }

    /// Rotations rename from the oldest on. So if our file is still where the listing saw it, and no file is between
    /// it and the one that was opened, then that was the right one when it was opened.
    fn neighbour(
        &self,
        place: &Place,
        choose: impl Fn(&[Spot], Option<u32>) -> Option<Spot>,
    ) -> io::Result<Option<Self>> {
        for _ in 0..TRIES {
            let spots = spots(place)?;
            let own = self.locate(place, &spots);
            let Some(chosen) = choose(&spots, own.map(|own| own.number)) else {
                if self.stays(place, own, &spots)? {
                    return Ok(None);
                }
                continue;
            };
            let Some(found) = Self::open(place, chosen.number, chosen.form)? else {
                continue;
            };
            let between = |spot: &Spot| own.is_some_and(|own| is_between(spot.number, own.number, chosen.number));
            let certain = found.inode == chosen.inode && self.stays(place, own, &spots)?;
            if certain && !crate::chain::spots(place)?.iter().any(between) {
                return Ok(Some(found));
            }
        }
        Err(too_fast())
    }

    fn locate(&self, place: &Place, spots: &[Spot]) -> Option<Spot> {
        let open = spots.iter().find(|spot| spot.inode == self.inode);
        // A number is not used again while the file is open, so the newest copy with it is the right one.
        let copy = || {
            let copies = spots.iter().filter(|spot| spot.form == Form::Gzip);
            copies.into_iter().find(|spot| origin(&path_of(place, spot.number, spot.form)) == Some(self.original))
        };
        open.or_else(copy).copied()
    }

    /// Is our file still where it was seen, or still nowhere?
    fn stays(&self, place: &Place, own: Option<Spot>, seen: &[Spot]) -> io::Result<bool> {
        match own {
            Some(own) => Ok(inode_at(place, own.number, own.form) == Some(own.inode)),
            None => {
                let again = spots(place)?;
                Ok(again == seen && self.locate(place, &again).is_none())
            }
        }
    }

    /// Is this the live file, under its name?
    pub(crate) fn is_live(&self, place: &Place) -> bool {
        inode_at(place, 0, Form::Plain) == Some(self.inode)
    }

    /// Reads on; `Ok(0)`: nothing more for now. A file that was made shorter is read from its start.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.content {
            Content::Gzip { decoder, offset } => {
                let count = decoder.read(buffer)?;
                *offset += count as u64;
                Ok(count)
            }
            Content::Plain { file, offset } => {
                let mut count = file.read_at(buffer, *offset)?;
                if count == 0 && *offset > file.metadata()?.len() {
                    *offset = 0;
                    count = file.read_at(buffer, 0)?;
                }
                *offset += count as u64;
                Ok(count)
            }
        }
    }

    /// The next read begins at `to`, or at the end if that comes first.
    pub(crate) fn seek(&mut self, to: u64) -> io::Result<()> {
        match &mut self.content {
            Content::Plain { file, offset } => *offset = to.min(file.metadata()?.len()),
            Content::Gzip { decoder, offset } => {
                *offset += io::copy(&mut decoder.take(to), &mut io::sink())?;
            }
        }
        Ok(())
    }

    /// The file and its length, unless it must be read from its start.
    pub(crate) fn plain(&self) -> io::Result<Option<(&File, u64)>> {
        match &self.content {
            Content::Plain { file, .. } => Ok(Some((file, file.metadata()?.len()))),
            Content::Gzip { .. } => Ok(None),
        }
    }
}

/// The live file, if there is one, then the archives, newest first; of a file and its copy only the file.
fn spots(place: &Place) -> io::Result<Vec<Spot>> {
    let live = inode_at(place, 0, Form::Plain).map(|inode| Spot { number: 0, form: Form::Plain, inode });
    let archives = list(place)?.into_iter();
    let mut spots: Vec<Spot> =
        live.into_iter().chain(archives.map(|Archive { number, form, inode }| Spot { number, form, inode })).collect();
    spots.dedup_by_key(|spot| spot.number);
    Ok(spots)
}

/// No directory holds no archives.
fn list(place: &Place) -> io::Result<Vec<Archive>> {
    match place.list() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

fn path_of(place: &Place, number: u32, form: Form) -> std::path::PathBuf {
    if number == 0 { place.live() } else { place.archive(number, form) }
}

fn inode_at(place: &Place, number: u32, form: Form) -> Option<u64> {
    fs::symlink_metadata(path_of(place, number, form)).ok().map(|found| found.ino())
}

fn is_between(number: u32, one: u32, other: u32) -> bool {
    number > one.min(other) && number < one.max(other)
}

fn too_fast() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the log is rotated faster than it can be looked at")
}
