//! Work that may block a thread, as on a disk that does not answer: only so much of it at once, and waited for only so long.
//! Not here: what is done.

use std::io;
use std::time::Duration;

use tokio::sync::{AcquireError, Semaphore};

/// Room for so much of one kind. What is no longer waited for keeps its slot until it ends.
pub(crate) struct Slots {
    free: Semaphore,
    patience: Duration,
}

impl Slots {
    pub(crate) const fn new(at_once: usize, patience: Duration) -> Self {
        Self { free: Semaphore::const_new(at_once), patience }
    }

    pub(crate) async fn run<T: Send + 'static>(
        &'static self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        run(self.free.acquire(), self.patience, work).await
    }
}

/// Work that keeps a place until it ends. Whoever wants its result waits for both no longer than `patience`.
pub(crate) async fn run<P: Send + 'static, T: Send + 'static>(
    place: impl Future<Output = Result<P, AcquireError>>,
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let working = async {
        let place = place.await.map_err(io::Error::other)?;
        let work = move || {
            let _until_it_ends = place;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
    };
    let done = tokio::time::timeout(patience, working).await;
    done.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "neither a disk nor a name server answers")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_answer_takes_its_own_slots_and_nobodys_time() {
        let slots: &'static Slots = Box::leak(Box::new(Slots::new(2, Duration::from_millis(20))));
        let (free, stuck) = std::sync::mpsc::sync_channel::<()>(0);
        assert_eq!(slots.run(move || stuck.recv().is_err()).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(slots.run(|| 7).await.unwrap(), 7);
        assert_eq!(slots.free.available_permits(), 1);
        drop(free);
        while slots.free.available_permits() < 2 {
            tokio::task::yield_now().await;
        }
    }
}
