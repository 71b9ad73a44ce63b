//! A few file descriptors put aside, so that a request can be served when the table is full.
//! Not here: any other resource.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use crate::message::MAX_FDS;

/// What one frame brings, and what a launch and a look around need beside it.
const SIZE: usize = MAX_FDS + 8;

/// Descriptors that we do not count: inherited ones, the channel, pipes of launches.
const UNCOUNTED: usize = 256;

pub(crate) struct Reserve {
    null: OwnedFd,
    spare: Vec<OwnedFd>,
    /// With so many counted descriptors or more, the table may be full.
    tight_from: usize,
}

impl Reserve {
    /// `limit`: how many descriptors the process may have.
    pub(crate) fn new(limit: u64) -> io::Result<Self> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let tight_from = limit.saturating_sub(UNCOUNTED + SIZE);
        Ok(Self { null: File::open("/dev/null")?.into(), spare: Vec::new(), tight_from })
    }

    /// Gives the reserve free where it may be needed. `counted`: the descriptors that the table holds.
    pub(crate) fn make_room(&mut self, counted: usize) {
        if counted >= self.tight_from {
            self.release();
        }
    }

    /// Puts descriptors aside; false when there are not enough.
    pub(crate) fn fill(&mut self) -> bool {
        while self.spare.len() < SIZE {
            let Ok(fd) = self.null.try_clone() else {
                return false;
            };
            self.spare.push(fd);
        }
        true
    }

    pub(crate) fn release(&mut self) {
        self.spare.clear();
    }
}
