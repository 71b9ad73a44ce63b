//! The wall clock, watched: by how much it was set since the last look. Ages of what is kept go by it.
//! Not here: what is made of that (`ledger`).

use crate::control;
use crate::platform::slept_ms;
use crate::timestamp;

/// What goes beyond this was set; what stays below is a clock that is kept right little by little.
const SET_MS: i64 = 2_000;

pub(super) struct Clock {
    /// The wall clock is ahead by so much of the time since the start of the machine, sleep included.
    ahead_ms: i64,
}

/// One look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// Milliseconds since 1970.
    pub(super) now_ms: i64,
    pub(super) set_by_ms: i64,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { ahead_ms: timestamp::now_ms() - awake_and_asleep_ms() }
    }

    pub(super) fn look(&mut self) -> Look {
        self.look_at(timestamp::now_ms(), awake_and_asleep_ms())
    }

    fn look_at(&mut self, now_ms: i64, since_boot_ms: i64) -> Look {
        let moved = now_ms - since_boot_ms - self.ahead_ms;
        let set_by_ms = if moved.abs() > SET_MS { moved } else { 0 };
        self.ahead_ms += set_by_ms;
        Look { now_ms, set_by_ms }
    }
}

fn awake_and_asleep_ms() -> i64 {
    i64::try_from(control::now().0.saturating_add(slept_ms())).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_told_once_and_one_that_runs_is_not() {
        let mut clock = Clock { ahead_ms: 1_000_000 };
        let mut set_by = |now_ms, since_boot_ms| clock.look_at(now_ms, since_boot_ms).set_by_ms;
        assert_eq!(set_by(1_005_000, 5_000), 0);
        assert_eq!(set_by(1_006_900, 6_000), 0, "a little");
        assert_eq!(set_by(9_007_000, 7_000), 8_000_000);
        assert_eq!(set_by(9_008_000, 8_000), 0, "once");
        assert_eq!(set_by(1_009_000, 9_000), -8_000_000);
        assert_eq!(set_by(1_003_009_000, 1_002_009_000), 0, "the machine slept");
    }

    #[test]
    fn nobody_has_set_the_clock_just_now() {
        assert_eq!(Clock::new().look().set_by_ms, 0);
    }
}
