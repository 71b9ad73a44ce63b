//! Control's end of the channel to the keeper.
//! Not here: what the messages mean.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use supervisor_keeper::{Incoming, Notice, Peer, Reply, Request};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::control::signs::notify::Source;

/// What a request was for, so that its answer finds its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A service's run.
    Spawn(u64),
    /// A command probe.
    Helper(u64),
    ListOrphans,
    Fetch,
    Finish,
    /// Nobody waits; a failure changes nothing.
    Note(&'static str),
    /// Nobody waits; after a failure the next control lacks something.
    Keep(&'static str),
}

/// What came from the keeper.
#[derive(Debug)]
pub(crate) enum Heard {
    Reply {
        purpose: Purpose,
        reply: Reply,
        fds: Vec<OwnedFd>,
    },
    Notice {
        seq: u64,
        notice: Notice,
    },
    /// The keeper is gone.
    Closed,
}

pub(crate) struct Link {
    peer: Peer,
    /// A duplicate of the peer's socket, which only tells when the peer can go on.
    readiness: UnixStream,
    next_id: u64,
    pending: BTreeMap<u64, Purpose>,
    /// Let go of once all that is queued has been written.
    sources: Vec<Source>,
}

impl Link {
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        let readiness = std::os::unix::net::UnixStream::from(socket.try_clone()?);
        readiness.set_nonblocking(true)?;
        let readiness = UnixStream::from_std(readiness)?;
        Ok(Self { peer: Peer::new(socket)?, readiness, next_id: 1, pending: BTreeMap::new(), sources: Vec::new() })
    }

    /// Queues a request; it is on its way with the next `flush`, or as soon as `next` is waited for.
    pub(crate) fn send(&mut self, purpose: Purpose, request: &Request, fds: Vec<OwnedFd>) -> io::Result<()> {
        let id = self.next_id;
        self.next_id += 1;
        self.peer.queue(id, request, fds)?;
        self.pending.insert(id, purpose);
        Ok(())
    }

    /// Queues that every notice up to `seq` has been dealt with.
    pub(crate) fn acknowledge(&mut self, seq: u64) -> io::Result<()> {
        self.peer.queue(0, &Request::Acknowledge { up_to: seq }, Vec::new())
    }

    /// Sends what is queued, as far as the socket takes it.
    pub(crate) fn flush(&mut self) {
        // A keeper that is gone shows itself as `Closed`, after all that it said.
        if self.peer.flush().is_ok() && !self.peer.wants_write() {
            self.sources.clear();
        }
    }

    /// What was told stays where it stands until all that follows from it, and is queued now, has been written: what
    /// the socket has taken reaches the keeper even if we die.
    pub(crate) fn let_go_once_written(&mut self, source: Source) {
        self.sources.push(source);
        self.flush();
    }

    /// The next message. Cancel safe.
    pub(crate) async fn next(&mut self) -> io::Result<Heard> {
        loop {
            self.flush();
            if let Some(heard) = self.try_next()? {
                return Ok(heard);
            }
            let wants_write = self.peer.wants_write();
            let interest = if wants_write { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            let ready = self.readiness.ready(interest).await?;
            if ready.is_writable() && wants_write {
                let peer = &mut self.peer;
                unblocked(self.readiness.try_io(Interest::WRITABLE, || {
                    peer.flush()?;
                    if peer.wants_write() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
                }))?;
            }
            if ready.is_readable() {
                let peer = &mut self.peer;
                let incoming =
                    unblocked(self.readiness.try_io(Interest::READABLE, || {
                        peer.receive()?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
                    }))?;
                if let Some(incoming) = incoming {
                    return Ok(self.heard(incoming));
                }
            }
        }
    }

    /// The next message, if one is there.
    pub(crate) fn try_next(&mut self) -> io::Result<Option<Heard>> {
        let incoming = self.peer.receive()?;
        Ok(incoming.map(|incoming| self.heard(incoming)))
    }

    fn heard(&mut self, incoming: Incoming) -> Heard {
        match incoming {
            Incoming::Reply { id, reply, fds } => {
                let purpose = self.pending.remove(&id).unwrap_or(Purpose::Note("an unknown request"));
                Heard::Reply { purpose, reply, fds }
            }
            Incoming::Notice { seq, notice } => Heard::Notice { seq, notice },
            Incoming::Closed => Heard::Closed,
        }
    }
}

/// Nothing now is no error.
fn unblocked<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
