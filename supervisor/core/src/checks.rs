//! The gates of a start and the vitals of a ready run: when each check is tried, and what its answers add up to.
//! Not here: carrying out a check, and what follows from the sum.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::ProbeOutcome;
use crate::spec::{Check, CheckId, Liveness, Readiness, Sign};
use crate::time::{Millis, Time};
use crate::words;

/// The pause between two tries of a readiness check doubles up to this.
const LONGEST_PAUSE: Millis = 1_000;

/// One check of a live run. There is one `next`, so there is never a second try beside the first.
#[derive(Debug, Clone)]
struct Tries {
    check: Check,
    next: Next,
    pause: Millis,
    failures: u32,
    /// It has passed since it was first tried.
    passed: bool,
    /// What the last try saw, if it failed.
    answer: Option<String>,
}

#[derive(Debug, Clone, Copy)]
enum Next {
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
    fn carry_on(&mut self, first: Time, pause: Millis) {
        self.pause = pause.max(1);
        if let Next::Due(at) = &mut self.next {
            *at = first.min(*at);
        }
    }

    fn failing(&self) -> Option<(String, String)> {
        self.answer.as_ref().map(|answer| (self.check.title.clone(), answer.clone()))
    }
}

/// The check is the same, whatever the policy around it: its tries go on.
fn take_same(known: &mut Vec<Tries>, check: &Check) -> Option<Tries> {
    let place = known.iter().position(|tries| tries.check == *check)?;
    Some(known.remove(place))
}

/// When the next tries are due; one whose id is still taken waits for an answer instead.
fn waited_for(tries: &[Tries], strays: &[CheckId]) -> impl Iterator<Item = Time> {
    tries.iter().filter(|tries| !strays.contains(&tries.check.id)).filter_map(Tries::deadline)
}

fn under_way(tries: &mut [Tries], check: CheckId) -> Option<usize> {
    tries.iter().position(|tries| tries.check.id == check && matches!(tries.next, Next::UnderWay))
}

/// A try of a check that was dropped meanwhile has been answered.
fn settle_stray(strays: &mut Vec<CheckId>, check: CheckId) -> bool {
    let stray = strays.iter().position(|stray| *stray == check);
    stray.map(|place| strays.swap_remove(place)).is_some()
}

/// The ids of checks that are dropped while a try is under way: until it is answered, no other check bears them.
fn strays_of(dropped: impl Iterator<Item = Tries>) -> impl Iterator<Item = CheckId> {
    dropped.filter(|tries| matches!(tries.next, Next::UnderWay)).map(|tries| tries.check.id)
}

fn take_due(tries: &mut [Tries], strays: &[CheckId], now: Time) -> Vec<CheckId> {
    let due = tries.iter_mut().filter(|tries| tries.deadline().is_some_and(|at| at <= now));
    due.filter(|tries| !strays.contains(&tries.check.id))
        .map(|tries| {
            tries.next = Next::UnderWay;
            tries.check.id
        })
        .collect()
}

fn try_again(tries: &mut [Tries], check: CheckId, now: Time) {
    if let Some(place) = under_way(tries, check) {
        tries[place].next = Next::Due(now);
    }
}

fn shift(tries: &mut [Tries], gap: Millis) {
    for tries in tries {
        if let Next::Due(at) = &mut tries.next {
            *at = at.after(gap);
        }
    }
}

/// What a start still waits for.
#[derive(Debug, Clone)]
pub(crate) struct Gates {
    /// Those that must be given.
    signs: BTreeMap<Sign, String>,
    /// Those that were given.
    seen: BTreeSet<Sign>,
    delay_until: Option<Time>,
    /// Those that have not passed.
    checks: Vec<Tries>,
    /// When the start has failed.
    ready_by: Option<Time>,
    strays: Vec<CheckId>,
}

impl Gates {
    pub(crate) fn new(readiness: &Readiness, seen: BTreeSet<Sign>, now: Time) -> Self {
        let checks = readiness.checks.iter().map(|check| Tries::new(check, now, readiness.interval)).collect();
        Self {
            signs: readiness.signs.clone(),
            seen,
            delay_until: readiness.delay.map(|delay| now.after(delay)),
            checks,
            ready_by: (readiness.deadline != 0).then(|| now.after(readiness.deadline)),
            strays: Vec::new(),
        }
    }

    /// Other gates for the same start: what is open stays open, and what is new or has another span begins now.
    pub(crate) fn update(&mut self, old: &Readiness, new: &Readiness, now: Time) {
        let mut fresh = Self::new(new, BTreeSet::new(), now);
        let mut known = std::mem::take(&mut self.checks);
        let was = |check: &Check| old.checks.contains(check);
        self.checks = fresh
            .checks
            .into_iter()
            .filter_map(|fresh| take_same(&mut known, &fresh.check).or_else(|| (!was(&fresh.check)).then_some(fresh)))
            .collect();
        self.strays.extend(strays_of(known.into_iter()));
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
        self.signs_given() && self.checks.is_empty() && self.delay_until.is_none_or(|until| until <= now)
    }

    /// Ids of dropped checks that are still being tried.
    pub(crate) fn strays(&self) -> Vec<CheckId> {
        self.strays.clone()
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
        if settle_stray(&mut self.strays, check) {
            return;
        }
        let Some(place) = under_way(&mut self.checks, check) else {
            return;
        };
        match outcome {
            ProbeOutcome::Passed => {
                self.checks.remove(place);
            }
            ProbeOutcome::Failed(answer) | ProbeOutcome::Untried(answer) => {
                let tries = &mut self.checks[place];
                tries.answer = Some(answer);
                tries.next = Next::Due(now.after(tries.pause));
                tries.pause = tries.pause.saturating_mul(2).min(LONGEST_PAUSE.max(tries.pause));
            }
        }
    }

