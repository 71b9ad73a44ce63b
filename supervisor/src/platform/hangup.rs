//! A listening socket that somebody has shut: who shares it is told, without being woken by those who connect.
//! Not here: what is done about it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

#[cfg(target_os = "linux")]
mod watch {
    use super::{BorrowedFd, OwnedFd, io};
    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
    use tokio::io::unix::AsyncFd;

    /// Of one socket, which may be closed meanwhile.
    pub(crate) struct Hangups(AsyncFd<OwnedFd>);

    impl Hangups {
        pub(crate) fn of(socket: BorrowedFd<'_>) -> io::Result<Self> {
            let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
            // Without a flag only what cannot be masked is told: an error, and that both ends are shut.
            epoll.add(socket, EpollEvent::new(EpollFlags::empty(), 0))?;
            crate::platform::raw::readable(epoll.0).map(Self)
        }

        /// Returns when it may have been shut.
        pub(crate) async fn next(&self) -> io::Result<()> {
            self.0.readable().await?.clear_ready();
            Ok(())
        }
    }
}

/// Nobody tells; the next start of the service would show it.
#[cfg(not(target_os = "linux"))]
mod watch {
    use super::{BorrowedFd, io};

    pub(crate) struct Hangups;

    impl Hangups {
        pub(crate) fn of(_: BorrowedFd<'_>) -> io::Result<Self> {
            Ok(Self)
        }

        pub(crate) async fn next(&self) -> io::Result<()> {
            std::future::pending().await
        }
    }
}

pub(crate) use watch::Hangups;

/// Whether it takes connections.
pub(crate) fn listens(socket: &OwnedFd) -> bool {
    nix::sys::socket::getsockopt(&socket.as_fd(), nix::sys::socket::sockopt::AcceptConn).unwrap_or(true)
}
