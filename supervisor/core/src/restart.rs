//! The restart policy: what an end is followed by, and after how long.
//! Not here: timers; the phase of a service keeps them.

use crate::spec::{Kind, Policy, RestartPolicy};
use crate::time::Millis;

/// How a run that nobody asked to end has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With an exit code that counts as success.
    Success,
    /// By a signal, with another code, or without ever having been ready or started.
    Failure,
    /// We ended it because its liveness failed: however long it ran, it is no good run.
    Unhealthy,
}

/// What follows, and the new count of failures in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) failures: u32,
    pub(crate) next: Next,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing: it did what it was meant to do.
    Complete,
    /// Nothing: the policy wants no other run.
    GiveUp(GiveUp),
    /// Another run after this delay.
    Again { delay: Millis, crash_loop: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GiveUp {
    /// `policy = "no"`.
    Policy,
    /// `max_restarts`.
    MaxRestarts,
}

/// Judges the end of a run that ran for `ran` after `failures` failures in a row.
pub(crate) fn judge(
    kind: Kind,
    policy: &RestartPolicy,
    outcome: Outcome,
    ran: Millis,
    failures: u32,
    random: &mut Random,
) -> Verdict {
    let wants_another = match (policy.policy, kind, outcome) {
        (Policy::Always, Kind::Service, Outcome::Success) => true,
        (Policy::Always, Kind::Oneshot, Outcome::Success)
        | (Policy::OnFailure | Policy::No, Kind::Service | Kind::Oneshot, Outcome::Success) => {
            return Verdict { failures: 0, next: Next::Complete };
        }
        (Policy::Always | Policy::OnFailure, _, Outcome::Failure | Outcome::Unhealthy) => true,
        (Policy::No, _, Outcome::Failure | Outcome::Unhealthy) => false,
    };
    let halved = halve(failures, ran, policy.reset_after);
    if wants_another && ran >= policy.reset_after && outcome != Outcome::Unhealthy {
        return Verdict { failures: halved, next: Next::Again { delay: 0, crash_loop: false } };
    }
    let failures = halved.saturating_add(1);
    let next = if !wants_another {
        Next::GiveUp(GiveUp::Policy)
    } else if policy.max_restarts != 0 && failures > policy.max_restarts {
        Next::GiveUp(GiveUp::MaxRestarts)
    } else {
        let crash_loop = policy.crash_loop != 0 && failures >= policy.crash_loop;
        Next::Again { delay: delay(policy, failures, crash_loop, random), crash_loop }
    };
    Verdict { failures, next }
}

/// One halving for each whole span of `reset_after`.
fn halve(failures: u32, ran: Millis, reset_after: Millis) -> u32 {
    let halvings = ran.checked_div(reset_after).unwrap_or(u64::MAX);
    u32::try_from(halvings).ok().and_then(|halvings| failures.checked_shr(halvings)).unwrap_or(0)
}

fn delay(policy: &RestartPolicy, failures: u32, crash_loop: bool, random: &mut Random) -> Millis {
    if policy.delay == 0 {
        return 0;
    }
    let longest = policy.max_delay as f64;
    let whole = if crash_loop {
        longest
    } else {
        // Beyond 2^1023 it is infinite anyway, and the longest delay is chosen.
        let steps = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        (policy.delay as f64 * policy.factor.powi(steps)).min(longest)
    };
    let chance = policy.jitter.clamp(0.0, 1.0);
    let least = millis(whole * (1.0 - chance));
    least + random.up_to(millis(whole).saturating_sub(least))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from float saturates, and parts of a millisecond do not matter"
)]
fn millis(span: f64) -> Millis {
    span.round() as Millis
}

/// A small generator of numbers without pattern (`SplitMix64`; Steele, Lea, Flood 2014). Good enough for jitter only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to `most`, both included.
    fn up_to(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        most.checked_add(1).map_or(mixed, |count| mixed % count)
    }
}
