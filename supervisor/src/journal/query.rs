//! Questions about the past.
//! Not here: following what comes (`shelf`).

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;

use supervisor_core::ServiceName;

use super::entry::{Entry, Kind, Note};
use super::files::Files;
use crate::timestamp;

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// With the newest, as many as fit.
    Newest,
    /// Behind this number.
    Seq(u64),
    /// At this time, in milliseconds since 1970.
    Time(i64),
}

/// Which events; an empty list means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) services: Vec<ServiceName>,
    pub(crate) kinds: Vec<Kind>,
}

impl Filter {
    /// That something is missing concerns everyone.
    pub(crate) fn admits(&self, note: &Note) -> bool {
        let service =
            self.services.is_empty() || note.service.as_ref().is_some_and(|service| self.services.contains(service));
        let kind = self.kinds.is_empty() || self.kinds.contains(&note.kind);
        note.kind == Kind::Gap || (service && kind)
    }
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Page {
    /// The oldest first.
    pub(crate) events: Vec<Entry>,
    /// Go on with `Since::Seq` of this.
    pub(crate) next: u64,
    /// There are more than fitted in.
    pub(crate) more: bool,
    /// The oldest that is kept; 0 when none is.
    pub(crate) oldest: u64,
}

impl Files {
    /// At most `limit` events, from the files and, behind them, from `unwritten`.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn page(
        &self,
        since: Since,
        filter: &Filter,
        limit: usize,
        unwritten: impl IntoIterator<Item = Entry>,
    ) -> io::Result<Page> {
        let after = match since {
            Since::Seq(seq) => seq,
            Since::Newest | Since::Time(_) => 0,
        };
        let mut collect = Collect { since, filter, limit, found: VecDeque::new(), seen: after, more: false };
        let oldest = self.scan(after, |seq, line| {
            collect.seen = seq;
            match serde_json::from_slice(line) {
                Ok(entry) => collect.take(entry),
                Err(_) => ControlFlow::Continue(()),
            }
        })?;
        for entry in unwritten {
            if entry.seq > collect.seen && !collect.more {
                collect.seen = entry.seq;
                let _ = collect.take(entry);
            }
        }
        let Collect { found, seen, more, .. } = collect;
        let forward = more && since != Since::Newest;
        let next = found.back().filter(|_| forward).map_or(seen, |last| last.seq);
        Ok(Page { events: found.into(), next, more, oldest: oldest.unwrap_or(0) })
    }
}

struct Collect<'a> {
    since: Since,
    filter: &'a Filter,
    limit: usize,
    found: VecDeque<Entry>,
    seen: u64,
    more: bool,
}

impl Collect<'_> {
    fn take(&mut self, entry: Entry) -> ControlFlow<()> {
        let early = match self.since {
            Since::Time(from) => timestamp::parse(&entry.note.at).is_none_or(|at| at < from),
            Since::Newest | Since::Seq(_) => false,
        };
        if early || !self.filter.admits(&entry.note) {
            return ControlFlow::Continue(());
        }
        if self.found.len() < self.limit {
            self.found.push_back(entry);
            return ControlFlow::Continue(());
        }
        self.more = true;
        match self.since {
            Since::Newest => {
                if self.found.pop_front().is_some() {
                    self.found.push_back(entry);
                }
                ControlFlow::Continue(())
            }
            Since::Seq(_) | Since::Time(_) => ControlFlow::Break(()),
        }
    }
}
