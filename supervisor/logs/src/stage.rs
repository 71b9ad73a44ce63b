//! A second pipe between a service's pipe and its file, for floods. Pages change from pipe to pipe at once, and are copied
//! to the file while the service writes on: both sides of a pipe wait for its lock, and a copy takes long.
//! Not here: when it is used (`copying`).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use crate::platform::{self, Peeker};

/// A file is written in pieces that end at multiples of this: the kernel then caches each as one folio, which costs half of
/// what sixteen small ones do to allocate, to make dirty and to free. More would not stay in the caches of a processor.
pub(crate) const PIECE: usize = 256 << 10;
/// The capacity of a stage, and of a pipe in a flood: their pages may be half full, and a piece begins and ends within one.
pub(crate) const CAPACITY: usize = 2 * PIECE;
/// It is not known how much is in it.
const SOME: usize = usize::MAX;

/// A pipe to pass as `Feed::stage`, of the least size until it is needed.
///
/// # Errors
/// When there can be no more pipes. Elsewhere than on Linux: always.
pub fn stage() -> io::Result<OwnedFd> {
    platform::stage()
}

pub(crate) struct Stage {
    fd: OwnedFd,
    /// Bytes, or `SOME`.
    holds: usize,
    enlarged: bool,
}

impl Stage {
    /// With what a process before us may have left in it.
    pub(crate) fn new(fd: OwnedFd) -> Self {
        let holds = if platform::is_readable(fd.as_fd()) { SOME } else { 0 };
        Self { fd, holds, enlarged: false }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.holds == 0
    }

    /// Takes at most `most` bytes from a pipe, and no more than a piece; it must be empty. `Ok(0)`: no writer is left.
    pub(crate) fn fill(&mut self, pipe: BorrowedFd<'_>, most: usize) -> nix::Result<usize> {
        self.enlarge();
        self.holds = platform::shift(pipe, self.fd.as_fd(), most.min(PIECE))?;
        Ok(self.holds)
    }

    /// Takes bytes out of it by `by`; `None`: there are none.
    pub(crate) fn take(&mut self, by: impl FnOnce(BorrowedFd<'_>) -> nix::Result<usize>) -> Option<nix::Result<usize>> {
        if self.is_empty() {
            return None;
        }
        Some(match by(self.fd.as_fd()) {
            Ok(count) if self.holds != SOME => {
                self.holds = self.holds.saturating_sub(count);
                Ok(count)
            }
            // Whoever is interrupted looks again, and finds it empty.
            Err(Errno::EAGAIN) => {
                self.holds = 0;
                Err(Errno::EINTR)
            }
            other => other,
        })
    }

    /// Takes from a pipe as well what there is room for. It may be nothing: what fails is seen when the pipe is taken from.
    pub(crate) fn add(&mut self, pipe: BorrowedFd<'_>) {
        self.enlarge();
        let added = platform::shift(pipe, self.fd.as_fd(), PIECE).unwrap_or(0);
        self.holds = self.holds.saturating_add(added);
    }

    /// Copies what is in it to `buffer`.
    pub(crate) fn peek(&mut self, peeker: &mut Peeker, buffer: &mut [u8]) -> nix::Result<usize> {
        match peeker.peek(self.fd.as_fd(), buffer) {
            Err(Errno::EAGAIN) => {
                self.holds = 0;
                Ok(0)
            }
            seen => seen,
        }
    }

    fn enlarge(&mut self) {
        if !self.enlarged {
            platform::enlarge(self.fd.as_fd(), CAPACITY);
            self.enlarged = true;
        }
    }
}
