//! When each check of a run is tried, one try at a time.
//! Not here: carrying out a check, and what its answers add up to (`gates`, `vitals`).

use crate::spec::{Check, CheckId};
use crate::time::{Millis, Time};

/// One check of a live run. There is one `next`, so there is never a second try beside the first.
#[derive(Debug, Clone)]
pub(crate) struct Tries {
    pub(crate) check: Check,
    pub(crate) next: Next,
    pub(crate) pause: Millis,
    pub(crate) failures: u32,
    /// It has passed since it was first tried.
    pub(crate) passed: bool,
    /// What the last try saw, if it failed.
    pub(crate) answer: Option<String>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Next {
    Due(Time),
    UnderWay,
}

impl Tries {
    fn new(check: &Check, first: Time, pause: Millis) -> Self {
        // A pause of nothing would be a loop without rest.
        let pause = pause.max(1);
        Self { check: check.clone(), next: Next::Due(first), pause, failures: 0, passed: false, answer: None }
    }

    fn deadline(&self) -> Option<Time> {
        match self.next {
            Next::Due(at) => Some(at),
            Next::UnderWay => None,
        }
    }

    /// The same check, under another policy.
    pub(crate) fn carry_on(&mut self, first: Time, pause: Millis) {
        self.pause = pause.max(1);
        if let Next::Due(at) = &mut self.next {
            *at = first.min(*at);
        }
    }

    fn failing(&self) -> Option<(String, String)> {
        self.answer.as_ref().map(|answer| (self.check.title.clone(), answer.clone()))
    }
}

/// All checks of a run that are tried at one time of its life.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checks {
    pub(crate) tries: Vec<Tries>,
    /// The ids of checks that were dropped while a try was under way: until it is answered, no other check bears them.
    pub(crate) strays: Vec<CheckId>,
}

impl Checks {
    pub(crate) fn new(checks: &[Check], first: Time, pause: Millis) -> Self {
        Self { tries: checks.iter().map(|check| Tries::new(check, first, pause)).collect(), strays: Vec::new() }
    }

    /// Others from now on: each is as `renewed` says, given the one that was there before, if the check is the same,
    /// whatever the policy around it.
    pub(crate) fn renew(&mut self, fresh: Self, mut renewed: impl FnMut(Option<Tries>, Tries) -> Option<Tries>) {
        let mut known = std::mem::take(&mut self.tries);
        for fresh in fresh.tries {
            let place = known.iter().position(|tries| tries.check == fresh.check);
            let same = place.map(|place| known.remove(place));
            self.tries.extend(renewed(same, fresh));
        }
        let dropped = known.iter().filter(|tries| matches!(tries.next, Next::UnderWay));
        self.strays.extend(dropped.map(|tries| tries.check.id));
    }

    /// When the next tries are due; one whose id is still taken waits for an answer instead.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = Time> {
        self.tries.iter().filter(|tries| !self.strays.contains(&tries.check.id)).filter_map(Tries::deadline)
    }

    /// From now on they are under way.
    pub(crate) fn take_due(&mut self, now: Time) -> Vec<CheckId> {
        let due = self.tries.iter_mut().filter(|tries| tries.deadline().is_some_and(|at| at <= now));
        due.filter(|tries| !self.strays.contains(&tries.check.id))
            .map(|tries| {
                tries.next = Next::UnderWay;
                tries.check.id
            })
            .collect()
    }

    /// Where the check is that has been answered; `None` when it was dropped meanwhile.
    pub(crate) fn answered(&mut self, check: CheckId) -> Option<usize> {
        if let Some(stray) = self.strays.iter().position(|stray| *stray == check) {
            self.strays.swap_remove(stray);
            return None;
        }
        self.tries.iter().position(|tries| tries.check.id == check && matches!(tries.next, Next::UnderWay))
    }

    pub(crate) fn try_again(&mut self, check: CheckId, now: Time) {
        if let Some(place) = self.answered(check) {
            self.tries[place].next = Next::Due(now);
        }
    }

    pub(crate) fn shift(&mut self, gap: Millis) {
        for tries in &mut self.tries {
            if let Next::Due(at) = &mut tries.next {
                *at = at.after(gap);
            }
        }
    }

    pub(crate) fn failing(&self) -> Vec<(String, String)> {
        self.tries.iter().filter_map(Tries::failing).collect()
    }
}
