//! Control's end of the channel.
//! Not here: waiting for readiness (`AsFd` and any event loop do), and what to do with the news.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::channel::{Channel, Filled, Frame};
use crate::codec::Message;
use crate::message::{MAX_FDS, Notice, Reply, Request};
use crate::platform;

/// File descriptors that may be on their way to or from the keeper. The kernel refuses an ordinary user's near a thousand.
const MAX_IN_FLIGHT: usize = 2 * MAX_FDS;

/// What the keeper says.
#[derive(Debug)]
pub enum Incoming {
    /// The answer to the request with this id.
    Reply { id: u64, reply: Reply, fds: Vec<OwnedFd> },
    /// News; to be acknowledged by its number.
    Notice { seq: u64, notice: Notice },
    /// There is no keeper any more.
    Closed,
}

/// A non-blocking connection to the keeper.
pub struct Peer {
    channel: Channel,
    /// Requests that wait until fewer descriptors are in flight.
    held_back: VecDeque<Waiting>,
    /// Request id to number of descriptors that it carries, as far as the keeper may not have read it, or that its
    /// answer will.
    in_flight: BTreeMap<u64, Flight>,
}

#[derive(Clone, Copy)]
enum Flight {
    Request(usize),
    Answer(usize),
}

struct Waiting {
    id: u64,
    operation: u8,
    body: Vec<u8>,
    fds: Vec<OwnedFd>,
    fetched: usize,
}

