//! Elsewhere: poll, and copying by read and write, so that a kill can lose what was read and not yet written.
//! Not here: decisions.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd;

/// Waits for pipes. A pipe is told of for as long as it holds something.
pub(crate) struct Poller {
    waker: OwnedFd,
    pipes: Vec<(RawFd, OwnedFd, u64)>,
}

impl Poller {
    pub(crate) fn new(waker: &Waker) -> io::Result<Self> {
        Ok(Self { waker: waker.output.try_clone()?, pipes: Vec::new() })
    }

    pub(crate) fn add(&mut self, pipe: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        self.pipes.push((pipe.as_raw_fd(), pipe.try_clone_to_owned()?, token));
        Ok(())
    }

    pub(crate) fn remove(&mut self, pipe: BorrowedFd<'_>) {
        self.pipes.retain(|(fd, _, _)| *fd != pipe.as_raw_fd());
    }

    pub(crate) fn wait(&mut self, timeout: Option<Duration>, mut ready: impl FnMut(u64)) -> io::Result<bool> {
        let timeout = timeout.map_or(PollTimeout::NONE, |timeout| {
            let millis = u32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX);
            PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
        });
        let mut polled: Vec<_> =
            self.pipes.iter().map(|(_, fd, _)| PollFd::new(fd.as_fd(), PollFlags::POLLIN)).collect();
        polled.push(PollFd::new(self.waker.as_fd(), PollFlags::POLLIN));
        match poll(&mut polled, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let seen = polled.iter().zip(&self.pipes).filter(|(fd, _)| fd.any().unwrap_or(true));
        seen.for_each(|(_, (_, _, token))| ready(*token));
        Ok(polled.last().is_some_and(|waker| waker.any().unwrap_or(true)))
    }
}

/// Ends the wait of a `Poller` from another thread.
pub(crate) struct Waker {
    output: OwnedFd,
    input: OwnedFd,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let (output, input) = unistd::pipe()?;
        for end in [&output, &input] {
            fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            fcntl(end, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
        }
        Ok(Self { output, input })
    }

    pub(crate) fn wake(&self) {
        // It fails only when the pipe is full, and then the wake-up is under way already.
        let _ = unistd::write(&self.input, &[1]);
    }

    pub(crate) fn clear(&self) {
        while unistd::read(&self.output, &mut [0; 64]).is_ok_and(|count| count > 0) {}
    }
}

/// How much a pipe can hold, at most.
pub(crate) fn capacity(_pipe: BorrowedFd<'_>) -> usize {
    64 << 10
}

/// Nothing moves bytes from pipe to file here.
pub(crate) fn discard(_: BorrowedFd<'_>, _: &File, _: usize) -> nix::Result<usize> {
    Err(Errno::ENOSYS)
}

/// There are none here.
pub(crate) fn memory() -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// There is none here.
pub(crate) fn splice(_pipe: BorrowedFd<'_>, _file: &File, _offset: u64, _len: usize) -> nix::Result<usize> {
    Err(Errno::EINVAL)
}

/// There is none here.
pub(crate) fn shift(_pipe: BorrowedFd<'_>, _to: BorrowedFd<'_>, _len: usize) -> nix::Result<usize> {
    Err(Errno::EINVAL)
}

/// There is none here, as there is no `shift`.
pub(crate) fn stage() -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Pipes are as large as they are.
pub(crate) fn enlarge(_pipe: BorrowedFd<'_>, _capacity: usize) {}

/// There is no looking without taking here.
pub(crate) struct Peeker;

impl Peeker {
    pub(crate) fn new(_most: usize) -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn reach(&self) -> usize {
        0
    }

    pub(crate) fn peek(&mut self, _pipe: BorrowedFd<'_>, _buffer: &mut [u8]) -> nix::Result<usize> {
        Err(Errno::EINVAL)
    }
}

/// Waits a little instead of watching.
pub(crate) struct DirectoryWatch;

impl DirectoryWatch {
    pub(crate) fn new(_directory: &Path) -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn wait(&self, _name: &OsStr, timeout: Duration) -> io::Result<()> {
        std::thread::sleep(timeout.min(Duration::from_millis(100)));
        Ok(())
    }
}
