//! A stream whose other side must make progress: a head has to arrive in time, and a reader that takes nothing for 30 s
//! is cut off, with what waits for it. What the HTTP library answers by itself becomes a problem document on its way.
//! Not here: bodies of requests, which have their own deadline.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::bare;
use super::guest::Guest;

const STALL: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Paced<S> {
    stream: S,
    guest: Arc<Guest>,
    /// Set while a read waits.
    reading: Option<Pin<Box<Sleep>>>,
    /// Set while a write waits.
    writing: Option<Pin<Box<Sleep>>>,
    /// What is left to be written instead of what the library wrote.
    instead: Vec<u8>,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, guest: Arc<Guest>) -> Self {
        Self { stream, guest, reading: None, writing: None, instead: Vec::new() }
    }

    fn pace<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.writing = None;
            return written;
        }
        let deadline = self.writing.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + STALL)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Nothing came. How long may that go on?
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(deadline) = self.guest.deadline() else {
            self.reading = None;
            return Poll::Pending;
        };
        let sleep = self.reading.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        ready!(sleep.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> Paced<S> {
    /// `None` when these bytes are to be written as they are, else their length once the others are written.
    fn write_instead(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Option<Poll<io::Result<usize>>> {
        if self.instead.is_empty() {
            self.instead = bare::problem(bytes)?;
        }
        while !self.instead.is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, &self.instead) {
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(count)) => drop(self.instead.drain(..count)),
                Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
                Poll::Pending => return Some(Poll::Pending),
            }
        }
        Some(Poll::Ready(Ok(bytes.len())))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // A head that comes byte by byte must come in time all the same.
        if self.guest.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buf);
        if read.is_pending() {
            return self.wait(context);
        }
        if buf.filled().len() > before {
            self.guest.heard();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match self.write_instead(context, bytes) {
            Some(written) => written,
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
        };
        self.pace(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
        let written = match self.write_instead(context, first) {
            Some(written) => written,
            None => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
        };
        self.pace(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.pace(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.pace(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    fn paced() -> (Paced<DuplexStream>, Arc<Guest>, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(64);
        let guest = Arc::new(Guest::new(Arc::new(AtomicBool::new(false))));
        (Paced::new(ours, Arc::clone(&guest)), guest, theirs)
    }

    async fn cut_after(paced: &mut Paced<DuplexStream>) -> Duration {
        let began = Instant::now();
        let error = paced.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        began.elapsed()
    }

    fn about(span: Duration, seconds: u64) -> bool {
        span.abs_diff(Duration::from_secs(seconds)) < Duration::from_millis(100)
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_cut_off() {
        let (mut paced, _guest, _theirs) = paced();
        let error = paced.write_all(&[0; 128]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_must_come_within_five_seconds_however_slowly() {
        let (mut paced, _guest, mut theirs) = paced();
        let drip = async {
            loop {
                let _ = theirs.write_all(b"x").await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            span = cut_after(&mut paced) => assert!(about(span, 5), "{span:?}"),
            () = drip => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_kept_connection_may_be_idle_for_a_minute_and_is_not_hurried_while_it_is_answered() {
        let (mut paced, guest, mut theirs) = paced();
        let answering = guest.asked();
        let quiet = tokio::time::timeout(Duration::from_secs(600), paced.read(&mut [0; 8])).await;
        assert!(quiet.is_err(), "an answer takes as long as it takes");
        drop(answering);
        let span = cut_after(&mut paced).await;
        assert!(about(span, 60), "{span:?}");
        drop(guest.asked());
        tokio::time::sleep(Duration::from_secs(50)).await;
        theirs.write_all(b"GET").await.unwrap();
        let span = cut_after(&mut paced).await;
        assert!(about(span, 5), "{span:?}");
    }

    #[tokio::test]
    async fn what_the_library_answers_by_itself_becomes_a_problem_document() {
        let (mut paced, _guest, mut theirs) = paced();
        let write = async {
            paced.write_all(b"HTTP/1.1 431 Too Large\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            drop(paced);
        };
        let mut all = String::new();
        let (_, read) = tokio::join!(write, theirs.read_to_string(&mut all));
        read.unwrap();
        assert!(all.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{all}");
        assert!(all.contains("content-type: application/problem+json\r\n") && all.contains("\"status\":431"), "{all}");
    }
}
