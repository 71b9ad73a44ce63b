//! The files of a journal, as readers see them; they may be read while nothing runs, and while they are rotated.
//! Not here: writing them (`store`).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::LINE;
use crate::state::ours;

/// Where they are.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    dir: PathBuf,
}

impl Files {
    /// In the state directory.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The one that is written.
    pub(super) fn current(&self) -> PathBuf {
        self.dir.join("events.jsonl")
    }

    /// The one before it.
    pub(super) fn previous(&self) -> PathBuf {
        self.dir.join("events.jsonl.1")
    }

    /// What could not be read is put aside here.
    pub(super) fn damaged(&self) -> PathBuf {
        self.dir.join("events.damaged")
    }

    pub(super) fn numbers(&self) -> PathBuf {
        self.dir.join("events.number")
    }

    /// Shows each event behind `after`, in order, until `visit` has enough. Gives the oldest number there is.
    ///
    /// # Errors
    /// When a file cannot be read. One that is not there holds nothing.
    pub(super) fn scan(
        &self,
        after: u64,
        mut visit: impl FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> io::Result<Option<u64>> {
        let mut oldest = None;
        for file in self.open()? {
            let mut reader = BufReader::with_capacity(64 << 10, file);
            let mut line = Vec::new();
            while (&mut reader).take(LINE as u64).read_until(b'\n', &mut line)? > 0 {
                // Being written, or no line of ours.
                let Some(text) = line.strip_suffix(b"\n") else { break };
                if let Some(seq) = seq_of(text) {
                    oldest.get_or_insert(seq);
                    if seq > after && visit(seq, text).is_break() {
                        return Ok(oldest);
                    }
                }
                line.clear();
            }
        }
        Ok(oldest)
    }

    /// The older first. When they are rotated meanwhile, the newest may be missing; whoever follows looks again.
    fn open(&self) -> io::Result<Vec<File>> {
        let current = open(&self.current())?;
        let previous = open(&self.previous())?;
        let mut all: Vec<File> = previous.into_iter().chain(current).collect();
        if let [one, other] = all.as_slice()
            && one.metadata()?.ino() == other.metadata()?.ino()
        {
            all.pop();
        }
        Ok(all)
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match ours().read(true).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Our own lines begin with it, so the rest need not be parsed.
pub(super) fn seq_of(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(b"{\"seq\":")?;
    let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}
