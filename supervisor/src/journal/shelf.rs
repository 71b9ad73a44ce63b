//! The newest events in memory, and those who wait for more. Whoever follows keeps a number, not a queue: a reader
//! that stops reading costs nothing, and is told what it missed.
//! Not here: the thread that fills it (`writer`).

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};

use super::entry::{Entry, Kind, Note};
use super::files::Files;
use super::inbox::Inbox;
use super::query::{Filter, Page, Since};
use super::{SHELF_EVENTS, files};

/// A reader gets at most so many bytes at once, and one event more.
const BATCH: usize = 64 * 1024;
/// A note is shown as soon as it is in a file: this much later the disk has stopped.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);
/// Each occupies a thread that launches need, too, and a dead disk may keep it.
static SCANS: Semaphore = Semaphore::const_new(4);

/// An event, and how it is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) entry: Entry,
    /// Without the end of the line.
    pub(crate) json: Bytes,
}

impl Line {
    pub(super) fn new(entry: Entry) -> io::Result<Self> {
        let json = serde_json::to_vec(&entry)?.into();
        Ok(Self { entry, json })
    }

    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        let entry: Entry = serde_json::from_slice(json).ok()?;
        // Whatever else finds numbers goes by the beginning of the line.
        (files::seq_of(json) == Some(entry.seq)).then(|| Self { entry, json: Bytes::copy_from_slice(json) })
    }

    pub(super) fn seq(&self) -> u64 {
        self.entry.seq
    }
}

#[derive(Debug)]
pub(super) struct Shelf {
    files: Files,
    held: Mutex<Held>,
    /// Changes with everything that readers may want to know.
    told: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Held {
    lines: VecDeque<Arc<Line>>,
    /// The newest event that is not on the shelf any more; 0 when it holds all there ever was.
    before: u64,
    /// The newest event.
    last: u64,
    /// The newest event that is in a file.
    written: u64,
    opened: bool,
    trouble: Option<String>,
}

/// What the shelf has behind a number.
enum Found {
    Lines(Vec<Arc<Line>>),
    Nothing,
    /// It reaches back to this number only.
    Before(u64),
}

impl Shelf {
    pub(super) fn new(dir: &Path) -> Self {
        Self { files: Files::new(dir), held: Mutex::default(), told: watch::Sender::new(0) }
    }

    /// What the files held; from now on readers are answered.
    pub(super) fn open(&self, before: u64, lines: VecDeque<Arc<Line>>) {
        let last = lines.back().map_or(before, |line| line.seq());
        *self.held() = Held { lines, before, last, written: last, opened: true, trouble: None };
        self.tell();
    }

    /// The files cannot be used; readers are answered all the same.
    pub(super) fn fail(&self, trouble: String) {
        let mut held = self.held();
        (held.opened, held.trouble) = (true, Some(trouble));
        drop(held);
        self.tell();
    }

    /// Shows events to readers. Gives how many fell off that are in no file.
    pub(super) fn publish(&self, lines: Vec<Arc<Line>>) -> u64 {
        let mut held = self.held();
        let mut lost = 0;
        for line in lines {
            held.last = line.seq();
            held.lines.push_back(line);
            if held.lines.len() > SHELF_EVENTS
                && let Some(old) = held.lines.pop_front()
            {
                held.before = old.seq();
                lost += u64::from(old.seq() > held.written);
            }
        }
        drop(held);
        self.tell();
        lost
    }

    /// Everything that was shown, or is about to be, is in the files.
    pub(super) fn set_written(&self, seq: u64) {
        let mut held = self.held();
        (held.written, held.trouble) = (seq, None);
    }

    /// What was shown and is in no file.
    pub(super) fn unwritten(&self) -> Vec<Arc<Line>> {
        let held = self.held();
        held.lines.iter().filter(|line| line.seq() > held.written).cloned().collect()
    }

    /// `None`: the files have not been opened yet.
    fn last(&self) -> Option<u64> {
        let held = self.held();
        held.opened.then_some(held.last)
    }

