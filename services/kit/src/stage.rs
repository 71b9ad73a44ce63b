//! Where a connection is between two requests or in one, and for how long it may stay there.
//! Not here: what is done when it has stayed too long (see `connection`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::time::Instant;

use crate::Limits;
use crate::heads::Heads;
use crate::server::Phase;

/// At a drain so many requests that a client sent ahead are answered before one is the last.
const SENT_AHEAD_AT_DRAIN: u32 = 100;

/// Where a connection is between two requests or in one.
#[derive(Debug, Clone, Copy)]
enum At {
    /// Nothing has been received.
    Fresh { since: Instant },
    /// A request has begun to arrive.
    Head { since: Instant },
    /// This many requests are being answered: one, or as many as there are streams.
    Busy { requests: usize },
    /// The last request has been answered.
    Idle { since: Instant },
}

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1, as far as is known.
    One,
    /// HTTP/2: several requests at once, and a goodbye that loses none.
    Two,
}

/// What is known of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    at: At,
    pub(crate) protocol: Protocol,
    /// Since when the client has sent no more of a body, or taken no more of an answer.
    stalled: Option<Instant>,
    heads: Heads,
    /// Bytes were received that hyper does not have yet.
    unread: bool,
    /// Requests answered during a drain although more of them had been sent ahead.
    sent_ahead: u32,
}

impl Progress {
    pub(crate) fn is_between_requests(self) -> bool {
        match self.at {
            At::Fresh { .. } | At::Idle { .. } => self.stalled.is_none(),
            At::Head { .. } | At::Busy { .. } => false,
        }
    }

    /// When it has been where it is for too long. With `left` we have said goodbye, then.
    pub(crate) fn due(self, phase: Phase, left: Option<Instant>, limits: &Limits) -> Option<Instant> {
        if let Some(since) = self.stalled {
            return Some(since + limits.stall);
        }
        let due = match self.at {
            At::Busy { .. } => return None,
            // A request that has begun to arrive is served, drain or not.
            At::Head { since } => return Some(since + limits.head),
            At::Fresh { since } => since + limits.head,
            At::Idle { since } => since + limits.keep_alive,
        };
        match (left, phase) {
            (Some(at), _) => Some(at + limits.head),
            (None, Phase::Serving) => Some(due),
            (None, Phase::Draining { idle_until, .. }) => Some(due.min(idle_until)),
        }
    }
}

/// Shared by the parts of one connection that see it change; they seldom meet, so nobody waits.
#[derive(Clone)]
pub(crate) struct Stage(Arc<Mutex<Progress>>);

impl Stage {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Progress {
            at: At::Fresh { since: Instant::now() },
            protocol: Protocol::One,
            stalled: None,
            heads: Heads::default(),
            unread: false,
            sent_ahead: 0,
        })))
    }

    pub(crate) fn now(&self) -> Progress {
        *self.lock()
    }

    /// A request is there, its head at least.
    pub(crate) fn asked(&self, protocol: Protocol, body: Body) {
        let mut progress = self.lock();
        progress.protocol = protocol;
        let requests = match progress.at {
            At::Busy { requests } => requests + 1,
            At::Fresh { .. } | At::Head { .. } | At::Idle { .. } => 1,
        };
        progress.at = At::Busy { requests };
        match (protocol, body) {
            (Protocol::One, Body::None) => progress.heads.taken(),
            (Protocol::One, Body::Comes) => progress.heads.taken_with_a_body(),
            (Protocol::Two, Body::None | Body::Comes) => {}
        }
    }

    /// The last byte of an answer was written.
    pub(crate) fn answered(&self) {
        let mut progress = self.lock();
        progress.at = match progress.at {
            At::Busy { requests } if requests > 1 => At::Busy { requests: requests - 1 },
            // It was sent ahead, or its first bytes were.
            _ if progress.heads.untaken() => At::Head { since: Instant::now() },
            At::Busy { .. } | At::Fresh { .. } | At::Head { .. } | At::Idle { .. } => {
                At::Idle { since: Instant::now() }
            }
        };
    }

    /// Takes note of received bytes; gives how many of them hyper may have now, so that it never reads ahead of the
    /// request it is at.
    pub(crate) fn received(&self, bytes: &[u8]) -> usize {
        let mut progress = self.lock();
        match (progress.at, progress.protocol) {
            (At::Fresh { .. }, _) | (At::Idle { .. }, Protocol::One) => {
                progress.at = At::Head { since: Instant::now() };
            }
            // Window updates and pings are no requests.
            (At::Idle { .. }, Protocol::Two) | (At::Head { .. } | At::Busy { .. }, _) => {}
        }
        match progress.protocol {
            Protocol::One => progress.heads.received(bytes),
            Protocol::Two => bytes.len(),
        }
    }

    /// Whether bytes were received that hyper does not have yet.
    pub(crate) fn keeps_unread(&self, unread: bool) {
        self.lock().unread = unread;
    }

    /// Whether the answer that is about to go out is the last of its connection, now that we drain. `arrived` are
    /// bytes that nobody has received yet.
    pub(crate) fn is_last(&self, arrived: bool) -> bool {
        let mut progress = self.lock();
        let more = arrived || progress.unread || progress.heads.untaken();
        let more = more && progress.sent_ahead < SENT_AHEAD_AT_DRAIN;
        progress.sent_ahead += u32::from(more);
        !more
    }

    /// Notes whether the client let us go on.
    pub(crate) fn note<T>(&self, result: Poll<T>) -> Poll<T> {
        let stalled = &mut self.lock().stalled;
        match result {
            Poll::Ready(_) => *stalled = None,
            Poll::Pending => _ = stalled.get_or_insert_with(Instant::now),
        }
        result
    }

    /// The rest of a body is not waited for any more.
    pub(crate) fn wants_nothing_more(&self) {
        let mut progress = self.lock();
        progress.stalled = None;
        progress.heads.body_over();
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a request's head is followed by a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    Comes,
}