impl Peer {
    /// Takes the socket over and makes it non-blocking and close-on-exec.
    ///
    /// # Errors
    /// Those of `fcntl`.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        let (held_back, in_flight) = (VecDeque::new(), BTreeMap::new());
        Ok(Self { channel: Channel::new(socket)?, held_back, in_flight })
    }

    /// Queues a request under an id that no unanswered request has. Nothing is written before `flush`.
    ///
    /// # Errors
    /// `InvalidInput` when a request is too long or has too many descriptors.
    pub fn queue(&mut self, id: u64, request: &Request, fds: Vec<OwnedFd>) -> io::Result<()> {
        let fetched = if let Request::Fetch { names } = request { names.len() } else { 0 };
        let body = request.encode();
        if fds.len() + fetched > MAX_FDS || body.len() > crate::channel::MAX_BODY {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let operation = request.operation();
        self.held_back.push_back(Waiting { id, operation, body, fds, fetched });
        Ok(())
    }

    /// Writes what the socket takes now.
    ///
    /// # Errors
    /// Those of `sendmsg`; the keeper is gone then.
    pub fn flush(&mut self) -> io::Result<()> {
        while let Some(next) = self.held_back.front() {
            let weight = next.fds.len() + next.fetched;
            if weight > 0 && self.flying() + weight > MAX_IN_FLIGHT {
                self.channel.flush()?;
                self.see_what_was_read();
                if self.flying() + weight > MAX_IN_FLIGHT {
                    return Ok(());
                }
            }
            let Some(next) = self.held_back.pop_front() else {
                break;
            };
            let given = next.fds.len();
            if weight > 0 {
                let flight = if given > 0 { Flight::Request(given) } else { Flight::Answer(next.fetched) };
                self.in_flight.insert(next.id, flight);
            }
            self.channel.queue(next.operation, next.id, &next.body, next.fds)?;
        }
        self.channel.flush()
    }

    fn flying(&self) -> usize {
        self.in_flight
            .values()
            .map(|flight| match flight {
                Flight::Request(count) | Flight::Answer(count) => *count,
            })
            .sum()
    }

    /// A launch may take its time, but what the keeper has read of it is in flight no more.
    fn see_what_was_read(&mut self) {
        if platform::all_read(self.channel.as_fd()) && !self.channel.wants_write() {
            self.in_flight.retain(|_, flight| matches!(flight, Flight::Answer(_)));
        }
    }

    /// Something waits for the socket to become writable, or to be read by the keeper. To be asked anew after `flush` and
    /// `receive`.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.channel.wants_write() || !self.held_back.is_empty()
    }

    /// The next thing that the keeper said; `None` when it has said nothing more.
    ///
    /// # Errors
    /// `InvalidData` when it is not understood; else those of `recvmsg` and `sendmsg`.
    pub fn receive(&mut self) -> io::Result<Option<Incoming>> {
        loop {
            if let Some(frame) = self.channel.next_frame()? {
                return self.understand(frame).map(Some);
            }
            match self.channel.fill()? {
                Filled::Some => {}
                Filled::WouldBlock => return Ok(None),
                Filled::Closed => return Ok(Some(Incoming::Closed)),
            }
        }
    }

    fn understand(&mut self, frame: Frame) -> io::Result<Incoming> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let Frame { operation, id, body, fds, fds_lost } = frame;
        if operation >= 0x80 {
            let notice = Notice::decode(operation, &body).map_err(invalid)?;
            return Ok(Incoming::Notice { seq: id, notice });
        }
        let mut reply = Reply::decode(operation, &body).map_err(invalid)?;
        if fds_lost {
            reply = Reply::Failed { errno: nix::libc::EMFILE };
        }
        if self.in_flight.remove(&id).is_some() {
            // A keeper that is gone shows itself as `Closed`, after all that it said.
            let _ = self.flush();
        }
        Ok(Incoming::Reply { id, reply, fds })
    }
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::net::UnixStream;

    use super::{Channel, Filled, Incoming, MAX_IN_FLIGHT, Message, Peer, Reply, Request};

    /// As the keeper does.
    #[cfg(target_os = "linux")]
    fn read_all(keeper: &mut Channel) -> usize {
        let mut read = 0;
        while keeper.fill().unwrap() == Filled::Some {
            while keeper.next_frame().unwrap().is_some() {
                read += 1;
            }
        }
        read
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_the_keeper_has_read_holds_nothing_back_though_its_answer_takes_long() {
        let (left, right) = UnixStream::pair().unwrap();
        let mut peer = Peer::new(left.into()).unwrap();
        let mut keeper = Channel::new(right.into()).unwrap();
        let file = File::open("/dev/null").unwrap();
        let mut read = 0;
        for id in 0..30 {
            let fds = (0..8).map(|_| file.try_clone().unwrap().into()).collect();
            let names = (0..8).map(|name| format!("{name}")).collect();
            peer.queue(id, &Request::Hold { names }, fds).unwrap();
        }
        peer.queue(30, &Request::Acknowledge { up_to: 1 }, vec![]).unwrap();
        while peer.wants_write() {
            peer.flush().unwrap();
            assert!(peer.flying() <= MAX_IN_FLIGHT);
            read += read_all(&mut keeper);
        }
        read += read_all(&mut keeper);
        assert_eq!(read, 31, "nothing was answered");
    }

    #[test]
    fn no_more_descriptors_are_under_way_than_the_kernel_allows_an_ordinary_user() {
        let (left, right) = UnixStream::pair().unwrap();
        let mut peer = Peer::new(left.into()).unwrap();
        let mut keeper = Channel::new(right.into()).unwrap();
        let file = File::open("/dev/null").unwrap();
        let names: Vec<String> = (0..8).map(|name| format!("{name}")).collect();
        for id in 0..60 {
            if id % 2 == 0 {
                let fds = (0..8).map(|_| file.try_clone().unwrap().into()).collect();
                peer.queue(id, &Request::Hold { names: names.clone() }, fds).unwrap();
            } else {
                peer.queue(id, &Request::Fetch { names: names.clone() }, vec![]).unwrap();
            }
            peer.flush().unwrap();
        }
        let (mut answered, mut unanswered) = (0, Vec::new());
        while answered < 60 {
            while keeper.fill().unwrap() == Filled::Some {}
            while let Some(frame) = keeper.next_frame().unwrap() {
                unanswered.push(frame.id);
            }
            assert!(unanswered.len() * 8 <= MAX_IN_FLIGHT, "{unanswered:?}");
            assert_eq!(unanswered[0], answered, "in order");
            keeper.queue(Reply::Done.operation(), unanswered.remove(0), &[], vec![]).unwrap();
            keeper.flush().unwrap();
            assert!(matches!(peer.receive().unwrap(), Some(Incoming::Reply { id, .. }) if id == answered));
            answered += 1;
        }
        assert!(peer.receive().unwrap().is_none());
        drop(keeper);
        assert!(matches!(peer.receive().unwrap(), Some(Incoming::Closed)));
    }
}
