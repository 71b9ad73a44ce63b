//! Streams of server-sent events: how many, and that each lives only as long as someone reads it.
//! Not here: what is streamed (`events`, `logs`); a reader that takes nothing for 30 s is cut off by `paced`.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, Sleep};

use super::problem::Problem;

pub(super) const EVENT_STREAM: &str = "text/event-stream";
/// Of all kinds and through all doors together.
pub(super) const STREAMS: usize = 32;
/// A stream that says nothing says so this often: proxies cut silent ones, and a client that is gone is noticed.
const PING: Duration = Duration::from_secs(15);
/// When a stream broke off, a browser tries again after this long.
const RETRY: &[u8] = b"retry: 1000\n\n";

static PLACES: Semaphore = Semaphore::const_new(STREAMS);

/// Free again once all who hold it have let go.
pub(super) type Place = Arc<SemaphorePermit<'static>>;

/// Something that goes on for ever. It is asked for more only when the client has room, so nothing piles up here.
pub(super) trait Source: Send + Sized + 'static {
    /// The next part, as soon as there is one, and what comes after it.
    fn next(self) -> impl Future<Output = Option<(Bytes, Self)>> + Send;
}

/// The client asks for a stream by what it takes.
pub(super) fn accepted(headers: &HeaderMap) -> bool {
    let kinds = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = kinds.flat_map(|value| value.split(',')).map(|kind| kind.split(';').next().unwrap_or_default());
    kinds.any(|kind| kind.trim().eq_ignore_ascii_case(EVENT_STREAM))
}

/// A place among the streams, or 503.
pub(super) fn place() -> Result<Place, Problem> {
    PLACES.try_acquire().map(Arc::new).map_err(|_| {
        let detail = format!("there are {STREAMS} streams already; end one, or ask without `follow`");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })
}

pub(super) fn answer(source: impl Source, place: Place) -> Response {
    let stream = Stream {
        next: Box::pin(async move { Some((Bytes::from_static(RETRY), source)) }),
        ping: Box::pin(tokio::time::sleep(PING)),
        _place: place,
    };
    let mut response = Response::new(Body::new(stream));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    response
}

type Next<S> = Pin<Box<dyn Future<Output = Option<(Bytes, S)>> + Send>>;

struct Stream<S> {
    next: Next<S>,
    ping: Pin<Box<Sleep>>,
    _place: Place,
}

impl<S: Source> HttpBody for Stream<S> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = match self.next.as_mut().poll(context) {
            Poll::Ready(Some((part, source))) => {
                self.next = Box::pin(source.next());
                part
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {
                std::task::ready!(self.ping.as_mut().poll(context));
                Bytes::from_static(b": ping\n\n")
            }
        };
        self.ping.as_mut().reset(Instant::now() + PING);
        Poll::Ready(Some(Ok(Frame::data(part))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    struct Silent;

    impl Source for Silent {
        async fn next(self) -> Option<(Bytes, Self)> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_says_that_it_lives_every_fifteen_seconds() {
        let mut body = answer(Silent, place().unwrap()).into_body();
        let mut said = Vec::new();
        let began = Instant::now();
        for _ in 0..4 {
            said.push(body.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        assert_eq!(said[0], RETRY);
        assert!(said[1..].iter().all(|part| part == ": ping\n\n"));
        assert_eq!(began.elapsed(), 3 * PING);
    }

    #[tokio::test]
    async fn the_thirty_third_stream_is_refused_until_one_ends() {
        let mut all: Vec<Response> = (0..STREAMS).map(|_| answer(Silent, place().unwrap())).collect();
        assert_eq!(place().unwrap_err().status, StatusCode::SERVICE_UNAVAILABLE);
        all.pop();
        assert!(place().is_ok());
    }
}
