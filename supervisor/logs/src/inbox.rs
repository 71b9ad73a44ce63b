//! What a worker is told to do, by any thread and without waiting for it.
//! Not here: doing it (`worker`).

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::onlooker::Onlooker;
use crate::platform::Waker;
use crate::registry::{Shared, lock};

pub(crate) type Done = Box<dyn FnOnce() + Send>;

pub(crate) enum Order {
    Attach {
        id: u64,
        pipe: OwnedFd,
        stage: Option<OwnedFd>,
        generation: u64,
        log: Arc<Shared>,
        onlooker: Option<Onlooker>,
    },
    /// So much of what is in the pipe may leave it.
    Seen {
        id: u64,
        bytes: usize,
        enough: bool,
    },
    Finish {
        id: u64,
        done: Done,
    },
    /// Settings or the budget have changed.
    Look,
    Stop,
}

/// Where a worker gets its orders.
pub(crate) struct Inbox {
    orders: Mutex<VecDeque<Order>>,
    pub(crate) waker: Waker,
    over: Mutex<bool>,
    ended: Condvar,
}

impl Inbox {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            orders: Mutex::new(VecDeque::new()),
            waker: Waker::new()?,
            over: Mutex::new(false),
            ended: Condvar::new(),
        })
    }

    pub(crate) fn send(&self, order: Order) {
        lock(&self.orders).push_back(order);
        self.waker.wake();
    }

    /// All there are, in their order. What comes later wakes the worker again.
    pub(crate) fn take(&self) -> VecDeque<Order> {
        self.waker.clear();
        std::mem::take(&mut *lock(&self.orders))
    }

    /// The worker is gone.
    pub(crate) fn close(&self) {
        *lock(&self.over) = true;
        self.ended.notify_all();
    }

    /// Waits until the worker is gone; not for ever, as its disk may be dead.
    pub(crate) fn wait_for_end(&self, timeout: Duration) {
        let over = self.ended.wait_timeout_while(lock(&self.over), timeout, |over| !*over);
        drop(over.unwrap_or_else(PoisonError::into_inner));
    }
}
