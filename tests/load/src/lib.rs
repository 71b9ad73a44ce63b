//! Clients that ask a service again and again, never retry, and count what was lost.
//! Not here: who restarts the service meanwhile.

mod client;
mod http1;
mod http2;
mod kinds;
mod report;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::task::JoinSet;

pub use kinds::Kind;
pub use report::{Failure, Report, Tally};

/// Some clients of one kind.
#[derive(Debug, Clone, Copy)]
pub struct Crowd {
    /// What they do.
    pub kind: Kind,
    /// How many there are.
    pub clients: usize,
    /// How long each waits after an answer before it asks again.
    pub pause: Duration,
}

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    thread: JoinHandle<Report>,
}

#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    answered: AtomicUsize,
    failed: AtomicUsize,
}

impl Load {
    /// Lets them begin, each with a connection of its own to the service of `exemplar` at `address`.
    ///
    /// # Panics
    /// When no thread can be had.
    #[must_use]
    pub fn start(address: SocketAddr, crowds: &[Crowd]) -> Self {
        let shared = Arc::new(Shared::default());
        let (crowds, seen) = (crowds.to_vec(), Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("load".to_owned())
            .spawn(move || work(address, &crowds, &seen))
            .expect("a thread more can be had");
        Self { shared, thread }
    }

    /// Three clients of each kind, who pause a little after each answer. Some were answered.
    ///
    /// # Panics
    /// When nobody is answered within `limit`.
    #[must_use]
    #[track_caller]
    pub fn of_threes(address: SocketAddr, kinds: &[Kind], limit: Duration) -> Self {
        let crowd = |kind: &Kind| Crowd { kind: *kind, clients: 3, pause: Duration::from_millis(10) };
        let load = Self::start(address, &kinds.iter().map(crowd).collect::<Vec<_>>());
        assert!(load.await_answers(20, limit), "nobody is answered");
        load
    }

    /// Ends it: nothing was lost, somebody was answered until now, and each kind at some time.
    ///
    /// # Panics
    /// When that is not so within `limit`.
    #[track_caller]
    pub fn lost_nothing(self, limit: Duration) {
        assert!(self.await_answers(20, limit), "nobody is answered any more");
        let report = self.stop();
        let silent = report.kinds.values().any(|tally| tally.took.is_empty());
        assert!(report.failed() == 0 && !silent, "\n{report}");
    }

    /// Answers up to now, of all kinds.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// What was lost up to now, of all kinds.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.shared.failed.load(Ordering::Relaxed)
    }

    /// Waits for `more` answers, at most `limit`; whether they came.
    #[must_use]
    pub fn await_answers(&self, more: usize, limit: Duration) -> bool {
        let (wanted, began) = (self.answered() + more, std::time::Instant::now());
        while self.answered() < wanted {
            if began.elapsed() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Lets each finish what it is at, and tells how it went.
    ///
    /// # Panics
    /// When a client did.
    #[must_use]
    pub fn stop(self) -> Report {
        self.shared.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("clients do not panic")
    }
}

fn work(address: SocketAddr, crowds: &[Crowd], shared: &Arc<Shared>) -> Report {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime can be had");
    let report = runtime.block_on(async {
        let mut clients = JoinSet::new();
        for crowd in crowds {
            for _ in 0..crowd.clients {
                let (crowd, shared) = (*crowd, Arc::clone(shared));
                clients.spawn(async move { (crowd.kind, client::live(address, crowd, &shared).await) });
            }
        }
        let mut report = Report::default();
        for (kind, tally) in clients.join_all().await {
            report.add(kind, tally);
        }
        report
    });
    runtime.shutdown_background();
    report
}
