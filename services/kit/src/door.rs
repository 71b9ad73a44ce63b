//! The door: takes connections in from one listening socket and knows who is inside.
//! Not here: what happens on a connection, and when the door closes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;

use crate::listen::{Owner, Socket};
use crate::presence::Inside;
use crate::routes::Peer;
use crate::server::Phase;
use crate::{Limits, connection};

/// After an accept that failed for want of something (EMFILE, ENOMEM): trying at once would only burn the CPU.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct Door {
    listener: Option<Listener>,
    serving: JoinSet<()>,
    inside: Arc<Inside>,
    guests: Guests,
    accepting: Accepting,
}

/// What every connection gets.
pub(crate) struct Guests {
    pub(crate) router: Router,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) limits: Limits,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// How the last accept went: trouble is logged when it begins, not a thousand times.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Accepting {
    Fine,
    Troubled,
}

impl Door {
    /// Opens it. Needs the runtime.
    pub(crate) fn open(socket: Socket, guests: Guests) -> io::Result<Self> {
        let listener = match socket {
            Socket::Tcp(tcp) => Listener::Tcp(TcpListener::from_std(tcp)?),
            Socket::Unix(unix) => Listener::Unix(UnixListener::from_std(unix)?),
        };
        Ok(Self {
            listener: Some(listener),
            serving: JoinSet::new(),
            inside: Arc::default(),
            guests,
            accepting: Accepting::Fine,
        })
    }

    /// Lets connections in and sees them off; returns when the door is closed and nobody is inside.
    /// May be dropped and called again at any time.
    pub(crate) async fn tend(&mut self) {
        loop {
            let room = self.inside.count() < self.guests.limits.connections;
            let listener = self.listener.as_ref().filter(|_| room);
            let accept = async {
                match listener {
                    Some(listener) => listener.accept().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                accepted = accept, if listener.is_some() => match accepted {
                    Ok(stream) => self.let_in(stream),
                    Err(error) => self.pause_after(&error).await,
                },
                Some(ended) = self.serving.join_next() => note(ended),
                () = self.inside.someone_left(), if self.inside.count() > 0 => {}
                else => return,
            }
        }
    }

    /// Closes our descriptor, never the socket itself: that may be shared. What waits in the queue of a socket
    /// that nobody else holds is let in first.
    pub(crate) fn close(&mut self, owner: Owner) {
        let Some(listener) = self.listener.take() else {
            return;
        };
        match owner {
            Owner::Supervisor => drop(listener),
            Owner::Us => {
                let waiting = listener.waiting(self.guests.limits.connections.saturating_sub(self.inside.count()));
                waiting.into_iter().for_each(|stream| self.let_in(stream));
            }
        }
    }

    /// Throws everybody out and says how many they were. Does not wait: a handler that blocks its thread would
    /// hold up the exit.
    pub(crate) fn clear(&mut self) -> usize {
        while let Some(ended) = self.serving.try_join_next() {
            note(ended);
        }
        let cut = self.inside.count();
        self.serving.abort_all();
        cut
    }

    pub(crate) fn inside(&self) -> usize {
        self.inside.count()
    }

    fn let_in(&mut self, stream: Stream) {
        self.accepting = Accepting::Fine;
        let Guests { router, phase, limits } = &self.guests;
        let (router, phase, limits) = (router.clone(), phase.clone(), *limits);
        let presence = self.inside.enter();
        match stream {
            Stream::Tcp(tcp) => {
                // Without it a small answer in two parts waits for the client's delayed acknowledgement.
                let _ = tcp.set_nodelay(true);
                let peer = Peer(tcp.peer_addr().ok().map(|address| address.ip()));
                self.serving.spawn(connection::serve(tcp, peer, presence, router, phase, limits));
            }
            Stream::Unix(unix) => {
                self.serving.spawn(connection::serve(unix, Peer(None), presence, router, phase, limits));
            }
        }
    }

    async fn pause_after(&mut self, error: &io::Error) {
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
            // The client left while it waited.
            return;
        }
        if self.accepting == Accepting::Fine {
            self.accepting = Accepting::Troubled;
            tracing::warn!(%error, connections = self.inside.count(), "cannot accept connections; trying on");
        }
        sleep(PAUSE).await;
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(tcp) => tcp.accept().await.map(|(stream, _)| Stream::Tcp(stream)),
            Self::Unix(unix) => unix.accept().await.map(|(stream, _)| Stream::Unix(stream)),
        }
    }

    /// What is in the queue now, at most `room`. Asks the kernel directly: the runtime may not have heard yet.
    fn waiting(self, room: usize) -> Vec<Stream> {
        let taken = match self {
            Self::Tcp(tcp) => tcp
                .into_std()
                .map(|tcp| tcp.incoming().map_while(Result::ok).take(room).filter_map(adopt_tcp).collect()),
            Self::Unix(unix) => unix
                .into_std()
                .map(|unix| unix.incoming().map_while(Result::ok).take(room).filter_map(adopt_unix).collect()),
        };
        taken.unwrap_or_default()
    }
}

fn adopt_tcp(stream: std::net::TcpStream) -> Option<Stream> {
    stream.set_nonblocking(true).ok()?;
    TcpStream::from_std(stream).ok().map(Stream::Tcp)
}

fn adopt_unix(stream: std::os::unix::net::UnixStream) -> Option<Stream> {
    stream.set_nonblocking(true).ok()?;
    UnixStream::from_std(stream).ok().map(Stream::Unix)
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a request handler panicked; its connection is closed");
    }
}
