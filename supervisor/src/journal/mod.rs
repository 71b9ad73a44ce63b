//! The journal: what happened, numbered, in order, on disk; across restarts of control and of the supervisor.
//! Not here: what is worth an event (`control::history`), HTTP (`api::events`).
//!
//! The loop hands notes to one thread and never waits for it. An event is shown to readers only once it is in the
//! file, so that a control that dies cannot number another one alike; see `number` for full disks and power cuts.

mod entry;
mod files;
mod inbox;
mod number;
mod query;
mod shelf;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;

pub(crate) use entry::{Ended, Entry, Kind, LimitKey, Note, PassedLimit, STARTED, TOOK_OVER};
pub(crate) use files::Files;
pub(crate) use query::{Filter, Page, Since};
pub(crate) use shelf::{Line, Reader};

use inbox::Inbox;
use shelf::Shelf;

/// There are two files: the one that is written, and the one before it. Each holds at most so many bytes …
const FILE_BYTES: u64 = 4 * 1024 * 1024;
/// … and at most so many events.
const FILE_EVENTS: u64 = 10_000;
/// Events that are kept in memory, too, for those who follow, and for a disk that is full.
const SHELF_EVENTS: usize = 256;
/// Of a cause, which may quote a service, this much is kept, in bytes.
const CAUSE: usize = 1024;
/// No line is longer: a cause of quotes only doubles, and all the rest is small.
const LINE: usize = 16 * 1024;

/// The writing end.
#[derive(Debug)]
pub(crate) struct Journal {
    inbox: Arc<Inbox>,
    shelf: Arc<Shelf>,
}

impl Journal {
    /// Begins a thread that opens the files in `dir` and writes. Nothing here waits for a disk.
    pub(crate) fn start(dir: &Path) -> std::io::Result<Self> {
        let inbox = Arc::new(Inbox::default());
        let shelf = Arc::new(Shelf::new(dir));
        let writer = writer::Writer::new(dir, Arc::clone(&shelf));
        let taken = Arc::clone(&inbox);
        std::thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run(&taken))?;
        Ok(Self { inbox, shelf })
    }

    /// Notes what happened; the thread has it after the next `hand_over` at the latest. When too much waits already it is
    /// dropped, and a `gap` tells how much was.
    pub(crate) fn note(&self, note: Note) {
        self.inbox.put(note);
    }

    /// What was noted so far is written and shown.
    pub(crate) fn hand_over(&self) {
        self.inbox.hand_over();
    }

    /// Ready once everything noted so far is written. A dead disk may keep it for ever.
    pub(crate) async fn written(&self) {
        self.inbox.written().await;
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::new(&self.inbox, &self.shelf)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.inbox.close();
    }
}
