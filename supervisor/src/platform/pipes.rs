//! Output pipes and credentials of datagrams, which differ between kernels.
//! Not here: who reads them.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

/// The read end, and an end for the child that is open for reading too, so that a reader exists as long as a writer
/// does: whoever of us dies, the service gets no `SIGPIPE`.
#[cfg(target_os = "linux")]
pub(crate) fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
    use nix::sys::stat::Mode;
    use std::os::fd::AsRawFd;
    /// Enough for the moment that replacing control takes.
    const CAPACITY: i32 = 256 * 1024;
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    // An ordinary user shares 64 MiB of pipe buffers; beyond that the kernel's smaller default stays.
    let _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(CAPACITY));
    let path = format!("/proc/self/fd/{}", write.as_raw_fd());
    let both = open(path.as_str(), OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    Ok((read, both))
}

/// Elsewhere a FIFO gives the same; untested.
#[cfg(not(target_os = "linux"))]
pub(crate) fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    use nix::fcntl::{OFlag, open};
    use nix::sys::stat::Mode;
    use std::sync::atomic::{AtomicU64, Ordering};
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("supervisor-{}-{number}", std::process::id()));
    nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
    let both = open(&path, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty());
    let read = open(&path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
    std::fs::remove_file(&path)?;
    Ok((read?, both?))
}

/// Copies the first bytes that a non-blocking pipe holds to `buffer`, and leaves them there. `Ok(0)`: no writer is left.
#[cfg(target_os = "linux")]
pub(crate) fn peek(pipe: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    use nix::fcntl::{OFlag, SpliceFFlags, tee};
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    match tee(pipe, write, buffer.len(), SpliceFFlags::SPLICE_F_NONBLOCK)? {
        0 => Ok(0),
        _ => Ok(nix::unistd::read(read, buffer)?),
    }
}

/// Takes what was seen by `peek`.
#[cfg(target_os = "linux")]
pub(crate) fn take(pipe: BorrowedFd<'_>, seen: &mut [u8]) -> io::Result<()> {
    nix::unistd::read(pipe, seen)?;
    Ok(())
}

/// Elsewhere looking is taking.
#[cfg(not(target_os = "linux"))]
pub(crate) fn peek(pipe: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(nix::unistd::read(pipe, buffer)?)
}

/// See `peek`.
#[cfg(not(target_os = "linux"))]
pub(crate) fn take(_pipe: BorrowedFd<'_>, _seen: &mut [u8]) -> io::Result<()> {
    Ok(())
}

/// Asks the kernel to attach the sender's pid, uid and gid to each datagram.
#[cfg(target_os = "linux")]
pub(crate) fn pass_credentials(socket: &UnixDatagram) -> io::Result<()> {
    nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::PassCred, &true)?;
    Ok(())
}

/// Elsewhere the mode of the socket is the only guard.
#[cfg(not(target_os = "linux"))]
pub(crate) fn pass_credentials(_socket: &UnixDatagram) -> io::Result<()> {
    Ok(())
}
