//! The socket and the two bodies of a connection, each telling the connection's stage what happens to it.
//! Not here: what follows from that.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::presence::Presence;
use crate::stage::Stage;

/// The body of a request.
pub(crate) struct Question {
    pub(crate) body: Incoming,
    pub(crate) stage: Stage,
}

impl Drop for Question {
    fn drop(&mut self) {
        self.stage.wants_nothing_more();
    }
}

impl hyper::body::Body for Question {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.stage.note(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a response; hyper lets go of it when the last of it is written.
pub(crate) struct Answer {
    pub(crate) body: Body,
    pub(crate) stage: Stage,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.stage.answered();
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
pub(crate) struct Watched<T> {
    stream: T,
    stage: Stage,
    /// Received, and not for hyper yet: what follows the head of a request. Never more than one read of hyper's.
    ahead: Bytes,
    _presence: Presence,
}

impl<T> Watched<T> {
    pub(crate) fn new(stream: T, stage: Stage, presence: Presence) -> Self {
        Self { stream, stage, ahead: Bytes::new(), _presence: presence }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.ahead.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
            let received = &buffer.filled()[before..];
            if received.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let now = self.stage.received(received);
            if now < received.len() {
                self.ahead = Bytes::copy_from_slice(&received[now..]);
                buffer.set_filled(before + now);
            }
        } else {
            let room = self.ahead.len().min(buffer.remaining());
            let now = self.stage.received(&self.ahead[..room]);
            buffer.put_slice(&self.ahead.split_to(now));
        }
        self.stage.keeps_unread(!self.ahead.is_empty());
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.stage.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.stage.note(written)
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
