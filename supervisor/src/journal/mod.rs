//! The journal: what happened, numbered, in order, on disk; across restarts of control and of the supervisor.
//! Not here: what is worth an event (`control::history`), HTTP (`api::events`).
//!
//! The loop hands notes to one thread and never waits for it. An event is shown to readers only once it is in the
//! file, so that a control that dies cannot number another one alike; see `number` for full disks and power cuts.

mod entry;
mod files;
mod number;
mod query;
mod shelf;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use tokio::sync::oneshot;

pub(crate) use entry::{Ended, Entry, Kind, LimitKey, Note, PassedLimit, STARTED, TOOK_OVER};
pub(crate) use files::Files;
pub(crate) use query::{Filter, Page, Since};
pub(crate) use shelf::{Line, Reader};

use shelf::Shelf;

/// There are two files: the one that is written, and the one before it. Each holds at most so many bytes …
const FILE_BYTES: u64 = 4 * 1024 * 1024;
/// … and at most so many events.
const FILE_EVENTS: u64 = 10_000;
/// Events that are kept in memory, too, for those who follow, and for a disk that is full.
const SHELF_EVENTS: usize = 256;
/// Notes that wait for the thread; further ones are dropped and counted.
const QUEUE: usize = 1024;
/// Of a cause, which may quote a service, this much is kept, in bytes.
const CAUSE: usize = 1024;
/// No line is longer: a cause of quotes only doubles, and all the rest is small.
const LINE: usize = 16 * 1024;

/// The writing end; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    queue: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
    shelf: Arc<Shelf>,
}

#[derive(Debug)]
enum Item {
    Note(Box<Note>),
    /// Told once everything before it is written, or given up.
    Written(oneshot::Sender<()>),
}

impl Journal {
    /// Begins a thread that opens the files in `dir` and writes. Nothing here waits for a disk.
    pub(crate) fn start(dir: &Path) -> std::io::Result<Self> {
        let (queue, receiver) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let shelf = Arc::new(Shelf::new(dir));
        let writer = writer::Writer::new(dir, Arc::clone(&dropped), Arc::clone(&shelf));
        std::thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run(&receiver))?;
        Ok(Self { queue, dropped, shelf })
    }

    /// Notes what happened. When too much waits already it is dropped, and a `gap` tells how much was.
    pub(crate) fn note(&self, note: Note) {
        if self.queue.try_send(Item::Note(Box::new(note))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ready once everything noted so far is written. A dead disk may keep it for ever.
    pub(crate) async fn written(&self) {
        let (told, tell) = oneshot::channel();
        if self.queue.try_send(Item::Written(told)).is_ok() {
            let _ = tell.await;
        }
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::new(&self.shelf)
    }
}
