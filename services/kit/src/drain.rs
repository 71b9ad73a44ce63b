//! What an answer without an end (server-sent events, a WebSocket) must know of a drain.
//! Not here: ordinary requests; the connection sees to them.

use std::convert::Infallible;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use futures_core::Stream;
use tokio::sync::watch;
use tokio::time::sleep_until;

use crate::server::Phase;

/// The close code of a WebSocket whose server is restarted (RFC 6455 with the IANA registry of close codes: 1012,
/// "service restart"): clients know that they may connect anew.
pub const SERVICE_RESTART: u16 = 1012;

/// Tells a handler whose answer has no end when to end it. An argument of the handler, as axum's extractors are.
///
/// A successor serves, so the client has where to go. The ends are spread over a while, that not all come at once.
#[derive(Clone)]
pub struct Drain {
    phase: watch::Receiver<Phase>,
}

impl Drain {
    pub(crate) fn new(phase: watch::Receiver<Phase>) -> Self {
        Self { phase }
    }

    /// Returns when this answer should come to an end. Never while the service serves.
    pub async fn closing(mut self) {
        let place = f64::from(random()) / f64::from(u32::MAX);
        loop {
            let when = match *self.phase.borrow_and_update() {
                Phase::Serving => None,
                Phase::Draining { close_from, spread, .. } => Some(close_from + spread.mul_f64(place)),
            };
            let mut changed = pin!(self.phase.changed());
            let Some(when) = when else {
                if changed.await.is_err() {
                    std::future::pending::<()>().await;
                }
                continue;
            };
            tokio::select! {
                () = sleep_until(when) => return,
                // Told to stop after all.
                Ok(()) = &mut changed => {}
            }
        }
    }

    /// `events`, until this answer should come to an end; it ends between two items.
    pub fn end<S: Stream>(self, events: S) -> Ending<S> {
        Ending { events: Box::pin(events), closing: Box::pin(self.closing()) }
    }
}

impl<S: Sync> FromRequestParts<S> for Drain {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let drain = parts.extensions.get::<Self>().cloned();
        // Without the kit's server there is no drain.
        Ok(drain.unwrap_or_else(|| Self::new(watch::channel(Phase::Serving).1)))
    }
}

/// A stream that ends when its answer should.
pub struct Ending<S> {
    events: Pin<Box<S>>,
    closing: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<S: Stream> Stream for Ending<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        if self.closing.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        self.events.as_mut().poll_next(cx)
    }
}

/// Any number; the standard library has no other source.
fn random() -> u32 {
    let number = RandomState::new().build_hasher().finish();
    u32::try_from(number >> 32).unwrap_or_default()
}
