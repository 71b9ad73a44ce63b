//! Whether the date can be believed, as what has expired is gone for good.
//! Not here: removing it (`sweep`).

use std::time::{Duration, Instant};

use crate::clock::Seconds;

/// A date this much further on than the time that has passed was set, or the machine has slept.
const JUMP: Seconds = 3600;
/// So long whoever set it wrongly, or the network's time, may set it right.
const DOUBT: Duration = Duration::from_secs(600);

/// The date and the time that passes, side by side.
pub(super) struct Pace {
    date: Seconds,
    at: Instant,
    doubted_until: Option<Instant>,
}

impl Pace {
    pub(super) fn new(date: Seconds, at: Instant) -> Self {
        Self { date, at, doubted_until: None }
    }

    /// Looks again.
    pub(super) fn is_steady(&mut self, date: Seconds, at: Instant) -> bool {
        let passed = at.saturating_duration_since(self.at).as_secs();
        let ahead = date.saturating_sub(self.date).saturating_sub(Seconds::try_from(passed).unwrap_or(Seconds::MAX));
        if ahead > JUMP {
            tracing::info!(seconds = ahead, "the date has jumped; what has expired by it is kept for ten minutes more");
            self.doubted_until = Some(at + DOUBT);
        }
        (self.date, self.at) = (date, at);
        self.doubted_until.is_none_or(|until| at >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_that_jumps_ahead_is_not_believed_for_ten_minutes() {
        let (start, year) = (Instant::now(), 365 * 24 * 3600);
        let mut pace = Pace::new(0, start);
        let mut look = |date: Seconds, passed: u64| pace.is_steady(date, start + Duration::from_secs(passed));
        assert!(look(60, 60) && look(3000, 120), "it runs, and is set by less than an hour");
        assert!(!look(year, 180) && !look(year + 60, 240), "somebody set it");
        assert!(!look(300, 300), "and set it back: nothing was removed meanwhile");
        assert!(look(800, 800), "it runs again");
        assert!(!look(year, 860) && look(year + 600, 1460), "a date that stays is right in the end");
        assert!(look(0, 1520) && look(60, 1580), "going back takes nothing away");
    }
}
