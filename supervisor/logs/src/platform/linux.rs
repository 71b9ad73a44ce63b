//! Linux: epoll, `splice`, `tee`, inotify, files of memory.
//! Not here: decisions.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use nix::unistd;

/// The token of the waker.
const WAKER: u64 = u64::MAX;

/// Waits for pipes. Edge-triggered: a pipe is told of again only when more was written to it.
pub(crate) struct Poller {
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

impl Poller {
    pub(crate) fn new(waker: &Waker) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&waker.0, EpollEvent::new(EpollFlags::EPOLLIN, WAKER))?;
        Ok(Self { epoll, events: vec![EpollEvent::empty(); 64] })
    }

    pub(crate) fn add(&mut self, pipe: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        Ok(self.epoll.add(pipe, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, token))?)
    }

    /// Needed before closing, as others hold duplicates of the pipe.
    pub(crate) fn remove(&mut self, pipe: BorrowedFd<'_>) {
        // It fails only when the pipe is not there, which is what is wanted.
        let _ = self.epoll.delete(pipe);
    }

    /// Calls `ready` with the token of each pipe that was written to. Returns early when woken, and says so.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>, mut ready: impl FnMut(u64)) -> io::Result<bool> {
        let timeout = timeout.map_or(EpollTimeout::NONE, |timeout| {
            let millis = u32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX);
            EpollTimeout::try_from(millis).unwrap_or(EpollTimeout::MAX)
        });
        let count = match self.epoll.wait(&mut self.events, timeout) {
            Err(Errno::EINTR) => 0,
            other => other?,
        };
        let tokens = self.events[..count].iter().map(EpollEvent::data);
        tokens.clone().filter(|&token| token != WAKER).for_each(&mut ready);
        Ok(tokens.into_iter().any(|token| token == WAKER))
    }
}

/// Ends the wait of a `Poller` from another thread.
pub(crate) struct Waker(EventFd);

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?))
    }

    pub(crate) fn wake(&self) {
        // It fails only when the counter is full, and then the wake-up is under way already.
        let _ = self.0.write(1);
    }

    pub(crate) fn clear(&self) {
        // It fails only when there was no wake-up.
        let _ = self.0.read();
    }
}

/// How much a pipe can hold.
pub(crate) fn capacity(pipe: BorrowedFd<'_>) -> usize {
    fcntl(pipe, FcntlArg::F_GETPIPE_SZ).ok().and_then(|size| usize::try_from(size).ok()).unwrap_or(64 << 10)
}

/// Moves at most `len` bytes from a pipe to a file at `offset`. What was moved is in the file and no longer in the
/// pipe, in one step as seen from a signal: a kill neither loses nor doubles. `Ok(0)`: no writer is left.
pub(crate) fn splice(pipe: BorrowedFd<'_>, file: &File, offset: u64, len: usize) -> nix::Result<usize> {
    let mut offset = i64::try_from(offset).map_err(|_| Errno::EFBIG)?;
    nix::fcntl::splice(pipe, None, file, Some(&mut offset), len, SpliceFFlags::SPLICE_F_NONBLOCK)
}

/// Moves at most `len` bytes from a pipe to an empty one, without copying them, in one step as seen from a signal.
/// `Ok(0)`: no writer is left.
pub(crate) fn shift(pipe: BorrowedFd<'_>, to: BorrowedFd<'_>, len: usize) -> nix::Result<usize> {
    nix::fcntl::splice(pipe, None, to, None, len, SpliceFFlags::SPLICE_F_NONBLOCK)
}

/// A pipe of one page; the descriptor is of both ends.
pub(crate) fn stage() -> io::Result<OwnedFd> {
    let (read, _write) = unistd::pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&read, FcntlArg::F_SETPIPE_SZ(4096))?;
    let path = format!("/proc/self/fd/{}", read.as_raw_fd());
    Ok(open(path.as_str(), OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK, Mode::empty())?)
}

/// Refused to users who have many large pipes.
pub(crate) fn enlarge(pipe: BorrowedFd<'_>, capacity: usize) {
    let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(i32::try_from(capacity).unwrap_or(i32::MAX)));
}

/// Moves at most `len` bytes from a pipe to a file, where that stands. How far it stands then tells a kill's survivors how
/// many were moved.
pub(crate) fn discard(pipe: BorrowedFd<'_>, file: &File, len: usize) -> nix::Result<usize> {
    nix::fcntl::splice(pipe, None, file, None, len, SpliceFFlags::SPLICE_F_NONBLOCK)
}

/// A file that is in memory alone, and gone with its last descriptor.
pub(crate) fn memory() -> io::Result<File> {
    Ok(memfd_create(c"supervisor-logs", MFdFlags::MFD_CLOEXEC)?.into())
}

/// Looks at what a pipe holds and leaves it there.
pub(crate) struct Peeker {
    /// Empty between two looks.
    scratch: (OwnedFd, OwnedFd),
}

impl Peeker {
    /// For looks at `most` bytes, if the system grants so large a pipe.
    pub(crate) fn new(most: usize) -> io::Result<Self> {
        let scratch = unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        // If it is not, less can be seen at a time.
        enlarge(scratch.1.as_fd(), most);
        Ok(Self { scratch })
    }

    /// The most that can be seen at a time.
    pub(crate) fn reach(&self) -> usize {
        capacity(self.scratch.0.as_fd())
    }

    /// Copies the first bytes that `pipe` holds to `buffer`. `Ok(0)`: no writer is left.
    pub(crate) fn peek(&mut self, pipe: BorrowedFd<'_>, buffer: &mut [u8]) -> nix::Result<usize> {
        let seen = nix::fcntl::tee(pipe, &self.scratch.1, buffer.len(), SpliceFFlags::SPLICE_F_NONBLOCK)?;
        let mut copied = 0;
        while copied < seen {
            match unistd::read(&self.scratch.0, &mut buffer[copied..seen]) {
                Ok(count) => copied += count,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(seen)
    }
}

/// Sees changes of one file name in a directory.
pub(crate) struct DirectoryWatch(Inotify);

impl DirectoryWatch {
    pub(crate) fn new(directory: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let changes = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        inotify.add_watch(directory, changes | AddWatchFlags::IN_ONLYDIR)?;
        Ok(Self(inotify))
    }

    /// Returns when the file called `name` was changed since the last call, and at the latest after `timeout`.
    pub(crate) fn wait(&self, name: &std::ffi::OsStr, timeout: Duration) -> io::Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.0.read_events() {
                Ok(events) => {
                    let overflow = AddWatchFlags::IN_Q_OVERFLOW;
                    if events.iter().any(|e| e.name.as_deref() == Some(name) || e.mask.contains(overflow)) {
                        return Ok(());
                    }
                }
                Err(Errno::EAGAIN) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(());
                    }
                    let millis = u32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX);
                    let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
                    match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout) {
                        Ok(_) | Err(Errno::EINTR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
