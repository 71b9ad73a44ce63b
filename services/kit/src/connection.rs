//! One connection, from its first byte to its last, with all that may end it early.
//! Not here: where connections come from, and when a drain begins.
//!
//! hyper's own two means are not used, because each loses requests. Its timeout for request heads also runs
//! between two requests, so it would close kept connections after seconds. Its graceful shutdown closes idle
//! connections at once, while the next request may be on the wire; here it is called only once a connection has
//! been idle for long enough, and only while nothing waits to be read.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use nix::sys::socket::{MsgFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Limits;
use crate::observed::{Answer, Question, Watched};
use crate::server::Phase;

/// Serves `stream` until one of the two sides has had enough.
pub(crate) async fn serve<T>(stream: T, router: Router, mut phase: watch::Receiver<Phase>, limits: Limits)
where
    T: AsyncRead + AsyncWrite + AsRawFd + Unpin + Send + 'static,
{
    let fd = stream.as_raw_fd();
    let stage = Stage::new();
    let io = TokioIo::new(Watched { stream, stage: stage.clone() });
    let answering = Answering { router: TowerToHyperService::new(router), phase: phase.clone(), stage: stage.clone() };
    let mut http = http1::Builder::new();
    http.header_read_timeout(None).max_header_size(MAX_HEAD);
    let mut connection = pin!(http.serve_connection(io, answering));
    let mut alarm = pin!(sleep_until(Instant::now() + limits.head));
    let mut farewell = Farewell::Unsaid { chances: CHANCES };
    loop {
        let now_in = *phase.borrow_and_update();
        let next = poll_fn(|cx| {
            // An error is the client's doing: it went away, or spoke no HTTP and was told so.
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Next::Over);
            }
            loop {
                let Some(due) = stage.now().due(now_in, farewell, &limits) else { return Poll::Pending };
                if due <= Instant::now() {
                    return Poll::Ready(Next::Due);
                }
                // An alarm that rings too early is cheaper than one that is set anew for each request.
                if due < alarm.deadline() || alarm.is_elapsed() {
                    alarm.as_mut().reset(due);
                }
                ready!(alarm.as_mut().poll(cx));
            }
        });
        let next = tokio::select! {
            biased;
            next = next => next,
            Ok(()) = phase.changed() => continue,
        };
        if matches!(next, Next::Over) || !stage.now().is_between_requests() {
            return;
        }
        farewell = match farewell {
            Farewell::Unsaid { chances } if chances > 0 && something_waits(fd) => {
                // It came in this very moment; the runtime will tell of it.
                sleep(CHANCE).await;
                Farewell::Unsaid { chances: chances - 1 }
            }
            Farewell::Unsaid { .. } => {
                connection.as_mut().graceful_shutdown();
                Farewell::Said { at: Instant::now() }
            }
            Farewell::Said { .. } => return,
        };
    }
}

/// The head of a request, in bytes; beyond it the answer is 431.
const MAX_HEAD: usize = 32 << 10;

/// How often, and for how long each time, a goodbye waits for a request that has just come in. It is not for ever:
/// hyper does not read while a client does not take its answer.
const CHANCES: u8 = 5;
const CHANCE: Duration = Duration::from_millis(5);

enum Next {
    /// The connection is closed.
    Over,
    /// It has been in its stage for too long.
    Due,
}

/// Whether hyper was asked to close.
#[derive(Clone, Copy)]
enum Farewell {
    Unsaid { chances: u8 },
    Said { at: Instant },
}

/// Where a connection is between two requests or in one.
#[derive(Debug, Clone, Copy)]
enum At {
    /// Nothing has been received.
    Fresh { since: Instant },
    /// A request has begun to arrive.
    Head { since: Instant },
    /// A request is being answered.
    Busy,
    /// The last request has been answered.
    Idle { since: Instant },
}

/// What is known of a connection.
#[derive(Debug, Clone, Copy)]
struct Progress {
    at: At,
    /// Since when the client has sent no more of a body, or taken no more of an answer.
    stalled: Option<Instant>,
}

impl Progress {
    fn is_between_requests(self) -> bool {
        match self.at {
            At::Fresh { .. } | At::Idle { .. } => self.stalled.is_none(),
            At::Head { .. } | At::Busy => false,
        }
    }

    /// When it has lasted too long.
    fn due(self, phase: Phase, farewell: Farewell, limits: &Limits) -> Option<Instant> {
        if let Some(since) = self.stalled {
            return Some(since + limits.stall);
        }
        let due = match self.at {
            At::Busy => return None,
            // A request that has begun to arrive is served, drain or not.
            At::Head { since } => return Some(since + limits.head),
            At::Fresh { since } => since + limits.head,
            At::Idle { since } => since + limits.keep_alive,
        };
        match (farewell, phase) {
            (Farewell::Said { at }, _) => Some(at + limits.head),
            (Farewell::Unsaid { .. }, Phase::Serving) => Some(due),
            (Farewell::Unsaid { .. }, Phase::Draining { idle_until }) => Some(due.min(idle_until)),
        }
    }
}

/// Shared by the parts of one connection that see it change; they run in one task, so nobody ever waits.
#[derive(Clone)]
pub(crate) struct Stage(Arc<Mutex<Progress>>);

impl Stage {
    fn new() -> Self {
        let at = At::Fresh { since: Instant::now() };
        Self(Arc::new(Mutex::new(Progress { at, stalled: None })))
    }

    fn now(&self) -> Progress {
        *self.lock()
    }

    fn asked(&self) {
        self.lock().at = At::Busy;
    }

    pub(crate) fn answered(&self) {
        self.lock().at = At::Idle { since: Instant::now() };
    }

    pub(crate) fn received_something(&self) {
        let mut progress = self.lock();
        match progress.at {
            At::Fresh { .. } | At::Idle { .. } => progress.at = At::Head { since: Instant::now() },
            At::Head { .. } | At::Busy => {}
        }
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
        self.lock().stalled = None;
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes, or the end of them, that hyper has not read yet.
fn something_waits(fd: RawFd) -> bool {
    recv(fd, &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT).is_ok()
}

/// The router, with a look at each request's beginning and end.
struct Answering {
    router: TowerToHyperService<Router>,
    phase: watch::Receiver<Phase>,
    stage: Stage,
}

impl Service<Request<Incoming>> for Answering {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.stage.asked();
        let (phase, stage) = (self.phase.clone(), self.stage.clone());
        let body_stage = self.stage.clone();
        let answer = self.router.call(request.map(|body| Body::new(Question { body, stage: body_stage })));
        Box::pin(async move {
            let mut response = answer.await?;
            if matches!(*phase.borrow(), Phase::Draining { .. }) {
                // hyper closes after it, and the client knows that it must connect anew.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| Body::new(Answer { body, stage })))
        })
    }
}
