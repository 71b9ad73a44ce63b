//! What the ledger makes of a clock that is set: nothing becomes old by it, and nothing new.
//! Not here: clocks.

use super::{LONGEST_WAIT_MS, Ledger};
use crate::journal::Entry;
use crate::timestamp;

/// Events after this one came while this desk was there, so none of them is older than it, whatever its time says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fresh {
    pub(super) after: u64,
    pub(super) since_ms: i64,
}

impl Ledger {
    /// When it happened, by the clock of now.
    pub(super) fn time_of(&self, entry: &Entry, now_ms: i64) -> i64 {
        let at_ms = timestamp::parse(&entry.note.at).map_or(now_ms, |at| at.min(now_ms));
        let fresh = self.fresh.filter(|fresh| entry.seq > fresh.after);
        fresh.map_or(at_ms, |fresh| at_ms.max(fresh.since_ms.min(now_ms)))
    }

    /// The clock was set, by so much: what was kept by it moves with it.
    pub(in crate::alerts) fn shift(&mut self, by_ms: i64) {
        let moved = |time: &mut i64| *time = time.saturating_add(by_ms);
        self.troubles.iter_mut().filter_map(|trouble| trouble.well_since_ms.as_mut()).for_each(moved);
        self.accounts.values_mut().for_each(|account| account.shift(by_ms));
        self.letters.iter_mut().flat_map(|letter| [&mut letter.written_ms, &mut letter.due_ms]).for_each(moved);
        self.fresh.iter_mut().for_each(|fresh| moved(&mut fresh.since_ms));
    }

    /// Nothing has happened later than now: a clock that was set back while nobody looked must not silence anything.
    pub(super) fn follow_clock(&mut self, now_ms: i64) {
        for trouble in &mut self.troubles {
            trouble.well_since_ms = trouble.well_since_ms.map(|since| since.min(now_ms));
        }
        self.accounts.values_mut().for_each(|account| account.follow_clock(now_ms));
        for letter in &mut self.letters {
            letter.written_ms = letter.written_ms.min(now_ms);
            letter.due_ms = letter.due_ms.min(now_ms.saturating_add(LONGEST_WAIT_MS));
        }
    }
}
