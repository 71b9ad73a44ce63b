//! One connection, as far as those at the door and the one who reads its bytes both need to know: what it is at, since
//! when, and whether it is to leave.
//! Not here: reading and writing (`paced`), how many there may be (`serve`).

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Instant;

/// A head must be complete so long after its first byte, or after the connection was made.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A kept connection without a next request ends after this.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// What a connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between two requests.
    Idle(Instant),
    /// In the head of a request.
    Head(Instant),
    /// A request is being answered.
    Busy,
    /// What is still to be written is written, then it ends.
    Leaving,
}

/// How one that is to leave does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    AtOnce,
    /// After what is still to be written.
    Quietly,
    /// It was asked something meanwhile. It leaves after the answer, if there is no place still.
    NotYet,
}

#[derive(Debug)]
pub(super) struct Guest {
    phase: Mutex<Phase>,
    leave: Notify,
    /// Others wait for a place.
    crowded: Arc<AtomicBool>,
}

impl Guest {
    /// One that has just come, and is to say what it wants.
    pub(super) fn new(crowded: Arc<AtomicBool>) -> Self {
        Self { phase: Mutex::new(Phase::Head(Instant::now())), leave: Notify::new(), crowded }
    }

    /// When its patience with the client ends, if it waits for it.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase() {
            Phase::Idle(since) => Some(since + IDLE_TIMEOUT),
            Phase::Head(since) => Some(since + HEAD_TIMEOUT),
            Phase::Busy | Phase::Leaving => None,
        }
    }

    /// Since when it waits for its client. Who waits longest is the first to make room.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        match self.phase() {
            Phase::Idle(since) | Phase::Head(since) => Some(since),
            Phase::Busy | Phase::Leaving => None,
        }
    }

    /// A byte came in.
    pub(super) fn heard(&self) {
        if let Phase::Idle(_) = self.phase() {
            self.enter(Phase::Head(Instant::now()));
        }
    }

    /// A request is there. It is over when the body of its answer is let go of.
    pub(super) fn asked(self: &Arc<Self>) -> Answering {
        self.enter(Phase::Busy);
        Answering(Arc::clone(self))
    }

    pub(super) fn evict(&self) {
        self.leave.notify_one();
    }

    /// Ready when it is to leave.
    pub(super) async fn evicted(&self) -> Leave {
        self.leave.notified().await;
        match self.phase() {
            Phase::Head(_) => Leave::AtOnce,
            Phase::Idle(_) => {
                self.enter(Phase::Leaving);
                Leave::Quietly
            }
            Phase::Busy | Phase::Leaving => Leave::NotYet,
        }
    }

    fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }
}

/// Kept for as long as a request is being answered.
#[derive(Debug)]
pub(super) struct Answering(Arc<Guest>);

impl Answering {
    /// The body of the answer, which ends the answering.
    pub(super) fn with(self, body: Body) -> Answered {
        Answered { body, _answering: self }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.enter(Phase::Idle(Instant::now()));
        if self.0.crowded.load(Ordering::Relaxed) {
            self.0.evict();
        }
    }
}

pub(super) struct Answered {
    body: Body,
    _answering: Answering,
}

impl hyper::body::Body for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
