//! The one thread that numbers events, writes them, and only then shows them.
//! Not here: files (`store`), numbers (`number`).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use supervisor_core::ServiceName;

use super::entry::{Entry, Kind, Note, STARTED};
use super::inbox::Inbox;
use super::number::Numbers;
use super::shelf::{Line, Shelf};
use super::store::Store;
use crate::platform;
use crate::timestamp;

/// Written together.
const BATCH: usize = 256;
/// Of each service, so many of its last ends are known, so that none is written twice.
const ENDS: usize = 64;

pub(super) struct Writer {
    dir: PathBuf,
    shelf: Arc<Shelf>,
    open: Option<Open>,
    ends: Ends,
    /// Events that nobody will see.
    lost: u64,
    /// It was said that the files cannot be used.
    troubled: bool,
}

struct Open {
    store: Store,
    numbers: Numbers,
}

impl Writer {
    pub(super) fn new(dir: &Path, shelf: Arc<Shelf>) -> Self {
        let ends = Ends::default();
        Self { dir: dir.to_owned(), shelf, open: None, ends, lost: 0, troubled: false }
    }

    /// Until nobody notes anything any more.
    pub(super) fn run(mut self, inbox: &Inbox) {
        if let Err(error) = self.try_open() {
            self.complain(&error);
        }
        while let Some(mut taken) = inbox.take() {
            self.lost += taken.dropped;
            while !taken.notes.is_empty() {
                let later = taken.notes.split_off(taken.notes.len().min(BATCH));
                self.put(std::mem::replace(&mut taken.notes, later));
            }
            for told in taken.shown {
                let _ = told.send(());
            }
            if !taken.written.is_empty()
                && let Some(open) = &self.open
            {
                open.store.sync();
            }
            for told in taken.written {
                let _ = told.send(());
            }
        }
    }

    fn put(&mut self, notes: Vec<Note>) {
        let mut notes: Vec<Note> = notes.into_iter().filter(|note| self.ends.is_news(note)).collect();
        if let Err(error) = self.try_open() {
            self.lost += notes.len() as u64;
            self.complain(&error);
            return;
        }
        if self.lost > 0 {
            let cause = format!("{} events were lost; more came than could be written", self.lost);
            notes.insert(0, Note::new(timestamp::now(), Kind::Gap, &cause).lost(self.lost));
            self.lost = 0;
        }
        let Some(Open { store, numbers }) = &mut self.open else { return };
        let (count, mut lines) = (notes.len(), Vec::new());
        let numbered = notes.into_iter().try_for_each(|note| {
            lines.push(Arc::new(Line::new(Entry { seq: numbers.take()?, note })?));
            Ok(())
        });
        let mut all = self.shelf.unwritten();
        all.extend(lines.iter().cloned());
        if all.is_empty() && numbered.is_ok() {
            return;
        }
        match numbered.and_then(|()| store.append(&all)) {
            Ok(()) => {
                self.troubled = false;
                // Should that fail, numbers are skipped one day.
                let _ = numbers.set_adrift(false);
                if let Some(last) = all.last() {
                    self.shelf.set_written(last.seq());
                }
                self.shelf.publish(lines);
            }
            Err(error) => {
                // Better seen and not kept than neither, provided that their numbers never come again.
                self.lost += match numbers.set_adrift(true) {
                    Ok(()) => (count - lines.len()) as u64 + self.shelf.publish(lines),
                    Err(_) => count as u64,
                };
                self.complain(&error);
            }
        }
    }

    fn try_open(&mut self) -> io::Result<()> {
        if self.open.is_some() {
            return Ok(());
        }
        let ends = &mut self.ends;
        let (store, past) = Store::open(&self.dir, |line| {
            ends.is_news(&line.entry.note);
        })?;
        let path = super::Files::new(&self.dir);
        let (numbers, adrift) = Numbers::open(&path.numbers(), &platform::boot_id(), past.last())?;
        self.open = Some(Open { store, numbers });
        let damaged = past.damaged;
        self.shelf.open(past.before, past.lines);
        let mut notes = Vec::new();
        if damaged > 0 {
            let aside = path.damaged().display().to_string();
            tracing::warn!(lines = damaged, aside, "the journal of events was damaged");
            let cause = format!("{damaged} lines of the journal could not be read; they are kept in {aside}");
            notes.push(Note::new(timestamp::now(), Kind::Gap, &cause).lost(damaged));
        }
        if adrift {
            let cause = "events are missing: an earlier control could not write them";
            notes.push(Note::new(timestamp::now(), Kind::Gap, cause));
        }
        if !notes.is_empty() {
            self.put(notes);
        }
        Ok(())
    }

    /// Said once, until it is well again.
    fn complain(&mut self, error: &io::Error) {
        if !self.troubled {
            tracing::warn!(%error, "the journal of events cannot be written");
        }
        self.troubled = true;
        self.shelf.fail(format!("events cannot be written: {error}"));
    }
}

/// The ends of this supervisor's runs. A control that is killed between writing an end and telling the keeper so
/// leaves it to the next one, which hears it again.
#[derive(Default)]
struct Ends {
    known: BTreeMap<ServiceName, BTreeSet<(u64, i32)>>,
}

impl Ends {
    /// Not an end that is known.
    fn is_news(&mut self, note: &Note) -> bool {
        if note.kind == Kind::Supervisor && note.cause.starts_with(STARTED) {
            // Generations are counted anew.
            self.known.clear();
        }
        let pid = note.exit.as_ref().and_then(|exit| exit.pid);
        let (Some(service), Some(generation), Some(pid)) = (&note.service, note.generation, pid) else { return true };
        let known = self.known.entry(service.clone()).or_default();
        let news = known.insert((generation, pid));
        if known.len() > ENDS {
            known.pop_first();
        }
        news
    }
}
