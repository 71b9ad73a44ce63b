//! When a service is tried next, and how that came about.
//! Not here: the restart policy itself; the core has that.

use serde::Serialize;
use supervisor_core::State;

use crate::api::{RestartDocument, ServiceDocument};
use crate::spans::short;
use crate::timestamp;

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Next {
    pub(super) at: String,
    pub(super) in_ms: u64,
    /// In words.
    pub(super) how: String,
}

pub(super) fn next(service: &ServiceDocument, now_ms: i64) -> Option<Next> {
    let at = service.next_attempt.clone()?;
    let in_ms = u64::try_from(timestamp::parse(&at)?.saturating_sub(now_ms)).unwrap_or(0);
    let how = match (service.state, &service.restart) {
        (State::Failed, _) => "a busy port is tried every 5s".to_owned(),
        (_, None) => String::new(),
        (State::CrashLoop, Some(policy)) => format!(
            "{} failures in a row, {} or more are a crash loop: the longest delay, {}{}",
            service.failures,
            policy.crash_loop,
            short(policy.max_delay_ms),
            chance(policy)
        ),
        (_, Some(policy)) => growth(service.failures, policy),
    };
    Some(Next { at, in_ms, how })
}

fn growth(failures: u32, policy: &RestartDocument) -> String {
    let times = match failures {
        0 => return "at once, after a good run".to_owned(),
        1 => return format!("the first failure: {}{}", short(policy.delay_ms), chance(policy)),
        times => times,
    };
    let steps = times - 1;
    let factor = if policy.factor.fract() == 0.0 { format!("{:.0}", policy.factor) } else { policy.factor.to_string() };
    let most = short(policy.max_delay_ms);
    format!(
        "{times} failures in a row: {} × {factor}^{steps}, at most {most}{}",
        short(policy.delay_ms),
        chance(policy)
    )
}

fn chance(policy: &RestartDocument) -> String {
    let percent = (policy.jitter * 100.0).round();
    if percent > 0.0 { format!(", less up to {percent}% by chance") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use supervisor_core::Policy;

    fn policy() -> RestartDocument {
        RestartDocument {
            policy: Policy::Always,
            delay_ms: 500,
            factor: 2.0,
            max_delay_ms: 30_000,
            jitter: 0.5,
            reset_after_ms: 30_000,
            crash_loop: 5,
            max_restarts: 0,
            success_exit_codes: vec![0],
        }
    }

    #[test]
    fn a_wait_is_explained_by_the_policy_that_made_it() {
        let plain = RestartDocument { jitter: 0.0, factor: 1.5, ..policy() };
        assert_eq!(growth(0, &policy()), "at once, after a good run");
        assert_eq!(growth(1, &policy()), "the first failure: 500ms, less up to 50% by chance");
        assert_eq!(growth(3, &policy()), "3 failures in a row: 500ms × 2^2, at most 30s, less up to 50% by chance");
        assert_eq!(growth(2, &plain), "2 failures in a row: 500ms × 1.5^1, at most 30s");
    }
}