    fn after(&self, cursor: u64) -> Found {
        let held = self.held();
        if cursor >= held.last {
            return Found::Nothing;
        }
        if cursor < held.before {
            return Found::Before(held.before);
        }
        let mut bytes = 0;
        let fits = |line: &&Arc<Line>| {
            let fits = bytes < BATCH;
            bytes += line.json.len();
            fits
        };
        Found::Lines(held.lines.iter().filter(|line| line.seq() > cursor).take_while(fits).cloned().collect())
    }

    fn tell(&self) {
        self.told.send_modify(|version| *version = version.wrapping_add(1));
    }

    /// Nothing panics while it holds this.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that reads, at its own pace.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    inbox: Arc<Inbox>,
    shelf: Arc<Shelf>,
    told: watch::Receiver<u64>,
}

impl Reader {
    pub(super) fn new(inbox: &Arc<Inbox>, shelf: &Arc<Shelf>) -> Self {
        Self { inbox: Arc::clone(inbox), shelf: Arc::clone(shelf), told: shelf.told.subscribe() }
    }

    /// The number of the newest event, once everything noted so far has been written, or given up.
    pub(crate) async fn last_noted(&mut self) -> u64 {
        self.inbox.written().await;
        self.last().await
    }

    /// The number of the newest event, once the files have been opened.
    pub(crate) async fn last(&mut self) -> u64 {
        loop {
            self.told.mark_unchanged();
            if let Some(last) = self.shelf.last() {
                return last;
            }
            // The sender is ours, too, so it cannot be gone.
            let _ = self.told.changed().await;
        }
    }

    /// What is wrong with the journal now.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.shelf.held().trouble.clone()
    }

    /// At most `limit` events of the past. What was noted so far is among them: who has seen a state finds how it came about.
    ///
    /// # Errors
    /// When a file cannot be read, or `WouldBlock` when too many read already.
    pub(crate) async fn page(&mut self, since: Since, filter: Filter, limit: usize) -> io::Result<Page> {
        // A disk that takes nothing keeps nobody from what there is.
        let _ = tokio::time::timeout(SHOWN_WITHIN, self.inbox.shown()).await;
        self.last().await;
        let shelf = Arc::clone(&self.shelf);
        scan(move || {
            let unwritten = shelf.unwritten().into_iter().map(|line| line.entry.clone());
            shelf.files.page(since, &filter, limit, unwritten)
        })
        .await
    }

    /// The next events behind `cursor`, as soon as there is one; the first may say that some are missing.
    ///
    /// # Errors
    /// As for `page`.
    pub(crate) async fn next(&mut self, cursor: u64) -> io::Result<Vec<Arc<Line>>> {
        loop {
            self.told.mark_unchanged();
            match self.shelf.after(cursor) {
                Found::Lines(lines) => return Ok(lines),
                Found::Before(before) => return self.older(cursor, before).await,
                Found::Nothing => {
                    // The sender is ours, too, so it cannot be gone.
                    let _ = self.told.changed().await;
                }
            }
        }
    }

    async fn older(&self, cursor: u64, before: u64) -> io::Result<Vec<Arc<Line>>> {
        let files = self.shelf.files.clone();
        let (oldest, mut lines) = scan(move || {
            let (mut lines, mut bytes) = (Vec::new(), 0);
            let oldest = files.scan(cursor, |_, json| {
                bytes += json.len();
                lines.extend(Line::parse(json).map(Arc::new));
                if bytes < BATCH { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            Ok((oldest, lines))
        })
        .await?;
        // Files that were removed: the shelf goes on where it begins.
        let kept = if lines.is_empty() { before + 1 } else { oldest.unwrap_or(before + 1) };
        if cursor > 0 && cursor + 1 < kept {
            lines.insert(0, Arc::new(missing(cursor, kept)?));
        } else if lines.is_empty() {
            lines.push(Arc::new(missing(0, kept)?));
        }
        Ok(lines)
    }
}

/// Stands for the events between two numbers, under the last of them.
fn missing(cursor: u64, kept: u64) -> io::Result<Line> {
    let at = crate::timestamp::now();
    let lost = kept - cursor - 1;
    let cause = format!("up to {lost} events from {} on are no longer kept", cursor + 1);
    Line::new(Entry { seq: kept - 1, note: Note::new(at, Kind::Gap, &cause).lost(lost) })
}

async fn scan<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    // The semaphore is never closed.
    let _place = SCANS.acquire().await.map_err(io::Error::other)?;
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
