//! A pipe of a service with its stage, and what is known of it between two turns.
//! Not here: a turn (`copying`), and when it is a pipe's turn (`worker`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;

use crate::copying::{Stop, Turn};
use crate::onlooker::Watched;
use crate::platform;
use crate::stage::{CAPACITY, Stage};

/// Where a pipe gave as much as this at once, what comes next goes by its stage.
const FLOOD: usize = 16 << 10;

pub(crate) struct Pipe {
    pub(crate) fd: OwnedFd,
    /// What is in it comes before what is in the pipe.
    pub(crate) stage: Option<Stage>,
    /// It gave much at once when it was last taken from.
    flooded: bool,
    enlarged: bool,
    /// Its log's place in the worker's list.
    pub(crate) log: usize,
    pub(crate) capacity: usize,
    /// Of the service; 0: of none.
    pub(crate) generation: u64,
    pub(crate) way: Way,
    /// The line that is in the pipe was dropped in part: the rest of it is dropped as well.
    pub(crate) skip: bool,
    /// Since when it holds only the beginning of a line, which is waited for.
    pub(crate) held: Option<Instant>,
    /// No writer is left: nothing is waited for.
    pub(crate) finishing: bool,
    /// By someone who sees what is in it before it leaves.
    pub(crate) watched: Option<Watched>,
    pub(crate) queued: bool,
}

impl Pipe {
    pub(crate) fn new(fd: OwnedFd, stage: Option<OwnedFd>, log: usize, generation: u64) -> Self {
        Self {
            capacity: platform::capacity(fd.as_fd()),
            fd,
            stage: stage.map(Stage::new),
            flooded: false,
            enlarged: false,
            log,
            generation,
            way: Way::Splice,
            skip: false,
            held: None,
            finishing: false,
            watched: None,
            queued: false,
        }
    }

    /// Whether there is anything to read.
    pub(crate) fn holds_something(&self) -> bool {
        self.is_staged() || platform::is_readable(self.fd.as_fd())
    }

    pub(crate) fn is_staged(&self) -> bool {
        self.stage.as_ref().is_some_and(|stage| !stage.is_empty())
    }

    /// Takes what comes next by `by`. `Ok(0)`: no writer is left.
    pub(crate) fn take(&mut self, mut by: impl FnMut(BorrowedFd<'_>) -> nix::Result<usize>) -> nix::Result<usize> {
        if let Some(taken) = self.stage.as_mut().and_then(|stage| stage.take(&mut by)) {
            return taken;
        }
        let taken = by(self.fd.as_fd());
        self.flooded = taken.is_ok_and(|taken| taken >= FLOOD);
        taken
    }

    /// In a flood, lets the next bytes, at most `most`, into the stage.
    pub(crate) fn advance(&mut self, most: usize) -> Result<(), Stop> {
        let calm = !self.flooded || self.finishing || self.watched.is_some();
        let Some(stage) = self.stage.as_mut().filter(|stage| stage.is_empty() && !calm) else { return Ok(()) };
        if !self.enlarged {
            platform::enlarge(self.fd.as_fd(), CAPACITY);
            self.capacity = platform::capacity(self.fd.as_fd());
            self.enlarged = true;
        }
        match stage.fill(self.fd.as_fd(), most) {
            Ok(0) => Err(Stop::At(Turn::Ended)),
            Ok(count) => {
                self.flooded = count >= FLOOD;
                Ok(())
            }
            Err(error @ (Errno::EAGAIN | Errno::EINTR)) => Err(error.into()),
            // Not known to happen. Without one all goes on.
            Err(_) => {
                self.stage = None;
                Ok(())
            }
        }
    }

    /// The stage, if anything is in it, with what has come after that: the end of a line to its beginning.
    pub(crate) fn gather(&mut self) -> Option<&mut Stage> {
        let stage = self.stage.as_mut().filter(|stage| !stage.is_empty())?;
        if self.watched.is_none() {
            stage.add(self.fd.as_fd());
        }
        Some(stage)
    }

    /// So much may be taken now.
    pub(crate) fn allowed(&self) -> usize {
        let watched = self.watched.as_ref().filter(|_| !self.is_staged());
        watched.map_or(usize::MAX, Watched::allows)
    }
}

/// How bytes get from a pipe to its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Inside the kernel; safe against a kill.
    Splice,
    /// By read and write, where the pipe, the file or the system knows no splice.
    Copy,
}
