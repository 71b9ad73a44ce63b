//! How long to rest between two looks at busy pipes, so that a flood of small writes is moved in large pieces.
//! Not here: sleeping.

use std::time::{Duration, Instant};

/// The longest rest, and so the longest that a line can wait.
const LONGEST: Duration = Duration::from_millis(4);
/// A rest shorter than this costs more than it saves.
const SHORTEST: Duration = Duration::from_micros(60);
/// Who has rested longer than this of their own accord is not flooded.
const QUIET: Duration = Duration::from_millis(5);
/// Look again when the fullest pipe holds about this much; half of what control gives it.
const TARGET: u64 = 128 << 10;

pub(crate) struct Pace {
    last: Option<Instant>,
    rest: Duration,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { last: None, rest: Duration::ZERO }
    }

    /// How long to rest after a look that ended `now` and moved at most `most` bytes from one pipe. The rest grows
    /// by doubling, as the first looks say little about the rate, and shrinks at once.
    pub(crate) fn after_look(&mut self, now: Instant, most: u64) -> Duration {
        let since = self.last.replace(now).map_or(QUIET, |last| now - last);
        if since >= QUIET || most == 0 {
            self.rest = Duration::ZERO;
            return Duration::ZERO;
        }
        let nanos = u128::from(TARGET) * since.as_nanos() / u128::from(most);
        let wanted = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.rest = wanted.min(LONGEST).min((self.rest * 2).max(SHORTEST));
        if self.rest < SHORTEST { Duration::ZERO } else { self.rest }
    }
}
