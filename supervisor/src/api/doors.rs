//! The two doors, and how many come in: nobody stays for long who says nothing, and nobody takes the descriptors that
//! launches need.
//! Not here: the conversation (`serve`), what is asked (`router`).

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use nix::sys::resource::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use super::guest::Guest;
use super::router::forbidden;

/// Descriptors that stay free for what control itself does, besides `PER_SERVICE` for each service.
const RESERVE: u64 = 32;
/// Its output pipes, its log files, its notify socket.
const PER_SERVICE: u64 = 4;
/// Without file descriptors or memory, accepting waits this long; trying at once would burn the CPU.
pub(super) const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// A listener, and what those who come through it may see.
pub(super) trait Door {
    type Stream: AsyncRead + AsyncWrite + AsRawFd + Unpin + Send + 'static;
    /// So many at once. Those who wait for their client make room for others.
    const PLACES: usize;

    async fn accept(&self) -> io::Result<(Self::Stream, Router)>;
}

pub(super) struct UnixDoor {
    pub(super) listener: UnixListener,
    pub(super) insiders: Router,
}

impl Door for UnixDoor {
    type Stream = tokio::net::UnixStream;

    /// Its own budget, so that the operator gets in whatever happens on TCP.
    const PLACES: usize = 64;

    async fn accept(&self) -> io::Result<(Self::Stream, Router)> {
        let (stream, _) = self.listener.accept().await?;
        let peer = stream.peer_cred()?.uid();
        let us = nix::unistd::Uid::effective().as_raw();
        let router = if is_insider(peer, us) { self.insiders.clone() } else { forbidden() };
        Ok((stream, router))
    }
}

/// Modes may have been loosened by hand: the kernel's word on the peer counts.
pub(super) fn is_insider(peer: u32, us: u32) -> bool {
    peer == us || peer == 0
}

pub(super) struct TcpDoor {
    pub(super) listener: TcpListener,
    pub(super) all: Router,
}

impl Door for TcpDoor {
    type Stream = tokio::net::TcpStream;

    const PLACES: usize = 128;

    async fn accept(&self) -> io::Result<(Self::Stream, Router)> {
        let (stream, _) = self.listener.accept().await?;
        // Answers are small and whole: waiting for more to send only delays them.
        stream.set_nodelay(true)?;
        Ok((stream, self.all.clone()))
    }
}

/// Who is in, and how many descriptors may be used.
pub(super) struct Guests {
    all: Vec<Arc<Guest>>,
    crowded: Arc<AtomicBool>,
    places: usize,
    /// A descriptor with this number or a greater one is not ours to use: the kernel gives the least that is free.
    limit: u64,
}

impl Guests {
    pub(super) fn new(places: usize, services: usize) -> Self {
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
        let reserve = RESERVE + PER_SERVICE * u64::try_from(services).unwrap_or(u64::MAX / 8);
        Self { all: Vec::new(), crowded: Arc::default(), places, limit: soft - reserve.min(soft / 2) }
    }

    /// Is there a place for one more?
    pub(super) fn have_place(&mut self) -> bool {
        // The others are only known to us.
        self.all.retain(|guest| Arc::strong_count(guest) > 1);
        let free = self.all.len() < self.places;
        self.crowded.store(!free, Ordering::Relaxed);
        free
    }

    /// Sends away whoever waits longest for its client.
    pub(super) fn make_room(&self) {
        let waiting = self.all.iter().filter_map(|guest| Some((guest.waiting_since()?, guest)));
        if let Some((_, guest)) = waiting.min_by_key(|(since, _)| *since) {
            guest.evict();
        }
    }

    /// Lets one in, unless the descriptors that are left are needed for other things.
    pub(super) fn admit(&mut self, stream: &impl AsRawFd) -> Option<Arc<Guest>> {
        if u64::try_from(stream.as_raw_fd()).unwrap_or(0) >= self.limit {
            self.make_room();
            return None;
        }
        let guest = Arc::new(Guest::new(Arc::clone(&self.crowded)));
        self.all.push(Arc::clone(&guest));
        Some(guest)
    }
}
