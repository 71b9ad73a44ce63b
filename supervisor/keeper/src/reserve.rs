//! A few file descriptors put aside, so that a request can be served when the table is full.
//! Not here: any other resource.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use crate::message::MAX_FDS;

/// What one frame brings, and what a launch and a look around need beside it.
const SIZE: usize = MAX_FDS + 8;

pub(crate) struct Reserve {
    null: OwnedFd,
    spare: Vec<OwnedFd>,
}

impl Reserve {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { null: File::open("/dev/null")?.into(), spare: Vec::new() })
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
