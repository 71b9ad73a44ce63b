//! One connection, from its first byte to its last, with all that may end it early.
//! Not here: where connections come from, and when a drain begins.
//!
//! hyper's own two means are not used for HTTP/1, because each loses requests. Its timeout for request heads also
//! runs between two requests, so it would close kept connections after seconds. Its graceful shutdown closes idle
//! connections at once, while the next request may be on the wire; here it is called only once a connection has
//! been idle for long enough, and only while nothing waits to be read. HTTP/2 has a goodbye of its own, GOAWAY,
//! which loses none and is said at once.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Version};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use nix::sys::socket::{MsgFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Limits;
use crate::drain::Drain;
use crate::observed::{Answer, Question, Watched};
use crate::presence::Presence;
use crate::routes::Peer;
use crate::server::Phase;
use crate::stage::{self, Protocol, Stage};

/// Serves `stream` until one of the two sides has had enough.
pub(crate) async fn serve<T>(
    stream: T,
    peer: Peer,
    presence: Presence,
    router: Router,
    mut phase: watch::Receiver<Phase>,
    limits: Limits,
) where
    T: AsyncRead + AsyncWrite + AsRawFd + Unpin + Send + 'static,
{
    let fd = stream.as_raw_fd();
    let stage = Stage::new();
    let io = TokioIo::new(Watched::new(stream, stage.clone(), presence));
    let router = TowerToHyperService::new(router);
    let answering = Answering { fd, peer, router, phase: phase.clone(), stage: stage.clone() };
    let http = http();
    let mut connection = pin!(http.serve_connection_with_upgrades(io, answering));
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
                let progress = stage.now();
                if farewell.is_due_at_once(now_in, progress.protocol) {
                    return Poll::Ready(Next::GoAway);
                }
                let Some(due) = progress.due(now_in, farewell.said(), &limits) else { return Poll::Pending };
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
        farewell = match (next, farewell) {
            (Next::Over, _) => return,
            (Next::GoAway, _) => {
                connection.as_mut().graceful_shutdown();
                Farewell::Said { at: Instant::now() }
            }
            (Next::Due, _) if !stage.now().is_between_requests() => return,
            (Next::Due, Farewell::Unsaid { chances }) if chances > 0 && something_waits(fd) => {
                // It came in this very moment; the runtime will tell of it.
                sleep(CHANCE).await;
                Farewell::Unsaid { chances: chances - 1 }
            }
            (Next::Due, Farewell::Unsaid { .. }) => {
                connection.as_mut().graceful_shutdown();
                Farewell::Said { at: Instant::now() }
            }
            (Next::Due, Farewell::Said { .. }) => return,
        };
    }
}

/// The head of a request, in bytes; beyond it the answer is 431. Also what hyper keeps of one connection.
const MAX_HEAD: usize = 64 << 10;

/// Streams at once on a connection of HTTP/2; hyper's default, said because it is a limit.
const MAX_STREAMS: u32 = 200;

/// How often a silent connection of HTTP/2 is asked whether its client is still there, and how long it may think.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How often, and for how long each time, a goodbye waits for a request that has just come in. It is not for ever:
/// hyper does not read while a client does not take its answer.
const CHANCES: u8 = 5;
const CHANCE: Duration = Duration::from_millis(5);

fn http() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().header_read_timeout(None).max_buf_size(MAX_HEAD);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX));
    http
}

enum Next {
    /// The connection is closed.
    Over,
    /// It has been in its stage for too long.
    Due,
    /// A drain has begun, and it is one of HTTP/2.
    GoAway,
}

/// Whether hyper was asked to close.
#[derive(Clone, Copy)]
enum Farewell {
    Unsaid { chances: u8 },
    Said { at: Instant },
}

impl Farewell {
    fn said(self) -> Option<Instant> {
        match self {
            Self::Unsaid { .. } => None,
            Self::Said { at } => Some(at),
        }
    }

    fn is_due_at_once(self, phase: Phase, protocol: Protocol) -> bool {
        match (self, phase, protocol) {
            (Self::Unsaid { .. }, Phase::Draining { .. }, Protocol::Two) => true,
            (Self::Unsaid { .. } | Self::Said { .. }, _, _) => false,
        }
    }
}

/// Bytes, or the end of them, that hyper has not read yet.
fn something_waits(fd: RawFd) -> bool {
    recv(fd, &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT).is_ok()
}

/// Bytes that nobody has received yet.
fn bytes_wait(fd: RawFd) -> bool {
    recv(fd, &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT).is_ok_and(|length| length > 0)
}

/// The router, with a look at each request's beginning and end.
struct Answering {
    /// Of a socket that lives as long as a request on it may come.
    fd: RawFd,
    peer: Peer,
    router: TowerToHyperService<Router>,
    phase: watch::Receiver<Phase>,
    stage: Stage,
}

impl Service<Request<Incoming>> for Answering {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let protocol = if request.version() == Version::HTTP_2 { Protocol::Two } else { Protocol::One };
        let comes = if request.body().is_end_stream() { stage::Body::None } else { stage::Body::Comes };
        self.stage.asked(protocol, comes);
        request.extensions_mut().insert(Drain::new(self.phase.clone()));
        request.extensions_mut().insert(self.peer);
        let (fd, phase, stage) = (self.fd, self.phase.clone(), self.stage.clone());
        let body_stage = self.stage.clone();
        let answer = self.router.call(request.map(|body| Body::new(Question { body, stage: body_stage })));
        Box::pin(async move {
            let mut response = answer.await?;
            let draining = matches!(*phase.borrow(), Phase::Draining { .. });
            if draining && protocol == Protocol::One && stage.is_last(bytes_wait(fd)) {
                // hyper closes after it, and the client knows that it must connect anew.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| Body::new(Answer { body, stage })))
        })
    }
}
