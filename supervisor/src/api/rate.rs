//! How often something may happen: so many at once, then so many a second. Without a lock, and without a timer.
//! Not here: what is refused.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Rate {
    epoch: Instant,
    /// Between two, once the burst is used up; in milliseconds.
    interval: u64,
    /// So many intervals may be used in advance.
    burst: u64,
    /// When all that was used will have been earned; in milliseconds since the epoch.
    earned_at: AtomicU64,
}

impl Rate {
    pub(super) fn new(burst: u64, per_second: u64) -> Self {
        Self { epoch: Instant::now(), interval: 1000 / per_second.max(1), burst, earned_at: AtomicU64::new(0) }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&self) -> bool {
        self.take_at(u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn take_at(&self, now: u64) -> bool {
        let take = |earned_at: u64| {
            let next = earned_at.max(now) + self.interval;
            (next - now <= self.burst * self.interval).then_some(next)
        };
        self.earned_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_granted_then_so_many_a_second() {
        let rate = Rate::new(20, 10);
        let granted = |from: u64, to: u64| (from..to).filter(|now| rate.take_at(*now)).count();
        assert_eq!(granted(0, 1), 1);
        assert_eq!((0..100).filter(|_| rate.take_at(1)).count(), 19);
        assert_eq!(granted(1, 1001), 10);
        assert_eq!(granted(1001, 2001), 10);
        assert_eq!((0..100).filter(|_| rate.take_at(60_000)).count(), 20, "what is not used is not saved for ever");
    }
}
