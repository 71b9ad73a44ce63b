//! Threads for what may hang for the sake of one service: its files, its users' names, programs of its own. What hangs
//! keeps its thread, and takes it from that service alone.
//! Not here: what is done.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use supervisor_core::ServiceName;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::slots;

/// Threads that may block at once, of all kinds. They are made when they are needed, and end soon after.
pub(crate) const MOST: usize = 1024;
/// What is done for everybody finds so many of them free, however many services hang.
const RESERVE: usize = 64;
/// Of one service, besides its start.
const OF_ONE: usize = 4;

static OF_SERVICES: Semaphore = Semaphore::const_new(MOST - RESERVE);

/// For a start, of which each service has one at a time; `None` when too many services hang.
pub(crate) fn for_start() -> Option<SemaphorePermit<'static>> {
    OF_SERVICES.try_acquire().ok()
}

/// Room for what else is done for each service.
#[derive(Debug, Default)]
pub(crate) struct Threads(BTreeMap<ServiceName, Arc<Semaphore>>);

impl Threads {
    /// Work for a service, for which somebody waits no longer than `patience`: for one of its threads, and for the work.
    pub(crate) fn run<T: Send + 'static>(
        &mut self,
        service: &ServiceName,
        patience: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = io::Result<T>> + Send + 'static {
        let own = self.0.entry(service.clone()).or_insert_with(|| Arc::new(Semaphore::new(OF_ONE)));
        let own = Arc::clone(own);
        let place = async { Ok((own.acquire_owned().await?, OF_SERVICES.acquire().await?)) };
        slots::run(place, patience, work)
    }

    /// Of services that are gone.
    pub(crate) fn retain(&mut self, is_known: impl Fn(&ServiceName) -> bool) {
        self.0.retain(|service, _| is_known(service));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_hangs_takes_threads_of_its_own_service_and_no_more_than_a_few() {
        let name = |name: &str| ServiceName::new(name).unwrap();
        let (mut threads, short) = (Threads::default(), Duration::from_millis(5));
        let (go_on, hangs) = std::sync::mpsc::sync_channel::<()>(0);
        let hangs = Arc::new(std::sync::Mutex::new(hangs));
        let begun = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        for _ in 0..3 * OF_ONE {
            let (hangs, begun) = (Arc::clone(&hangs), Arc::clone(&begun));
            let work = move || {
                begun.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                drop(hangs.lock().map(|hangs| hangs.recv()));
            };
            assert!(threads.run(&name("sick"), short, work).await.is_err());
        }
        assert_eq!(threads.run(&name("well"), Duration::from_secs(20), || 7).await.unwrap(), 7);
        assert!(begun.load(std::sync::atomic::Ordering::Relaxed) <= OF_ONE);
        drop(go_on);
        assert_eq!(threads.run(&name("sick"), Duration::from_secs(20), || 8).await.unwrap(), 8, "it goes on");
    }
}
