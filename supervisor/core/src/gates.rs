//! What must be so before a start is ready.
//! Not here: when a check is tried (`checks`), and what follows.

use std::collections::{BTreeMap, BTreeSet};

use crate::checks::{Checks, Next};
use crate::event::ProbeOutcome;
use crate::spec::{Check, CheckId, Readiness, Sign};
use crate::time::{Millis, Time};

/// The pause between two tries of a readiness check doubles up to this.
const LONGEST_PAUSE: Millis = 1_000;

/// What a start still waits for.
#[derive(Debug, Clone)]
pub(crate) struct Gates {
    /// Those that must be given.
    signs: BTreeMap<Sign, String>,
    /// Those that were given.
    seen: BTreeSet<Sign>,
    delay_until: Option<Time>,
    /// Those that have not passed.
    pub(crate) checks: Checks,
    /// When the start has failed.
    ready_by: Option<Time>,
}

impl Gates {
    pub(crate) fn new(readiness: &Readiness, seen: BTreeSet<Sign>, now: Time) -> Self {
        Self {
            signs: readiness.signs.clone(),
            seen,
            delay_until: readiness.delay.map(|delay| now.after(delay)),
            checks: Checks::new(&readiness.checks, now, readiness.interval),
            ready_by: (readiness.deadline != 0).then(|| now.after(readiness.deadline)),
        }
    }

    /// Other gates for the same start: what is open stays open, and what is new or has another span begins now.
    pub(crate) fn update(&mut self, old: &Readiness, new: &Readiness, now: Time) {
        let mut fresh = Self::new(new, BTreeSet::new(), now);
        // One that was there before and is no more has passed.
        let has_passed = |check: &Check| old.checks.contains(check);
        self.checks.renew(fresh.checks, |same, fresh| same.or_else(|| (!has_passed(&fresh.check)).then_some(fresh)));
        // A sign that was not asked for at the start may have been given unseen.
        self.signs = self.signs.keys().filter_map(|sign| fresh.signs.remove_entry(sign)).collect();
        if old.delay != new.delay {
            self.delay_until = fresh.delay_until;
        }
        if old.deadline != new.deadline {
            self.ready_by = fresh.ready_by;
        }
    }

    /// All that were given hold.
    pub(crate) fn open(&self, now: Time) -> bool {
        self.signs_given() && self.checks.tries.is_empty() && self.delay_until.is_none_or(|until| until <= now)
    }

    /// What is missing although its time is over, in words.
    pub(crate) fn overdue(&self, now: Time) -> Option<String> {
        self.ready_by.is_some_and(|by| by <= now).then(|| {
            let mut missing = self.missing();
            if missing.is_empty() {
                missing.push("its delay is longer".to_owned());
            }
            missing.join("; ")
        })
    }

    /// A run that did not have to say it may.
    pub(crate) fn sign_seen(&mut self, sign: Sign) {
        self.seen.insert(sign);
    }

    /// Those that were given.
    pub(crate) fn signs(&self) -> &BTreeSet<Sign> {
        &self.seen
    }

    pub(crate) fn awaits(&self, sign: Sign) -> bool {
        self.signs.contains_key(&sign) && !self.seen.contains(&sign)
    }

    fn signs_given(&self) -> bool {
        self.signs.keys().all(|sign| self.seen.contains(sign))
    }

    pub(crate) fn probed(&mut self, check: CheckId, outcome: ProbeOutcome, now: Time) {
        let Some(place) = self.checks.answered(check) else {
            return;
        };
        match outcome {
            ProbeOutcome::Passed => {
                self.checks.tries.remove(place);
            }
            ProbeOutcome::Failed(answer) | ProbeOutcome::Untried(answer) => {
                let tries = &mut self.checks.tries[place];
                tries.answer = Some(answer);
                tries.next = Next::Due(now.after(tries.pause));
                tries.pause = tries.pause.saturating_mul(2).min(LONGEST_PAUSE.max(tries.pause));
            }
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        // A delay that is over while another gate is shut would be a deadline in the past.
        let delay = self.delay_until.filter(|_| self.signs_given() && self.checks.tries.is_empty());
        self.checks.deadlines().chain(self.ready_by).chain(delay).min()
    }

    pub(crate) fn shift(&mut self, gap: Millis, least: Time) {
        self.checks.shift(gap);
        self.delay_until = self.delay_until.map(|at| at.after(gap));
        self.ready_by = self.ready_by.map(|at| at.after(gap).max(least));
    }

    /// What is waited for, each with what was last seen of it.
    pub(crate) fn missing(&self) -> Vec<String> {
        let signs = self.signs.iter().filter(|(sign, _)| !self.seen.contains(sign)).map(|(_, missing)| missing.clone());
        let checks = self.checks.tries.iter().map(|tries| match &tries.answer {
            Some(answer) => format!("{}: {answer}", tries.check.title),
            None => format!("{}: no answer", tries.check.title),
        });
        signs.chain(checks).collect()
    }
}
