//! What differs between systems: waiting for pipes, moving bytes without copying, seeing changes of a directory.
//! Not here: decisions.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::{
    DirectoryWatch, Peeker, Poller, Waker, capacity, discard, enlarge, memory, shift, splice, stage,
};

#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(not(target_os = "linux"))]
pub(crate) use other::{
    DirectoryWatch, Peeker, Poller, Waker, capacity, discard, enlarge, memory, shift, splice, stage,
};

use std::os::fd::BorrowedFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Whether a pipe holds anything. If it cannot be asked, looking is the safe answer.
pub(crate) fn is_readable(pipe: BorrowedFd<'_>) -> bool {
    let mut ready = [PollFd::new(pipe, PollFlags::POLLIN)];
    poll(&mut ready, PollTimeout::ZERO).is_err()
        || ready[0].revents().is_none_or(|found| found.contains(PollFlags::POLLIN))
}
