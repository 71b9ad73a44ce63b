//! What shows that a ready run is alive, and when it counts as dead.
//! Not here: when a check is tried (`checks`), and what follows.

use crate::checks::{Checks, Next};
use crate::event::ProbeOutcome;
use crate::spec::{CheckId, Liveness};
use crate::time::{Millis, Time};
use crate::words;

/// What shows that a ready run is alive.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vitals {
    pub(crate) checks: Checks,
    tolerated: u32,
    watchdog: Option<Watchdog>,
}

#[derive(Debug, Clone)]
struct Watchdog {
    span: Millis,
    by: Time,
}

impl Vitals {
    pub(crate) fn new(liveness: Option<&Liveness>, strays: Vec<CheckId>, now: Time) -> Self {
        let Some(liveness) = liveness else {
            return Self { checks: Checks { strays, ..Checks::default() }, ..Self::default() };
        };
        let first = now.after(liveness.interval.max(1));
        let watchdog = liveness.watchdog.map(|span| Watchdog { span: span.max(1), by: now.after(span.max(1)) });
        Self {
            checks: Checks { strays, ..Checks::new(&liveness.checks, first, liveness.interval) },
            tolerated: liveness.failures,
            watchdog,
        }
    }

    /// Another policy for the same run: what stays keeps its count, what is new begins now.
    pub(crate) fn update(&mut self, liveness: Option<&Liveness>, now: Time) {
        let fresh = Self::new(liveness, Vec::new(), now);
        self.checks.renew(fresh.checks, |same, fresh| match same {
            Some(mut same) => {
                if let Next::Due(first) = fresh.next {
                    same.carry_on(first, fresh.pause);
                }
                Some(same)
            }
            None => Some(fresh),
        });
        self.tolerated = fresh.tolerated;
        let span = |watchdog: &Option<Watchdog>| watchdog.as_ref().map(|watchdog| watchdog.span);
        if span(&self.watchdog) != span(&fresh.watchdog) {
            self.watchdog = fresh.watchdog;
        }
    }

    pub(crate) fn notified(&mut self, now: Time) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.by = now.after(watchdog.span);
        }
    }

    pub(crate) fn probed(&mut self, check: CheckId, outcome: ProbeOutcome, now: Time) {
        let Some(place) = self.checks.answered(check) else {
            return;
        };
        let tries = &mut self.checks.tries[place];
        tries.next = Next::Due(now.after(tries.pause));
        match outcome {
            ProbeOutcome::Passed => {
                tries.failures = 0;
                tries.passed = true;
                tries.answer = None;
            }
            ProbeOutcome::Failed(answer) => {
                tries.failures = tries.failures.saturating_add(1);
                tries.answer = Some(answer);
            }
            ProbeOutcome::Untried(_) => {}
        }
    }

    /// Tried at once.
    pub(crate) fn hasten(&mut self, now: Time) {
        for tries in &mut self.checks.tries {
            if let Next::Due(at) = &mut tries.next {
                *at = now;
            }
        }
    }

    /// Every check has passed, and none has failed since.
    pub(crate) fn sound(&self) -> bool {
        self.checks.tries.iter().all(|tries| tries.passed && tries.answer.is_none())
    }

    /// Why the run counts as dead, if it does.
    pub(crate) fn dead(&self, now: Time) -> Option<String> {
        let silent = self.watchdog.as_ref().filter(|watchdog| watchdog.by <= now);
        if let Some(watchdog) = silent {
            return Some(format!("no WATCHDOG=1 within {}", words::span(watchdog.span)));
        }
        let failed = self.checks.tries.iter().find(|tries| tries.failures >= self.tolerated.max(1))?;
        let answer = failed.answer.as_deref().unwrap_or("no answer");
        let times =
            if failed.failures == 1 { "once".to_owned() } else { format!("{} times in a row", failed.failures) };
        Some(format!("{} failed {times}: {answer}", failed.check.title))
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let watchdog = self.watchdog.as_ref().map(|watchdog| watchdog.by);
        self.checks.deadlines().chain(watchdog).min()
    }

    /// The watchdog starts anew: whoever feeds it was stalled as we were.
    pub(crate) fn shift(&mut self, gap: Millis, now: Time) {
        self.checks.shift(gap);
        self.notified(now);
    }
}
