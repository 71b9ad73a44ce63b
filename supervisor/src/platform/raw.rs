//! The few things that only `unsafe` can do. The one file of this package that holds any.
//! Not here: anything that can be done without.

use std::os::fd::{FromRawFd, OwnedFd};

/// Takes the channel that the keeper left at its place. To be called once, first thing in the role of control.
#[expect(unsafe_code, reason = "a descriptor that was inherited has no owner in this process yet")]
pub(crate) fn control_channel() -> std::io::Result<OwnedFd> {
    let fd = supervisor_keeper::CONTROL_FD;
    // SAFETY: `fcntl` with `F_GETFD` reads a flag and touches no memory.
    if unsafe { nix::libc::fcntl(fd, nix::libc::F_GETFD) } == -1 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, as was just seen, and nothing else in this process owns it: the keeper put it
    // there before `exec`, and this is called once, before anything is opened.
    let channel = unsafe { OwnedFd::from_raw_fd(fd) };
    // Nobody who comes after us is meant to have it.
    nix::fcntl::fcntl(&channel, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
    Ok(channel)
}

/// Tells when there is something to read. Within a runtime only.
#[expect(unsafe_code, reason = "the runtime is told of a descriptor by its number")]
pub(crate) fn readable(fd: OwnedFd) -> std::io::Result<tokio::io::unix::AsyncFd<OwnedFd>> {
    use tokio::io::unix::AsyncFd;
    // SAFETY: the descriptor is owned by what is returned, so it stays open, and the same, as long as that lives.
    unsafe { AsyncFd::register_with_interest(fd, tokio::io::Interest::READABLE) }.map_err(Into::into)
}

/// Columns and rows of the terminal behind a descriptor; `None` when it is none.
#[expect(unsafe_code, reason = "the size of a terminal is asked for by ioctl only")]
pub(crate) fn terminal_size(fd: impl std::os::fd::AsFd) -> Option<(usize, usize)> {
    use std::os::fd::AsRawFd;
    let mut size = nix::libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is borrowed, so it is open, and `TIOCGWINSZ` writes one `winsize`, which lives here.
    let answer = unsafe { nix::libc::ioctl(fd.as_fd().as_raw_fd(), nix::libc::TIOCGWINSZ, &raw mut size) };
    (answer == 0 && size.ws_col > 0).then(|| (usize::from(size.ws_col), usize::from(size.ws_row)))
}
