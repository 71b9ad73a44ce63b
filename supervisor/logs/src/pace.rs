//! How long to rest between two looks at busy pipes, so that a flood of small writes is moved in large pieces.
//! Not here: sleeping.

use std::time::{Duration, Instant};

/// The longest rest, and so the longest that a line can wait.
const LONGEST: Duration = Duration::from_millis(4);
/// A rest shorter than this costs more than it saves.
const SHORTEST: Duration = Duration::from_micros(60);
/// Who has rested longer than this of their own accord is not flooded.
const QUIET: Duration = Duration::from_millis(5);
/// Look again when the fullest pipe is about this full. Pages of a pipe may be half empty, so a pipe may be full at
/// half its capacity.
const TARGET: Fullness = Fullness(400_000);

/// How much of its capacity a pipe held, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fullness(u64);

impl Fullness {
    pub(crate) const EMPTY: Self = Self(0);

    pub(crate) fn of(bytes: u64, capacity: usize) -> Self {
        Self((bytes * 1_000_000).div_ceil(capacity.max(1) as u64))
    }
}

pub(crate) struct Pace {
    last: Option<Instant>,
    rest: Duration,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { last: None, rest: Duration::ZERO }
    }

    /// How long to rest after a look that ended `now`, and found the fullest pipe so full. The rest grows by doubling,
    /// as the first looks say little about the rate, and shrinks at once.
    pub(crate) fn after_look(&mut self, now: Instant, most: Fullness) -> Duration {
        let since = self.last.replace(now).map_or(QUIET, |last| now - last);
        if since >= QUIET || most == Fullness::EMPTY {
            self.rest = Duration::ZERO;
            return Duration::ZERO;
        }
        let nanos = u128::from(TARGET.0) * since.as_nanos() / u128::from(most.0);
        let wanted = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.rest = wanted.min(LONGEST).min((self.rest * 2).max(SHORTEST));
        if self.rest < SHORTEST { Duration::ZERO } else { self.rest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks again and again at a pipe that fills up within `fill`; returns the last rests.
    fn flooded(fill: Duration) -> Vec<Duration> {
        let (mut pace, mut now, mut rest) = (Pace::new(), Instant::now(), Duration::ZERO);
        let look = Duration::from_micros(20);
        let rests = (0..100).map(|_| {
            now += look + rest;
            let share = (look + rest).as_nanos() * 1000 / fill.as_nanos();
            rest = pace.after_look(now, Fullness::of(u64::try_from(share).unwrap_or(1000).clamp(1, 1000), 1000));
            rest
        });
        rests.collect::<Vec<_>>().split_off(90)
    }

    #[test]
    fn a_flooded_pipe_is_looked_at_before_it_is_full() {
        for millis in [1, 2, 5] {
            let fill = Duration::from_millis(millis);
            assert!(flooded(fill).iter().all(|rest| *rest > fill / 5 && *rest < fill / 2), "{:?}", flooded(fill));
        }
    }

    #[test]
    fn a_pipe_that_is_always_full_gets_no_rest() {
        assert_eq!(flooded(Duration::from_micros(20)), [Duration::ZERO; 10]);
    }

    #[test]
    fn no_line_waits_longer_than_a_few_milliseconds() {
        assert!(flooded(Duration::from_secs(9)).iter().all(|rest| *rest <= LONGEST));
    }

    #[test]
    fn a_line_after_a_silence_is_followed_by_no_rest() {
        let (mut pace, now) = (Pace::new(), Instant::now());
        assert_eq!(pace.after_look(now, Fullness::of(10, 1000)), Duration::ZERO);
        assert_eq!(pace.after_look(now + QUIET, Fullness::of(10, 1000)), Duration::ZERO);
    }
}