    /// The try that is under way does not count.
    pub(crate) fn try_again(&mut self, check: CheckId, now: Time) {
        if !settle_stray(&mut self.strays, check) {
            try_again(&mut self.checks, check, now);
        }
    }

    /// The checks that are to be tried now; from now on they are under way.
    pub(crate) fn take_due(&mut self, now: Time) -> Vec<CheckId> {
        take_due(&mut self.checks, &self.strays, now)
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        // A delay that is over while another gate is shut would be a deadline in the past.
        let delay = self.delay_until.filter(|_| self.signs_given() && self.checks.is_empty());
        waited_for(&self.checks, &self.strays).chain(self.ready_by).chain(delay).min()
    }

    pub(crate) fn shift(&mut self, gap: Millis, least: Time) {
        shift(&mut self.checks, gap);
        self.delay_until = self.delay_until.map(|at| at.after(gap));
        self.ready_by = self.ready_by.map(|at| at.after(gap).max(least));
    }

    pub(crate) fn failing(&self) -> Vec<(String, String)> {
        self.checks.iter().filter_map(Tries::failing).collect()
    }

    /// What is waited for, each with what was last seen of it.
    pub(crate) fn missing(&self) -> Vec<String> {
        let signs = self.signs.iter().filter(|(sign, _)| !self.seen.contains(sign)).map(|(_, missing)| missing.clone());
        let checks = self.checks.iter().map(|tries| match &tries.answer {
            Some(answer) => format!("{}: {answer}", tries.check.title),
            None => format!("{}: no answer", tries.check.title),
        });
        signs.chain(checks).collect()
    }
}

/// What shows that a ready run is alive.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vitals {
    checks: Vec<Tries>,
    strays: Vec<CheckId>,
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
            return Self { strays, ..Self::default() };
        };
        let first = now.after(liveness.interval.max(1));
        let watchdog = liveness.watchdog.map(|span| Watchdog { span: span.max(1), by: now.after(span.max(1)) });
        Self {
            checks: liveness.checks.iter().map(|check| Tries::new(check, first, liveness.interval)).collect(),
            strays,
            tolerated: liveness.failures,
            watchdog,
        }
    }

    /// Another policy for the same run: what stays keeps its count, what is new begins now.
    pub(crate) fn update(&mut self, liveness: Option<&Liveness>, now: Time) {
        let fresh = Self::new(liveness, Vec::new(), now);
        let mut known = std::mem::take(&mut self.checks);
        let carry_on = |mut old: Tries, fresh: &Tries| {
            if let Next::Due(first) = fresh.next {
                old.carry_on(first, fresh.pause);
            }
            old
        };
        let same =
            |fresh: Tries| take_same(&mut known, &fresh.check).map_or(fresh.clone(), |old| carry_on(old, &fresh));
        self.checks = fresh.checks.into_iter().map(same).collect();
        self.strays.extend(strays_of(known.into_iter()));
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
        if settle_stray(&mut self.strays, check) {
            return;
        }
        let Some(place) = under_way(&mut self.checks, check) else {
            return;
        };
        let tries = &mut self.checks[place];
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
        for tries in &mut self.checks {
            if let Next::Due(at) = &mut tries.next {
                *at = now;
            }
        }
    }

    /// Every check has passed, and none has failed since.
    pub(crate) fn sound(&self) -> bool {
        self.checks.iter().all(|tries| tries.passed && tries.answer.is_none())
    }

    /// Why the run counts as dead, if it does.
    pub(crate) fn dead(&self, now: Time) -> Option<String> {
        let silent = self.watchdog.as_ref().filter(|watchdog| watchdog.by <= now);
        if let Some(watchdog) = silent {
            return Some(format!("no WATCHDOG=1 within {}", words::span(watchdog.span)));
        }
        let failed = self.checks.iter().find(|tries| tries.failures >= self.tolerated.max(1))?;
        let answer = failed.answer.as_deref().unwrap_or("no answer");
        let times =
            if failed.failures == 1 { "once".to_owned() } else { format!("{} times in a row", failed.failures) };
        Some(format!("{} failed {times}: {answer}", failed.check.title))
    }

    /// The try that is under way does not count.
    pub(crate) fn try_again(&mut self, check: CheckId, now: Time) {
        if !settle_stray(&mut self.strays, check) {
            try_again(&mut self.checks, check, now);
        }
    }

    /// The checks that are to be tried now; from now on they are under way.
    pub(crate) fn take_due(&mut self, now: Time) -> Vec<CheckId> {
        take_due(&mut self.checks, &self.strays, now)
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let watchdog = self.watchdog.as_ref().map(|watchdog| watchdog.by);
        waited_for(&self.checks, &self.strays).chain(watchdog).min()
    }

    /// The watchdog starts anew: whoever feeds it was stalled as we were.
    pub(crate) fn shift(&mut self, gap: Millis, now: Time) {
        shift(&mut self.checks, gap);
        self.notified(now);
    }

    pub(crate) fn failing(&self) -> Vec<(String, String)> {
        self.checks.iter().filter_map(Tries::failing).collect()
    }
}
