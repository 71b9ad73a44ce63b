//! Who is inside: every connection counts as long as its socket is open, whoever reads it.
//! Not here: who is let in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The number of connections that are open. A connection that became a WebSocket counts on.
#[derive(Debug, Default)]
pub(crate) struct Inside {
    count: AtomicUsize,
    left: Notify,
}

impl Inside {
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Returns when somebody has left since the last time.
    pub(crate) async fn someone_left(&self) {
        self.left.notified().await;
    }

    pub(crate) fn enter(self: &Arc<Self>) -> Presence {
        self.count.fetch_add(1, Ordering::AcqRel);
        Presence(Arc::clone(self))
    }
}

/// One connection; dropped with its socket.
#[derive(Debug)]
pub(crate) struct Presence(Arc<Inside>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
        self.0.left.notify_one();
    }
}
