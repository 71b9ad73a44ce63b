//! The thread that writes: takes what waits, carries it out in one transaction, and answers when the disk has it.
//! Not here: reading.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::pace::Pace;
use super::{StoreError, sweep};
use crate::clock::Clock;

/// Writes that may wait; beyond it a request is told to come again.
const WAITING: usize = 1024;
/// Writes that share a transaction, and with it one wait for the disk.
const TOGETHER: usize = 64;
/// Between two looks for what has expired.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// The way to the thread.
#[derive(Clone)]
pub(super) struct Queue(SyncSender<Box<dyn Job>>);

impl Queue {
    pub(super) fn push(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        self.0.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Closed,
        })
    }
}

/// Something to write.
pub(super) trait Job: Send {
    /// Does it, within a transaction; says whether it shall stay.
    fn run(&mut self, connection: &Connection) -> Stays;
    /// Tells whoever waits how it ended.
    fn finish(self: Box<Self>, committed: Result<(), StoreError>);
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stays {
    Yes,
    No,
}

/// A job that gives a value.
pub(super) struct Work<T, F> {
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Work<T, F> {
    pub(super) fn new(work: F, reply: oneshot::Sender<Result<T, StoreError>>) -> Self {
        Self { work: Some(work), result: None, reply }
    }
}

impl<T, F> Job for Work<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, connection: &Connection) -> Stays {
        let Some(work) = self.work.take() else {
            return Stays::No;
        };
        // One request that meets a bug must not end the thread that serves all others.
        let done = catch_unwind(AssertUnwindSafe(|| work(connection)));
        let result = done.map_or(Err(StoreError::Closed), |done| done.map_err(StoreError::from));
        let stays = if result.is_ok() { Stays::Yes } else { Stays::No };
        self.result = Some(result);
        stays
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match (self.result, committed) {
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StoreError::Closed),
        };
        // Who asked may have gone away.
        let _ = self.reply.send(result);
    }
}

/// Starts the thread; it ends with the last `Queue`.
pub(super) fn start(mut connection: Connection, clock: Clock) -> io::Result<Queue> {
    let (queue, jobs) = sync_channel(WAITING);
    std::thread::Builder::new().name("store".to_owned()).spawn(move || write(&mut connection, &jobs, &clock))?;
    Ok(Queue(queue))
}

fn write(connection: &mut Connection, jobs: &Receiver<Box<dyn Job>>, clock: &Clock) {
    let mut sweep_at = Instant::now();
    let mut pace = Pace::new(clock.now(), clock.instant());
    loop {
        match jobs.recv_timeout(sweep_at.saturating_duration_since(Instant::now())) {
            Ok(first) => {
                let rest = jobs.try_iter().take(TOGETHER - 1);
                carry_out(connection, std::iter::once(first).chain(rest).collect());
            }
            Err(RecvTimeoutError::Timeout) if !pace.is_steady(clock.now(), clock.instant()) => {
                sweep_at = Instant::now() + SWEEP_EVERY;
            }
            Err(RecvTimeoutError::Timeout) => {
                let swept = sweep::sweep(connection, clock.now());
                if let Err(error) = &swept {
                    tracing::warn!(%error, "what has expired could not be removed; trying again later");
                }
                // Not all at once: requests wait meanwhile.
                let more = swept.is_ok_and(|swept| swept == sweep::Swept::Partly);
                sweep_at = Instant::now() + if more { Duration::from_millis(20) } else { SWEEP_EVERY };
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn carry_out(connection: &mut Connection, mut jobs: Vec<Box<dyn Job>>) {
    let committed = together(connection, &mut jobs).map_err(StoreError::from);
    if let Err(error) = &committed {
        tracing::error!(%error, "nothing could be written");
    }
    for job in jobs {
        job.finish(committed.clone());
    }
}

fn together(connection: &mut Connection, jobs: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in jobs {
        transaction.execute_batch("SAVEPOINT job")?;
        let end = match job.run(&transaction) {
            Stays::Yes => "RELEASE job",
            Stays::No => "ROLLBACK TO job; RELEASE job",
        };
        transaction.execute_batch(end)?;
    }
    transaction.commit()
}
