//! The files of a journal, as their one writer sees them. A torn last line is dropped, other damage is put aside.
//! Not here: numbers, and what is done when the disk is full (`writer`).

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use super::files::Files;
use super::shelf::Line;
use super::{FILE_BYTES, FILE_EVENTS, SHELF_EVENTS};
use crate::state::{self, ours};

/// A file of ours is never longer; of another one, no more is looked at.
const MOST: u64 = 2 * FILE_BYTES;

/// The file that is written.
#[derive(Debug)]
pub(super) struct Store {
    files: Files,
    file: File,
    length: u64,
    events: u64,
}

/// What the files held.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// The newest.
    pub(super) lines: VecDeque<Arc<Line>>,
    /// The number of the last that is not among them.
    pub(super) before: u64,
    /// Lines that were put aside.
    pub(super) damaged: u64,
}

impl Past {
    pub(super) fn last(&self) -> u64 {
        self.lines.back().map_or(self.before, |line| line.seq())
    }

    fn push(&mut self, line: Line) {
        self.lines.push_back(Arc::new(line));
        if self.lines.len() > SHELF_EVENTS
            && let Some(old) = self.lines.pop_front()
        {
            self.before = old.seq();
        }
    }
}

impl Store {
    /// Opens the files in `dir`, and shows every event that they hold.
    pub(super) fn open(dir: &Path, mut visit: impl FnMut(&Line)) -> io::Result<(Self, Past)> {
        state::private_dir(dir).map_err(io::Error::other)?;
        let files = Files::new(dir);
        let mut past = Past::default();
        let mut keep = |line: Line, past: &mut Past| {
            visit(&line);
            past.push(line);
        };
        take_in(&files, &files.previous(), &mut past, &mut keep)?;
        let events = take_in(&files, &files.current(), &mut past, &mut keep)?;
        let file = create(&files.current())?;
        let length = file.metadata()?.len();
        Ok((Self { files, file, length, events }, past))
    }

    /// Writes all or nothing.
    pub(super) fn append(&mut self, lines: &[Arc<Line>]) -> io::Result<()> {
        let mut text = Vec::with_capacity(lines.iter().map(|line| line.json.len() + 1).sum());
        for line in lines {
            text.extend_from_slice(&line.json);
            text.push(b'\n');
        }
        if self.file.metadata()?.nlink() == 0 {
            // Someone removed it.
            self.begin()?;
        }
        let (bytes, count) = (text.len() as u64, lines.len() as u64);
        if self.length > 0 && (self.length + bytes > FILE_BYTES || self.events + count > FILE_EVENTS) {
            self.rotate()?;
        }
        if let Err(error) = self.file.write_all(&text) {
            // What is left of a line would be damage to the next who opens it.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += bytes;
        self.events += count;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        fs::rename(self.files.current(), self.files.previous())?;
        self.begin()
    }

    fn begin(&mut self) -> io::Result<()> {
        self.file = create(&self.files.current())?;
        self.length = self.file.metadata()?.len();
        self.events = 0;
        Ok(())
    }

    pub(super) fn sync(&self) {
        let _ = self.file.sync_data();
    }
}

/// To append to, ours alone. A link is not followed.
fn create(path: &Path) -> io::Result<File> {
    let file = ours().append(true).create(true).open(path)?;
    if file.metadata()?.mode() & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// Reads a file; when it holds anything but events in order and perhaps a torn last one, it is put aside and written
/// anew without that. Gives how many events it holds.
fn take_in(files: &Files, path: &Path, past: &mut Past, keep: &mut impl FnMut(Line, &mut Past)) -> io::Result<u64> {
    let file = match ours().read(true).open(path) {
        Ok(file) if file.metadata()?.is_file() => file,
        Ok(_) => {
            past.damaged += 1;
            fs::rename(path, files.damaged())?;
            return Ok(0);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let too_long = file.metadata()?.len() > MOST;
    let mut text = Vec::new();
    file.take(MOST).read_to_end(&mut text)?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let (mut good, mut damaged, mut events) = (Vec::new(), u64::from(too_long), 0);
    for line in text[..whole].split_inclusive(|byte| *byte == b'\n') {
        match Line::parse(&line[..line.len() - 1]).filter(|parsed| parsed.seq() > past.last()) {
            Some(parsed) => {
                keep(parsed, past);
                good.extend_from_slice(line);
                events += 1;
            }
            None => damaged += 1,
        }
    }
    past.damaged += damaged;
    if damaged > 0 {
        fs::copy(path, files.damaged()).and_then(|_| private(&files.damaged()))?;
    }
    if damaged > 0 || whole < text.len() {
        replace(path, &good)?;
    }
    Ok(events)
}

fn private(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    create(&new)?.write_all(text)?;
    fs::rename(new, path)
}
