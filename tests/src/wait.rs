//! Waiting for conditions, each with a deadline.
//! Not here: what is waited for.

use std::thread;
use std::time::{Duration, Instant};

/// No condition is waited for longer than this: generous, as test machines stall.
pub const DEADLINE: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(15);

/// Waits until `probe` gives something.
///
/// # Panics
/// When it gives nothing for `DEADLINE`; `what` says what was waited for.
#[track_caller]
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(DEADLINE, what, probe)
}

/// As `eventually`, with another deadline: for promises about time.
///
/// # Panics
/// When it gives nothing in time.
#[track_caller]
pub fn within<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(began.elapsed() < limit, "waited {limit:?} in vain for: {what}");
        thread::sleep(POLL);
    }
}

/// Watches that something stays true for a while: for promises that a thing does not happen.
///
/// # Panics
/// When it does not hold.
#[track_caller]
pub fn holds_for(span: Duration, what: &str, mut check: impl FnMut() -> bool) {
    let began = Instant::now();
    while began.elapsed() < span {
        assert!(check(), "after {:?} no longer: {what}", began.elapsed());
        thread::sleep(POLL);
    }
}
