//! CPU time that never runs backwards, although processes come and go between two looks.
//! Not here: reading it.

use std::collections::{BTreeMap, HashMap};

use super::forest::Owner;

/// CPU time of one process at one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) owner: Owner,
    pub(super) pid: i32,
    pub(super) parent: i32,
    /// Tells it from another one with the same number.
    pub(super) started: u64,
    /// Its own, in milliseconds.
    pub(super) own_ms: u64,
    /// That of its children that it waited for.
    pub(super) waited_ms: u64,
}

/// What was used since this was made, and before by the processes that lived then.
#[derive(Debug, Default)]
pub(super) struct Meter {
    last: HashMap<i32, Reading>,
    /// In milliseconds.
    pub(super) totals: BTreeMap<Owner, u64>,
}

impl Meter {
    /// Goes on to what is read now. What a process used after the last look and before its end is counted when its
    /// parent waited for it; else it is lost, but what was counted stays counted.
    pub(super) fn advance(&mut self, now: Vec<Reading>) {
        let now: HashMap<i32, Reading> = now.into_iter().map(|reading| (reading.pid, reading)).collect();
        let same = |a: &Reading, b: Option<&Reading>| b.is_some_and(|b| a.started == b.started);
        // A parent that waited for a child has the time of the child now; a part of it was counted already.
        let mut counted: HashMap<i32, u64> = HashMap::new();
        for gone in self.last.values().filter(|last| !same(last, now.get(&last.pid))) {
            *counted.entry(gone.parent).or_default() += gone.own_ms + gone.waited_ms;
        }
        for reading in now.values() {
            let last = self.last.get(&reading.pid).filter(|last| last.started == reading.started);
            let (own, waited) = last.map_or((0, 0), |last| (last.own_ms, last.waited_ms));
            let inherited = counted.get(&reading.pid).copied().unwrap_or(0);
            let gain =
                reading.own_ms.saturating_sub(own) + reading.waited_ms.saturating_sub(waited).saturating_sub(inherited);
            *self.totals.entry(reading.owner.clone()).or_default() += gain;
        }
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner::Control;

    fn reading(pid: i32, parent: i32, own_ms: u64, waited_ms: u64) -> Reading {
        Reading { owner: OWNER, pid, parent, started: 1, own_ms, waited_ms }
    }

    fn total(meter: &mut Meter, now: Vec<Reading>) -> u64 {
        meter.advance(now);
        meter.totals[&OWNER]
    }

    #[test]
    fn a_child_that_was_waited_for_is_counted_once() {
        let mut meter = Meter::default();
        assert_eq!(total(&mut meter, vec![reading(1, 0, 100, 0), reading(2, 1, 500, 0)]), 600);
        // It used 50 more before it ended, and its sibling, which nobody saw, 7.
        assert_eq!(total(&mut meter, vec![reading(1, 0, 110, 557)]), 667);
        assert_eq!(total(&mut meter, vec![reading(1, 0, 110, 557)]), 667);
    }

    #[test]
    fn an_orphan_that_ended_stays_counted() {
        let mut meter = Meter::default();
        assert_eq!(total(&mut meter, vec![reading(1, 0, 100, 0), reading(2, 77, 500, 0)]), 600);
        assert_eq!(total(&mut meter, vec![reading(1, 0, 130, 0)]), 630);
    }

    #[test]
    fn children_that_nobody_waits_for_do_not_turn_it_back() {
        let mut meter = Meter::default();
        assert_eq!(total(&mut meter, vec![reading(1, 0, 100, 0), reading(2, 1, 500, 0)]), 600);
        assert_eq!(total(&mut meter, vec![reading(1, 0, 101, 0)]), 601);
    }

    #[test]
    fn another_process_with_the_same_number_begins_anew() {
        let mut meter = Meter::default();
        assert_eq!(total(&mut meter, vec![reading(1, 0, 100, 0)]), 100);
        let later = Reading { started: 2, ..reading(1, 0, 30, 0) };
        assert_eq!(total(&mut meter, vec![later]), 130);
    }
}
