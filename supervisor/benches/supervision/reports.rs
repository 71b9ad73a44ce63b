//! Where children report in: a FIFO of lines `NAME PID NANOSECONDS`.
//! Not here: the children.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::Error;

/// A child says the time itself, so how often the FIFO is read is in no figure.
const PAUSE: Duration = Duration::from_millis(1);

pub(crate) struct Reports {
    path: PathBuf,
    fifo: File,
    unfinished: Vec<u8>,
    latest: BTreeMap<String, Report>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    pub(crate) pid: i32,
    /// `CLOCK_MONOTONIC`, right after the child's own start.
    pub(crate) at_ns: u64,
}

impl Reports {
    pub(crate) fn new(path: PathBuf) -> Result<Self, Error> {
        nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
        // Open for writing as well, so that it never ends between two children.
        let flags = OFlag::O_NONBLOCK.bits();
        let fifo = File::options().read(true).write(true).custom_flags(flags).open(&path)?;
        Ok(Self { path, fifo, unfinished: Vec::new(), latest: BTreeMap::new() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The latest report of every name so far.
    pub(crate) fn latest(&mut self) -> Result<&BTreeMap<String, Report>, Error> {
        let mut buffer = [0; 4096];
        loop {
            match self.fifo.read(&mut buffer) {
                Ok(read) => self.unfinished.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        while let Some(end) = self.unfinished.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unfinished.drain(..=end).collect();
            let (name, report) = parse(&line).ok_or("a report that is none")?;
            self.latest.insert(name, report);
        }
        Ok(&self.latest)
    }

    /// Until `done` finds what it looks for.
    pub(crate) fn wait<T>(
        &mut self,
        what: &str,
        within: Duration,
        done: impl Fn(&BTreeMap<String, Report>) -> Option<T>,
    ) -> Result<T, Error> {
        let until = Instant::now() + within;
        loop {
            if let Some(found) = done(self.latest()?) {
                return Ok(found);
            }
            if Instant::now() > until {
                return Err(format!("{what}: not within {within:?}; {} have reported", self.latest.len()).into());
            }
            std::thread::sleep(PAUSE);
        }
    }
}

fn parse(line: &[u8]) -> Option<(String, Report)> {
    let mut words = std::str::from_utf8(line).ok()?.split_whitespace();
    let (name, pid, at_ns) = (words.next()?, words.next()?, words.next()?);
    Some((name.to_owned(), Report { pid: pid.parse().ok()?, at_ns: at_ns.parse().ok()? }))
}
