//! One connection, from its first byte to its last, with all that may end it early.
//! Not here: where connections come from, and when a drain begins.
//!
//! hyper's own two means are not used, because each loses requests. Its timeout for request heads also runs
//! between two requests, so it would close kept connections after seconds. Its graceful shutdown closes idle
//! connections at once, while the next request may be on the wire; here it is called only once a connection has
//! been idle for long enough, and only while nothing waits to be read.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request};
use axum::response::Response;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use nix::sys::socket::{MsgFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::Limits;
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
    let mut connection = pin!(http1::Builder::new().serve_connection(io, answering));
    let mut alarm = pin!(sleep_until(Instant::now() + limits.head));
    let mut closing = None;
    loop {
        let now_in = *phase.borrow_and_update();
        let next = poll_fn(|cx| {
            // An error is the client's doing: it went away, or spoke no HTTP and was told so.
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Next::Over);
            }
            loop {
                let Some(due) = stage.now().due(now_in, closing, &limits) else {
                    return Poll::Pending;
                };
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
        match (next, stage.now()) {
            (Next::Over, _) | (Next::Due, At::Head { .. }) => return,
            (Next::Due, At::Busy) => {}
            (Next::Due, At::Fresh { .. } | At::Idle { .. }) if closing.is_some() => return,
            (Next::Due, At::Fresh { .. } | At::Idle { .. }) => {
                if something_waits(fd) {
                    // It came in this very moment; the runtime will tell of it.
                    tokio::task::yield_now().await;
                } else {
                    connection.as_mut().graceful_shutdown();
                    closing = Some(Instant::now() + limits.head);
                }
            }
        }
    }
}

enum Next {
    /// The connection is closed.
    Over,
    /// It has been in its stage for too long.
    Due,
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

impl At {
    /// When it has lasted too long; `closing` is when a goodbye that was said must be over.
    fn due(self, phase: Phase, closing: Option<Instant>, limits: &Limits) -> Option<Instant> {
        let due = match self {
            Self::Busy => return None,
            // A request that has begun to arrive is served, drain or not.
            Self::Head { since } => return Some(since + limits.head),
            Self::Fresh { since } => since + limits.head,
            Self::Idle { since } => since + limits.keep_alive,
        };
        if closing.is_some() {
            return closing;
        }
        match phase {
            Phase::Serving => Some(due),
            Phase::Draining { idle_until } => Some(due.min(idle_until)),
        }
    }
}

/// Shared by the three parts of one connection that see it change; they run in one task, so nobody ever waits.
#[derive(Clone)]
struct Stage(Arc<Mutex<At>>);

impl Stage {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(At::Fresh { since: Instant::now() })))
    }

    fn set(&self, at: At) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    fn now(&self) -> At {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn received_something(&self) {
        match self.now() {
            At::Fresh { .. } | At::Idle { .. } => self.set(At::Head { since: Instant::now() }),
            At::Head { .. } | At::Busy => {}
        }
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
        self.stage.set(At::Busy);
        let (phase, stage) = (self.phase.clone(), self.stage.clone());
        let answer = self.router.call(request);
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

/// The body of a response; hyper lets go of it when the last of it is written.
struct Answer {
    body: Body,
    stage: Stage,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.stage.set(At::Idle { since: Instant::now() });
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The socket, with a look at what arrives.
struct Watched<T> {
    stream: T,
    stage: Stage,
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.stage.received_something();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
