//! Someone who sees what comes out of a pipe while it is still in it: whatever becomes of us, what was not seen to the
//! end is seen by whoever takes over the pipe.
//! Not here: what they look for.

use std::fmt;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;

use crate::copying::{PATIENCE, Tools, Turn};
use crate::inbox::{Inbox, Order};
use crate::pipe::Pipe;

/// So much is shown although it is not the whole of a line.
const LONG_LINE: usize = 8 << 10;

/// Called on the pump's thread, which must not have to wait, with what comes next: whole lines, unless one is long or
/// late. Not called again before the last glimpse was dropped.
pub type Onlooker = Box<dyn FnMut(Glimpse) + Send>;

/// Bytes that leave their pipe once this is dropped.
pub struct Glimpse {
    bytes: Vec<u8>,
    id: u64,
    inbox: Arc<Inbox>,
    enough: bool,
}

impl Glimpse {
    /// What is there to see.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All that comes after it goes its way unseen.
    pub fn be_the_last(&mut self) {
        self.enough = true;
    }
}

impl fmt::Debug for Glimpse {
    /// What services print is theirs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Glimpse({} bytes)", self.bytes.len())
    }
}

impl Drop for Glimpse {
    fn drop(&mut self) {
        self.inbox.send(Order::Seen { id: self.id, bytes: self.bytes.len(), enough: self.enough });
    }
}

/// A pipe with an onlooker.
pub(crate) struct Watched {
    onlooker: Onlooker,
    id: u64,
    inbox: Arc<Inbox>,
    /// Bytes at the head of the pipe that were seen, and may leave.
    seen: usize,
    looking: bool,
    /// Where one cannot look into a pipe, bytes are shown when they have left it.
    afterwards: bool,
}

impl Watched {
    pub(crate) fn new(id: u64, onlooker: Onlooker, inbox: Arc<Inbox>) -> Self {
        Self { onlooker, id, inbox, seen: 0, looking: false, afterwards: false }
    }

    pub(crate) fn looked(&mut self, bytes: usize) {
        self.looking = false;
        self.seen += if self.afterwards { 0 } else { bytes };
    }

    /// So much has left the pipe.
    pub(crate) fn left(&mut self, bytes: usize) {
        self.seen = self.seen.saturating_sub(bytes);
    }

    pub(crate) fn allows(&self) -> usize {
        if self.afterwards { usize::MAX } else { self.seen }
    }

    fn show(&mut self, bytes: &[u8]) {
        self.looking = true;
        let glimpse = Glimpse { bytes: bytes.to_owned(), id: self.id, inbox: Arc::clone(&self.inbox), enough: false };
        (self.onlooker)(glimpse);
    }
}

/// Before anything leaves a pipe: shows what its onlooker has not seen. How the turn ends, if nothing may leave now.
pub(crate) fn show(pipe: &mut Pipe, tools: &mut Tools, now: Instant) -> Option<Turn> {
    let watched = pipe.watched.as_mut()?;
    if watched.looking || watched.afterwards {
        return (watched.looking && watched.seen == 0).then_some(Turn::Held);
    }
    let there = match tools.peeker.peek(pipe.fd.as_fd(), &mut tools.buffer) {
        Ok(0) => return Some(Turn::Ended),
        Ok(there) => there,
        Err(Errno::EAGAIN) => return Some(Turn::Drained),
        Err(Errno::EINTR) => return Some(Turn::More),
        Err(_) => {
            watched.afterwards = true;
            return None;
        }
    };
    let fresh = &tools.buffer[watched.seen.min(there)..there];
    let mut late = || *pipe.held.get_or_insert(now) + PATIENCE <= now;
    let piece = match fresh.iter().rposition(|&byte| byte == b'\n') {
        Some(last) => last + 1,
        None if fresh.len() >= LONG_LINE || (watched.seen == 0 && late()) => fresh.len(),
        None => 0,
    };
    if piece > 0 {
        watched.show(&fresh[..piece]);
    }
    (watched.seen == 0).then_some(Turn::Held)
}

/// Where it could not be shown before.
pub(crate) fn show_afterwards(pipe: &mut Pipe, bytes: &[u8]) {
    if let Some(watched) = pipe.watched.as_mut().filter(|watched| watched.afterwards) {
        watched.show(bytes);
    }
}
